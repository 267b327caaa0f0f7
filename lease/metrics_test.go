package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tenure-go/tenure/internal/metrics/metricstest"
)

func TestMetricsTellWhatBecameOfLeases(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		require.NoError(t, k.Err())
		pause(t.Context(), time.Minute)
		at := metricstest.Read(t, k.Metrics())
		renewals := at["tenure_lease_renewal_duration_seconds"]
		require.InDelta(t, 18, renewals, 2, "every third of 10 s")
		require.InDelta(t, 8, at["tenure_lease_trust_remaining_seconds"], 2)
		require.Equal(t, 1, at["tenure_lease_grants_total"])
		require.Zero(t, at["tenure_lease_renewal_failures_total"])

		f.set(func() { delete(f.leases, term.ID()) })
		pause(t.Context(), time.Minute)
		require.NoError(t, k.Err())
		at = metricstest.Read(t, k.Metrics())
		require.Equal(t, 1, at[`tenure_lease_losses_total{reason="lease_gone"}`])
		require.Equal(t, 2, at["tenure_lease_grants_total"])

		term = currentTerm(t, k)
		f.set(func() {
			f.answer = func(string, *pb.ResponseHeader) error { return rpctypes.ErrNoLeader }
		})
		waitEnd(t, term)
		require.ErrorIs(t, k.Err(), ErrNoLeader)
		pause(t.Context(), time.Minute)
		require.ErrorIs(t, k.Err(), ErrNoLeader)
		at = metricstest.Read(t, k.Metrics())
		require.Equal(t, 1, at[`tenure_lease_losses_total{reason="no_leader"}`])
		require.Zero(t, at["tenure_lease_trust_remaining_seconds"])
		require.Greater(t, at["tenure_lease_renewal_failures_total"], 1)

		f.set(func() { f.answer = nil })
		pause(t.Context(), time.Minute)
		require.NoError(t, k.Err())
		require.NoError(t, k.Close(t.Context()))
		require.ErrorIs(t, k.Err(), ErrClosed)
		at = metricstest.Read(t, k.Metrics())
		require.Zero(t, at["tenure_lease_trust_remaining_seconds"])
		require.Equal(t, 1, at[`tenure_lease_losses_total{reason="no_leader"}`], "closing is no loss")
	})
}
