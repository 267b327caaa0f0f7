package integration_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// etcd is stopped for half a minute, many times the lease's time, and started again: nobody dies, all go on, and no
// checkpoint is lost or goes back.
func TestConsumersOutliveAnEtcdOutage(t *testing.T) {
	t.Parallel()
	const outage = 30 * time.Second
	etcd := etcdtest.Start(t)
	f := newFleet(t, onSDK(moderateHub(t)), etcd.Endpoints())
	f.start("a", "b", "c", "d")
	f.awaitShared("a", "b", "c", "d")

	before := f.checkpoints()
	etcd.Member(0).Stop()
	hold(t, outage)
	etcd.Member(0).Restart()
	f.requireGoesOn(before, "etcd is back")
}

// The leader of three etcd members is paused for longer than the lease's time and goes on.
func TestConsumersOutliveAPausedLeader(t *testing.T) {
	t.Parallel()
	const pause = 3 * ttl
	etcd := etcdtest.StartProcesses(t, 3)
	f := newFleet(t, onSDK(moderateHub(t)), etcd.Endpoints())
	f.start("a", "b", "c", "d")
	f.awaitShared("a", "b", "c", "d")

	before := f.checkpoints()
	leader := etcd.Leader()
	etcd.Pause(leader)
	next := etcd.Leader()
	require.NotEqual(t, leader, next)
	hold(t, pause)
	etcd.Resume(leader)
	f.requireGoesOn(before, "the leader is back")
}

// requireGoesOn checks that after a fault the consumers share and read all partitions and write checkpoints, and that
// what etcd had before is still its history's beginning.
func (f *testFleet) requireGoesOn(before map[string][]written, event string) {
	f.t.Helper()
	back := time.Now()
	events := f.awaitCaughtUp()
	caughtUp := time.Since(back)
	f.awaitShared("a", "b", "c", "d")
	f.leave("a", "b", "c", "d")

	checkpoints := f.requireSound()
	after := f.checkpoints()
	for partition, had := range before {
		require.Equal(f.t, had, after[partition][:len(had)], "partition %s's checkpoints from before", partition)
	}
	for partition, all := range after {
		require.Greater(f.t, len(all), len(before[partition]), "partition %s was not checkpointed any more", partition)
	}
	rest, at := f.longestRest()
	f.t.Logf("caught up %v after %s; the longest that a partition rested is %v (partition %s); %d of %d events repeated; "+
		"%d checkpoints, none lost, none behind the one before", caughtUp.Round(time.Millisecond), event,
		rest.Round(time.Millisecond), at, f.repeated, events, checkpoints)
}

// longestRest returns the longest time between two events of a partition, whoever printed them.
func (f *testFleet) longestRest() (longest time.Duration, partition string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	times := make(map[string][]time.Time)
	for at, lines := range f.prints {
		for _, line := range lines {
			times[at.partition] = append(times[at.partition], line.at)
		}
	}
	for p, all := range times {
		slices.SortFunc(all, time.Time.Compare)
		for i := 1; i < len(all); i++ {
			if rest := all[i].Sub(all[i-1]); rest > longest {
				longest, partition = rest, p
			}
		}
	}
	return longest, partition
}
