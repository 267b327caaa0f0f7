package integration_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// A consumer is stopped until others own all that it had, and goes on: its late checkpoints are rejected, no checkpoint
// goes back, and it gets a share again.
func TestPausedConsumersLateCheckpointsAreRejected(t *testing.T) {
	t.Parallel()
	f := newFleet(t, onSDK(moderateHub(t)), etcdtest.Start(t).Endpoints())
	f.start("a", "b", "c", "d")
	f.awaitShared("a", "b", "c", "d")

	held := f.awaitCheckpoints("b")
	f.signal("b", syscall.SIGSTOP)
	paused := time.Now()
	f.awaitTakenOver("b", held, paused)
	f.await("others own the paused consumer's partitions", func() bool {
		for _, partition := range held {
			if owner := f.owner[partition]; owner == "b" || owner == "" {
				return false
			}
		}
		return true
	})
	f.signal("b", syscall.SIGCONT)
	resumed := time.Now()
	f.awaitShared("a", "b", "c", "d")
	f.awaitCaughtUp()
	f.leave("a", "b", "c", "d")

	checkpoints := f.requireSound()
	history, rejected := f.checkpoints(), f.rejected("b")
	require.NotEmpty(t, rejected, "checkpoints that were late and came through, or were never tried")
	for _, late := range rejected {
		require.Contains(t, held, late.Partition)
		for _, w := range history[late.Partition] {
			require.False(t, w.owner == "b" && w.sequence == late.SequenceNumber,
				"the rejected checkpoint %d of partition %s was written", late.SequenceNumber, late.Partition)
		}
	}
	t.Logf("paused for %v, with %d partitions: %d late checkpoints rejected; %d events repeated in all; "+
		"%d checkpoints, none behind the one before", resumed.Sub(paused).Round(time.Millisecond), len(held),
		len(rejected), f.repeated, checkpoints)
}
