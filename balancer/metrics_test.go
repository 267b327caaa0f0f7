package balancer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/metrics/metricstest"
)

// read returns a member's metrics by name and labels, of which the group is left out.
func (m *testMember) read(t *testing.T) func(name string) int {
	t.Helper()
	values := metricstest.Read(t, m.Metrics())
	label := `group="` + m.group.String() + `"`
	return func(name string) int {
		t.Helper()
		full := name + "{" + label + "}"
		if family, rest, labelled := cut(name); labelled {
			full = family + "{" + label + "," + rest
		}
		value, found := values[full]
		require.True(t, found, "%s is not among %v", full, values)
		return value
	}
}

func cut(name string) (family, labels string, labelled bool) {
	for i, r := range name {
		if r == '{' {
			return name[:i], name[i+1:], true
		}
	}
	return name, "", false
}

func TestMetricsTellHowAMemberGetsOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, etcdtest.Start(t).Endpoints(), 4)
	// It checkpoints event 6 and then waits until it is to end.
	handler := func(ctx context.Context, p *Partition) error {
		if _, found := p.Start(); !found {
			if err := p.Checkpoint(ctx, new(int64(6)), nil); err != nil {
				return err
			}
		}
		return idleHandler(ctx, p)
	}
	a := f.make("a", f.endpoints, names(f.ids...), handler, func(o *Options) {
		o.Lag = func(_ context.Context, partition string, after *etcdstore.Checkpoint) (int64, error) {
			switch {
			case partition == "3":
				return 0, errors.New("the stream does not tell")
			case after == nil:
				return 11, nil
			}
			return 10 - *after.SequenceNumber, nil
		}
	})
	a.pace.lag = 10 * time.Millisecond
	require.ErrorContains(t, a.Ready(), "has not joined")
	require.NoError(t, a.Alive(t.Context()))
	require.Zero(t, a.read(t)("tenure_member_ready"))
	a.run()
	f.await("checkpoints", func(s *etcdstore.Snapshot) bool { return len(s.Checkpoints) == 4 })
	require.NoError(t, a.Ready())
	require.NoError(t, a.Alive(t.Context()))

	lagOf := func(id string) string {
		return `tenure_partition_lag_events{group="` + f.group.String() + `",partition="` + id + `"}`
	}
	read := a.read(t)
	require.Equal(t, 1, read("tenure_member_ready"))
	require.Equal(t, 4, read("tenure_partitions_owned"))
	require.Equal(t, 4, read(`tenure_partitions{phase="handling"}`))
	require.Equal(t, 4, read("tenure_group_partitions"))
	require.Equal(t, 1, read("tenure_group_members"))
	require.Eventually(t, func() bool { return a.read(t)("tenure_group_partitions_unowned") == 0 },
		longEnough, 10*time.Millisecond)
	require.Equal(t, 4, read("tenure_partition_handoff_duration_seconds"), "nobody had them")
	require.Equal(t, 4, read(`tenure_claims_total{outcome="won"}`), "the store's are there, too")
	require.Less(t, read(`tenure_partition_checkpoint_age_seconds{partition="0"}`), int(longEnough.Seconds()))
	require.Eventually(t, func() bool {
		return metricstest.Read(t, a.Metrics())[lagOf("0")] == 4
	}, longEnough, 10*time.Millisecond)
	require.NotContains(t, metricstest.Read(t, a.Metrics()), lagOf("3"), "nobody knows")

	b := f.start("b", handler)
	f.await("two each", f.balanced(2))
	read = a.read(t)
	require.Equal(t, 1, read(`tenure_plans_total{reason="member_joined"}`))
	require.Equal(t, 2, read(`tenure_partitions_given_up_total{reason="planned"}`))
	require.Equal(t, 2, read("tenure_partition_drain_duration_seconds"))
	require.Eventually(t, func() bool { return b.read(t)(`tenure_partitions{phase="handling"}`) == 2 },
		longEnough, 10*time.Millisecond)
	require.Equal(t, 2, b.read(t)("tenure_partition_handoff_duration_seconds"))
	_, err := f.client.Delete(soon(t), f.key("ownership", ownedBy(f.mirror.Snapshot(), "a")))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return a.read(t)("tenure_partitions_lost_total") == 1 },
		longEnough, 10*time.Millisecond)

	a.leave()
	require.Error(t, a.Ready())
	require.NoError(t, a.Alive(t.Context()), "it has ended as it should")
	read = a.read(t)
	require.Equal(t, 2, read(`tenure_partitions_given_up_total{reason="leaving"}`))
	require.Zero(t, read("tenure_partitions_owned"))
}

func ownedBy(s *etcdstore.Snapshot, owner string) string {
	for id, o := range s.Ownerships {
		if o.OwnerID == owner {
			return id
		}
	}
	return ""
}

func TestAMemberThatIsStuckIsNotAlive(t *testing.T) {
	t.Parallel()
	f := newFleet(t, etcdtest.Start(t).Endpoints(), 1)
	stuck, free := make(chan struct{}), make(chan struct{})
	m := f.start("a", func(context.Context, *Partition) error { return errors.New("boo") }, func(o *Options) {
		o.Events.Failed = func(Event) {
			select {
			case <-stuck:
			default:
				close(stuck)
			}
			<-free
		}
	})
	<-stuck
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, m.Alive(ctx), context.DeadlineExceeded)
	require.Equal(t, 1, m.read(t)(`tenure_handler_failures_total{reason="error"}`), "what counts is told all the same")
	close(free)
	require.NoError(t, m.Alive(soon(t)))
}
