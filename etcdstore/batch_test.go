package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// TestLowerServerLimits does everything with 1,000 partitions on servers that take less in one request than etcd
// does by itself. The first requests are refused, later ones fit.
func TestLowerServerLimits(t *testing.T) { //nolint:gocognit // one story, told in order
	t.Parallel()
	for _, test := range []struct {
		ops, bytes uint
	}{{ops: 4}, {ops: 16, bytes: 4 << 10}} {
		t.Run(fmt.Sprintf("%d operations, %d bytes", test.ops, test.bytes), func(t *testing.T) {
			t.Parallel()
			group := testGroup(t)
			client := etcdtest.Start(t, func(cfg *embed.Config) {
				if test.ops > 0 {
					cfg.MaxTxnOps = test.ops
				}
				if test.bytes > 0 {
					cfg.MaxRequestBytes = test.bytes
				}
			}).Client(t)
			s := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
			won := claimAll(t, s, claimsOf(group, "owner", partitions(1000)), nil)

			// Some are renewed, some have gone and some are somebody else's by now: none can be decided flat.
			other := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
			var stolen, gone []Ownership
			for i, o := range won {
				switch o.OwnerID = "other"; i % 5 {
				case 1:
					stolen = append(stolen, o)
				case 2:
					gone = append(gone, o)
				}
			}
			claimAll(t, other, stolen, nil)
			require.NoError(t, other.Release(soon(t), gone...))
			renewed, err := s.ClaimOwnership(soon(t), won, &ClaimOptions{GrantIfGone: true})
			require.NoError(t, err)
			lost := idsOf(stolen)
			notLost := slices.DeleteFunc(idsOf(won), func(id string) bool { return slices.Contains(lost, id) })
			require.Equal(t, notLost, idsOf(renewed))

			errs := make([]error, 2*len(won))
			var writing sync.WaitGroup
			for i, o := range won {
				writing.Go(func() { errs[i] = s.Holder().UpdateCheckpoint(soon(t), at(o, 1), nil) })
			}
			writing.Wait()
			for i, o := range won {
				if slices.Contains(lost, o.PartitionID) {
					require.ErrorIs(t, errs[i], ErrOwnershipLost)
					errs[i] = nil
				}
			}
			for i, o := range renewed {
				writing.Go(func() { errs[i] = s.UpdateCheckpoint(soon(t), at(o, 2), &UpdateOptions{Fence: &o}) })
			}
			writing.Wait()
			require.NoError(t, errors.Join(errs...))
			numbers, _ := sequences(t, client, s, group)
			require.Len(t, numbers, len(renewed))
			if test.ops > 0 {
				require.LessOrEqual(t, uint64(s.limits.ops.Load()), uint64(test.ops)) //nolint:gosec // positive
			}
			if test.bytes > 0 {
				require.LessOrEqual(t, uint64(s.limits.bytes.Load()), uint64(test.bytes)) //nolint:gosec // positive
			}
			require.GreaterOrEqual(t, s.limits.bytes.Load(), int64(1<<10))
			require.NoError(t, s.Release(soon(t), renewed...))
			require.Empty(t, s.held())
			listed, err := s.ListOwnership(soon(t), group)
			require.NoError(t, err)
			require.Len(t, listed, len(stolen))
		})
	}
}

// TestOversizeOperationsTeachNothing has a caller's own operations refused. That is no limit of batches.
func TestOversizeOperationsTeachNothing(t *testing.T) {
	t.Parallel()
	client := etcdtest.Start(t).Client(t)
	s := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
	o := claimAll(t, s, claimsOf(testGroup(t), "owner", []string{"0"}), nil)[0]
	large := []clientv3.Op{clientv3.OpPut("/large", strings.Repeat("x", 3<<20))}
	err := s.UpdateCheckpoint(soon(t), at(o, 1), &UpdateOptions{Fence: &o, Ops: large})
	require.ErrorContains(t, err, "larger than max")
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	many := make([]clientv3.Op, 200)
	for i := range many {
		many[i] = clientv3.OpPut(fmt.Sprint("/many/", i), "")
	}
	err = s.UpdateCheckpoint(soon(t), at(o, 1), &UpdateOptions{Fence: &o, Ops: many})
	require.ErrorContains(t, err, "too many operations")
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	twice := []clientv3.Op{clientv3.OpPut("/twice", ""), clientv3.OpPut("/twice", "")}
	err = s.UpdateCheckpoint(soon(t), at(o, 1), &UpdateOptions{Fence: &o, Ops: twice})
	require.ErrorContains(t, err, "duplicate key")
	require.NoError(t, s.UpdateCheckpoint(soon(t), at(o, 2), &UpdateOptions{Fence: &o, Ops: twice[:1]}))
	require.Equal(t, int64(defaultMaxOps), s.limits.ops.Load())
	require.Equal(t, int64(defaultMaxBytes), s.limits.bytes.Load())
}

