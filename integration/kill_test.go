package integration_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/standin"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// A consumer is killed. Others read its partitions again within the lease's time, a second and three update intervals,
// each from the last checkpoint.
func TestKilledConsumersPartitionsMove(t *testing.T) {
	t.Parallel()
	const limit = ttl + time.Second + 3*updateInterval
	f := newFleet(t, onSDK(moderateHub(t)), etcdtest.Start(t).Endpoints())
	f.start("a", "b", "c", "d")
	f.awaitShared("a", "b", "c", "d")

	held := f.awaitCheckpoints("b")
	f.signal("b", syscall.SIGKILL)
	killed := time.Now()
	f.consumers["b"].Wait()
	taken, longest := f.awaitTakenOver("b", held, killed)
	f.awaitShared("a", "c", "d")
	f.awaitCaughtUp()
	f.leave("a", "c", "d")

	checkpoints := f.requireSound()
	history, repeated := f.checkpoints(), int64(0)
	for _, partition := range taken {
		require.Equal(t, lastBy("b", history[partition.partition])+1, partition.first,
			"the first event of partition %s that %s printed", partition.partition, partition.by)
		repeated += partition.repeated
		t.Logf("partition %2s rested %4d ms, went on at event %d with %s, %d events repeated", partition.partition,
			partition.after.Milliseconds(), partition.first, partition.by, partition.repeated)
	}
	t.Logf("%d partitions of the killed consumer are read again after %v at most (limit %v); %d events repeated; "+
		"%d checkpoints", len(held), longest.Round(time.Millisecond), limit, repeated, checkpoints)
	require.Less(t, longest, limit)
}

// moderateHub is a hub that leaves a small machine room for what is measured.
func moderateHub(t *testing.T) *standin.Server {
	t.Helper()
	return standin.Start(t, standin.Options{Partitions: 16, AppendRate: 800})
}
