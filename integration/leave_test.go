package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// A consumer is asked to stop. It exits with success once all that it printed is checkpointed, and the others read its
// partitions within three rounds.
func TestLeavingConsumerHandsOver(t *testing.T) {
	t.Parallel()
	const limit = 3 * updateInterval
	// Who only exits would sit on its partitions for longer than the limit.
	f := newFleet(t, onSDK(moderateHub(t)), etcdtest.Start(t).Endpoints(), "--ttl", "10s")
	f.start("a", "b", "c", "d")
	f.awaitShared("a", "b", "c", "d")

	held := f.awaitCheckpoints("b")
	asked := time.Now()
	f.leave("b")
	left := time.Since(asked)
	taken, longest := f.awaitTakenOver("b", held, asked)
	f.awaitCaughtUp()
	f.leave("a", "c", "d")

	checkpoints := f.requireSound()
	history, repeated := f.checkpoints(), int64(0)
	for _, partition := range taken {
		lines := f.prints[place{"b", partition.partition}]
		require.Equal(t, lines[len(lines)-1].sequence, lastBy("b", history[partition.partition]),
			"what was printed last of partition %s, and checkpointed", partition.partition)
		repeated += partition.repeated
	}
	t.Logf("exited after %v; %d partitions are read again after %v at most (limit %v); %d events repeated; %d checkpoints",
		left.Round(time.Millisecond), len(held), longest.Round(time.Millisecond), limit, repeated, checkpoints)
	require.Less(t, longest, limit)
}