// TestDeniedPartitionFailsAlone gives a user every partition but one.
func TestDeniedPartitionFailsAlone(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	root := cluster.Client(t)
	keys, err := newKeyspace("")
	require.NoError(t, err)
	const n, denied = 30, "17"
	ctx := soon(t)
	_, err = root.UserAdd(ctx, "root", "secret")
	require.NoError(t, err)
	_, err = root.UserGrantRole(ctx, "root", "root")
	require.NoError(t, err)
	_, err = root.RoleAdd(ctx, "consumer")
	require.NoError(t, err)
	grant := func(from, to string, kind clientv3.PermissionType) {
		_, err := root.RoleGrantPermission(ctx, "consumer", from, to, kind)
		require.NoError(t, err)
	}
	all := keys.prefix + "/"
	grant(all, clientv3.GetPrefixRangeEnd(all), clientv3.PermissionType(clientv3.PermRead))
	for _, kd := range []kind{kindOwnership, kindCheckpoint} {
		before, after := keys.key(group, kd, ""), keys.key(group, kd, denied)
		grant(before, after, clientv3.PermissionType(clientv3.PermReadWrite))
		grant(after+"\x00", clientv3.GetPrefixRangeEnd(before), clientv3.PermissionType(clientv3.PermReadWrite))
	}
	_, err = root.UserAdd(ctx, "consumer", "secret")
	require.NoError(t, err)
	_, err = root.UserGrantRole(ctx, "consumer", "consumer")
	require.NoError(t, err)
	_, err = root.AuthEnable(ctx)
	require.NoError(t, err)

	client := cluster.Client(t, func(cfg *clientv3.Config) { cfg.Username, cfg.Password = "consumer", "secret" })
	s := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
	won, err := s.ClaimOwnership(soon(t), claimsOf(group, "owner", partitions(n)), nil)
	require.ErrorIs(t, err, lease.ErrPermissionDenied)
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	require.Equal(t, slices.DeleteFunc(partitions(n), func(id string) bool { return id == denied }), idsOf(won))

	errs := make([]error, n)
	var writing sync.WaitGroup
	for i, o := range claimsOf(group, "", partitions(n)) {
		writing.Go(func() { errs[i] = s.UpdateCheckpoint(soon(t), at(o, 1), nil) })
	}
	writing.Wait()
	for i, err := range errs {
		if partitions(n)[i] == denied {
			require.ErrorIs(t, err, lease.ErrPermissionDenied)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, int64(defaultMaxOps), s.limits.ops.Load())
	require.NoError(t, s.Release(soon(t), won...))
}

// TestLeaseGoneMidClaimIsALoss takes the lease away while claims are on their way.
func TestLeaseGoneMidClaimIsALoss(t *testing.T) {
	t.Parallel()
	d := startDistantFor(t, 3*time.Second)
	kept := claimAll(t, d.Store, claimsOf(d.group, "owner", []string{"kept"}), nil)
	term, err := d.keeper.Term(soon(t))
	require.NoError(t, err)
	before := d.sent.ids()
	d.road.cut()
	var won []Ownership
	var claiming error
	var returned sync.WaitGroup
	claims := claimsOf(d.group, "owner", partitions(10))
	returned.Go(func() { won, claiming = d.ClaimOwnership(soon(t), append(claims, kept...), nil) })
	d.sent.wait(t, "the claims", func(counts map[string]tallied) bool { return len(counts) > len(before)+len(claims) })
	d.road.await(t, slices.DeleteFunc(d.sent.ids(), func(id string) bool { return slices.Contains(before, id) }))
	_, err = d.direct.Revoke(soon(t), term.ID())
	require.NoError(t, err)
	d.road.deliver()
	returned.Wait()
	require.NoError(t, claiming)
	require.Empty(t, won)

	// What was held before is taken over, and nothing else.
	<-term.Done()
	_, err = d.keeper.Term(soon(t))
	require.NoError(t, err)
	listed, err := d.ListOwnership(soon(t), d.group)
	require.NoError(t, err)
	require.Equal(t, []string{"kept"}, idsOf(listed))
	requireNobodyIdle(t, d.Store, d.group)
}

// TestLimitsAreLearntDownwardsOnly teaches limits from many at once.
func TestLimitsAreLearntDownwardsOnly(t *testing.T) {
	t.Parallel()
	client := etcdtest.Start(t, func(cfg *embed.Config) { cfg.MaxTxnOps = 5 }).Client(t)
	group := testGroup(t)
	s := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
	var claiming sync.WaitGroup
	for call := range 8 {
		claiming.Go(func() {
			ids := partitions(100)
			for i := range ids {
				ids[i] = fmt.Sprintf("%d-%s", call, ids[i])
			}
			won, err := s.ClaimOwnership(context.Background(), claimsOf(group, "owner", ids), nil)
			require.NoError(t, err)
			require.Equal(t, ids, idsOf(won))
		})
	}
	claiming.Wait()
	require.LessOrEqual(t, s.limits.ops.Load(), int64(5))
	require.GreaterOrEqual(t, s.limits.ops.Load(), int64(2))
	requireNobodyIdle(t, s, group)
}
