package etcdstore

import (
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/metrics/metricstest"
)

func TestMetricsTellWhatBecameOfClaimsAndCheckpoints(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	a := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
	b := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)

	won := claimAll(t, a, claimsOf(group, "a", partitions(3)), nil)
	lost, err := b.ClaimOwnership(soon(t), claimsOf(group, "b", partitions(2)), nil)
	require.NoError(t, err)
	require.Empty(t, lost)
	require.Equal(t, 2, metricstest.Read(t, b.Metrics())[`tenure_claims_total{outcome="lost"}`])

	for i, o := range won {
		require.NoError(t, a.UpdateCheckpoint(soon(t), at(o, int64(i)), &UpdateOptions{Fence: &o}))
	}
	taken := won[0]
	taken.OwnerID = "b"
	claimAll(t, b, []Ownership{taken}, nil)
	require.ErrorIs(t, a.UpdateCheckpoint(soon(t), at(won[0], 9), &UpdateOptions{Fence: &won[0]}), ErrOwnershipLost)
	require.NoError(t, b.UpdateCheckpoint(soon(t), at(won[1], 9), nil), "without a fence the last one wins")
	require.ErrorIs(t, a.UpdateCheckpoint(soon(t), at(won[1], 9), &UpdateOptions{Fence: &won[1]}), ErrCheckpointConflict)

	read := metricstest.Read(t, a.Metrics())
	require.Equal(t, 3, read[`tenure_claims_total{outcome="won"}`])
	require.Equal(t, 3, read[`tenure_checkpoints_total{outcome="durable"}`])
	require.Equal(t, 1, read[`tenure_checkpoints_total{outcome="ownership_lost"}`])
	require.Equal(t, 1, read[`tenure_checkpoints_total{outcome="conflict"}`])
	require.Equal(t, 3, read["tenure_checkpoint_duration_seconds"])
	require.Equal(t, 5, read["tenure_checkpoint_batch_partitions"], "each waited for the one before")
	require.Equal(t, 2, read["tenure_partitions_owned"])
	require.Equal(t, 1, read["tenure_lease_grants_total"], "the keeper's are there, too")
}

// TestMetricsTellOfFolds has many writes of one partition wait behind one that gets no answer.
func TestMetricsTellOfFolds(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	o := claimAll(t, d.Store, claimsOf(d.group, "owner", []string{"0"}), nil)[0]
	key := d.keys.key(d.group, kindCheckpoint, "0")
	d.road.cut()
	const writes = 5
	var returned sync.WaitGroup
	for i := range writes {
		returned.Go(func() { _ = d.UpdateCheckpoint(soon(t), at(o, int64(i)), &UpdateOptions{Fence: &o}) })
		awaitWriter(t, d.Store, func(w *writer) bool {
			return i == 0 && w.lanes[key] != nil && w.lanes[key].busy || i > 0 && len(w.lanes[key].queue) == i
		})
	}
	d.road.deliver()
	returned.Wait()
	read := metricstest.Read(t, d.Metrics())
	require.Equal(t, writes, read[`tenure_checkpoints_total{outcome="durable"}`])
	require.Equal(t, writes-2, read["tenure_checkpoints_folded_total"], "the first and the last were written")
	require.Equal(t, 2, read["tenure_checkpoint_batch_partitions"])
}

// CountNothing has a store that nobody uses count nothing, for benchmarks, and returns what has it count again.
func (s *Store) CountNothing() (again func()) {
	before := s.meters
	var nothing silent
	s.meters = meters{
		claims: before.claims, checkpoints: before.checkpoints, resyncs: before.resyncs,
		won: nothing, lost: nothing, unclaimed: nothing, durable: nothing, folded: nothing,
		latency: nothing, batch: nothing,
	}
	return func() { s.meters = before }
}

// silent is a counter and a histogram that does nothing.
type silent struct{ prometheus.Metric }

func (silent) Describe(chan<- *prometheus.Desc) {}
func (silent) Collect(chan<- prometheus.Metric) {}
func (silent) Inc()                             {}
func (silent) Add(float64)                      {}
func (silent) Observe(float64)                  {}
