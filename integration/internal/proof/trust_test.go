package proof

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// TestTrustThatOutlivesAnOwnershipIsSeen has a member trust in what another owns, and give it up without being told.
func TestTrustThatOutlivesAnOwnershipIsSeen(t *testing.T) {
	t.Parallel()
	owns := func(by string, revision int64, told time.Duration) Change {
		return Change{Kind: Ownership, Partition: "0", Revision: revision, OwnerID: by, Leased: true, Told: told}
	}
	checkpoint := func(by string, revision int64) Change {
		return Change{Kind: Checkpoint, Partition: "0", Revision: revision, OwnerID: by, SequenceNumber: 0}
	}
	gone := func(revision int64) Change {
		return Change{Kind: Ownership, Partition: "0", Revision: revision, Deleted: true}
	}
	reports := map[string][]member.Report{"a": {
		{Kind: member.Handled, Partition: "0", Fence: 1, Began: 10, At: 11, Trusted: 100},
	}}
	check := func(run Run, changes ...Change) (found []string) {
		run.Partitions, run.Reports, run.Changes, run.TTL = []string{"0"}, reports, changes, 100
		_, violations := Check(run)
		for _, v := range violations {
			if v.Check == Bounded {
				found = append(found, v.Text)
			}
		}
		return found
	}
	taken := []Change{owns("a", 1, 1), checkpoint("a", 2), gone(3), owns("b", 4, 50)}
	require.Len(t, check(Run{}, taken...), 1, "its lease has ended early")
	require.Empty(t, check(Run{Woken: []time.Duration{40}}, taken...), "a leader has gone on")
	require.Len(t, check(Run{}, owns("a", 1, 1), checkpoint("b", 3), gone(3), owns("b", 4, 50)), 1,
		"the checkpoint is somebody else's")
	require.Empty(t, check(Run{}, owns("a", 1, 1), checkpoint("a", 3), gone(3), owns("b", 4, 50)),
		"it has released it with its last checkpoint")
	require.Empty(t, check(Run{}, owns("a", 1, 1), gone(3), owns("b", 4, 101)), "trust has ended")
}
