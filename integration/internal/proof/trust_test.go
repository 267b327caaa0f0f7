package proof

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// TestTheRevokedMayComeLate has a member begin its first event when another has begun already, since its own lease was
// revoked before that.
func TestTheRevokedMayComeLate(t *testing.T) {
	t.Parallel()
	handled := func(fence int64, began, sequence int64) member.Report {
		at := time.Duration(began)
		return member.Report{
			Kind: member.Handled, Partition: "0", Fence: fence, Began: at, At: at + 5, Trusted: 1000, Sequence: sequence,
		}
	}
	reports := map[string][]member.Report{
		"a": {
			handled(3, 50, 0), handled(3, 70, 1), {Kind: member.Finished, Partition: "0", Fence: 3, At: 80, Sequence: 1},
			{Kind: member.Released, Partition: "0", Fence: 3, At: 81},
		},
		"b": {handled(1, 60, 0)},
	}
	check := func(run Run) (found []string) {
		run.Partitions, run.Reports, run.TTL = []string{"0"}, reports, 100
		_, violations := Check(run)
		for _, v := range violations {
			if v.Check == NoOverlap || v.Check == PlannedMoves {
				found = append(found, v.Check)
			}
		}
		return found
	}
	require.Empty(t, check(Run{Revoked: map[string][]Interval{"b": {{40, 40}}}}))
	require.Equal(t, []string{NoOverlap}, check(Run{Revoked: map[string][]Interval{"a": {{40, 40}}}}),
		"it was not its lease")
	require.Equal(t, []string{NoOverlap}, check(Run{}))
}

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
		run.Partitions, run.Reports, run.Changes = []string{"0"}, reports, changes
		if run.TTL == 0 {
			run.TTL = 100
		}
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
	require.Empty(t, check(Run{Woken: []Interval{{40, 40}}}, taken...), "a leader has gone on")
	late := []Change{owns("a", 1, 1), checkpoint("a", 2), gone(3), owns("b", 4, 99)}
	require.Len(t, check(Run{TTL: 10, Woken: []Interval{{40, 40}}}, late...), 1, "a leader has gone on long before")
	require.Empty(t, check(Run{TTL: 10, Woken: []Interval{{40, 95}}}, late...), "what it has said was held back")
	require.Len(t, check(Run{}, owns("a", 1, 1), checkpoint("b", 3), gone(3), owns("b", 4, 50)), 1,
		"the checkpoint is somebody else's")
	require.Empty(t, check(Run{}, owns("a", 1, 1), checkpoint("a", 3), gone(3), owns("b", 4, 50)),
		"it has released it with its last checkpoint")
	require.Empty(t, check(Run{}, owns("a", 1, 1), gone(3), owns("b", 4, 101)), "trust has ended")
}
