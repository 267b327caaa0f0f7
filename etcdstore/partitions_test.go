package etcdstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
	"github.com/tenure-go/tenure/lease"
)

// revisionNow returns etcd's revision, which stands still while nobody writes.
func revisionNow(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	resp, err := client.Get(soon(t), "/now")
	require.NoError(t, err)
	return resp.Header.Revision
}

// TestPartitionsAddedByManyAtOnceAreAllThere adds from many stores at once, over a network that loses answers and
// connections at random. At no revision may the list lack what it had before.
func TestPartitionsAddedByManyAtOnceAreAllThere(t *testing.T) {
	t.Parallel()
	const stores, rounds = 5, 8
	random := newRand(t)
	cluster, group := etcdtest.Start(t), testGroup(t)
	direct := cluster.Client(t)
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	before := revisionNow(t, direct)
	stop := make(chan struct{})
	var faults, adding sync.WaitGroup
	seed := random.Uint64()
	faults.Go(func() { breakNetwork(proxy, rand.New(rand.NewPCG(seed, 1)), stop) })
	want := map[string]bool{}
	for i := range stores {
		s := startStore(t, etcdtest.NewClient(t, []string{"http://" + proxy.Addr()}, impatient), nil, nil)
		var calls [][]string
		for round := range rounds {
			ids := []string{"of all", fmt.Sprintf("of round %d", round), fmt.Sprintf("of %d in %d", i, round)}
			calls = append(calls, ids)
			for _, id := range ids {
				want[id] = true
			}
		}
		random.Shuffle(len(calls), func(a, b int) { calls[a], calls[b] = calls[b], calls[a] })
		adding.Go(func() {
			for _, ids := range calls {
				require.NoError(t, s.AddPartitions(soon(t), group, ids))
			}
		})
	}
	adding.Wait()
	close(stop)
	faults.Wait()
	proxy.Heal(faultproxy.DropHeld)

	s := startStore(t, direct, nil, nil)
	key := s.keys.key(group, kindControl, controlPartitions)
	last := recordAt(t, direct, key)
	require.Zero(t, last.Lease)
	all, err := decodePartitions(last.Value)
	require.NoError(t, err)
	require.Len(t, all, len(want))
	require.Equal(t, string(encodePartitions(all)), string(last.Value), "in byte order, each once")

	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	var known []string
	for resp := range direct.Watch(ctx, key, clientv3.WithRev(before+1)) {
		require.NoError(t, resp.Err())
		for _, e := range resp.Events {
			require.Equal(t, mvccpb.PUT, e.Type)
			ids, err := decodePartitions(e.Kv.Value)
			require.NoError(t, err)
			require.Greater(t, len(ids), len(known), "a write adds something")
			for _, id := range known {
				require.Contains(t, ids, id)
			}
			known = ids
			if e.Kv.ModRevision == last.ModRevision {
				cancel()
			}
		}
	}
	require.Equal(t, all, known)

	require.NoError(t, s.AddPartitions(soon(t), group, []string{all[3], all[0], all[3]}))
	require.NoError(t, s.AddPartitions(soon(t), group, nil))
	require.Equal(t, last.ModRevision, revisionNow(t, direct), "nothing was new, nothing is written")
}

// TestTooManyPartitions adds more than the server takes in a request, or the client sends in one.
func TestTooManyPartitions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		limit uint // of the server, in bytes
	}{{name: "server", limit: 64 << 10}, {name: "client", limit: 64 << 20}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := etcdtest.Start(t, func(cfg *embed.Config) { cfg.MaxRequestBytes = test.limit }).Client(t)
			s, group := startStore(t, client, nil, nil), testGroup(t)
			require.NoError(t, s.AddPartitions(soon(t), group, partitions(100)))
			before := recordAt(t, client, s.keys.key(group, kindControl, controlPartitions))
			long := make([]string, 3000)
			for i := range long {
				long[i] = fmt.Sprint(strings.Repeat("p", 1000), i)
			}
			err := s.AddPartitions(soon(t), group, long)
			require.ErrorIs(t, err, ErrTooManyPartitions)
			require.ErrorContains(t, err, "3100 partitions make a value of 30")
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			require.Equal(t, before, recordAt(t, client, string(before.Key)))
			require.NoError(t, s.AddPartitions(soon(t), group, partitions(110)), "few more are no problem")
		})
	}
}

// TestAnUnreadableListIsNotReplaced adds to a list of which nobody knows what was in it.
func TestAnUnreadableListIsNotReplaced(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startStore(t, client, nil, nil)
	key := s.keys.key(group, kindControl, controlPartitions)
	_, err := client.Put(soon(t), key, `{"partitions":["0",1]}`)
	require.NoError(t, err)
	before := recordAt(t, client, key)
	err = s.AddPartitions(soon(t), group, []string{"2"})
	require.ErrorIs(t, err, ErrCorruptRecord)
	var record *RecordError
	require.ErrorAs(t, err, &record)
	require.Equal(t, key, record.Key)
	require.Equal(t, before, recordAt(t, client, key))
}

// TestAMemberIsPassedOverForAsLongAsTheLeaseLasts has members passed over, and readmitted.
func TestAMemberIsPassedOverForAsLongAsTheLeaseLasts(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	keeper := startKeeper(t, client, 10*time.Second)
	s, looking := startStore(t, client, keeper, nil), startStore(t, client, nil, nil)
	mirror, err := looking.Watch(soon(t), group, nil)
	require.NoError(t, err)
	await := func(what map[string]map[string]Control) {
		t.Helper()
		awaitMirror(t, mirror, func(s *Snapshot) bool { return reflect.DeepEqual(what, s.Controls.Avoid) })
	}
	// More than fit in one transaction, names that need encoding among them.
	many := append(partitions(200), "a/b", "ü")
	require.NoError(t, s.Exclude(soon(t), group, "pod/1", "it fails", many...))
	require.NoError(t, s.Exclude(soon(t), group, "pod/2", "", "a/b"))
	all := map[string]map[string]Control{}
	for _, id := range many {
		all[id] = map[string]Control{"pod/1": {OwnerID: "pod/1", Reason: "it fails"}}
	}
	all["a/b"]["pod/2"] = Control{OwnerID: "pod/2"}
	await(all)
	key := s.keys.key(group, kindControl, "avoid/a%2Fb/pod%2F1")
	require.Equal(t, int64(leaseOf(t, s)), recordAt(t, client, key).Lease)

	require.NoError(t, looking.Readmit(soon(t), group, "pod/1", many[1:]...), "anybody may")
	await(map[string]map[string]Control{
		"0": {"pod/1": {OwnerID: "pod/1", Reason: "it fails"}}, "a/b": {"pod/2": {OwnerID: "pod/2"}},
	})
	require.NoError(t, looking.Readmit(soon(t), group, "pod/1", "0", "never excluded"))
	require.NoError(t, looking.Readmit(soon(t), group, "pod/1"))
	await(map[string]map[string]Control{"a/b": {"pod/2": {OwnerID: "pod/2"}}})
	require.NoError(t, keeper.Close(soon(t)))
	await(map[string]map[string]Control{})

	require.ErrorIs(t, looking.Exclude(soon(t), group, "a", "", "0"), ErrNoKeeper)
	for field, err := range map[string]error{
		"partitions[1].PartitionID": looking.Readmit(soon(t), group, "a", "0", ""),
		"ownerID.OwnerID":           looking.Readmit(soon(t), group, "", "0"),
		"group.EventHubName":        looking.Readmit(soon(t), Group{"ns", "", "group"}, "a", "0"),
	} {
		require.ErrorIs(t, err, ErrInvalidArgument)
		var argument *ArgumentError
		require.ErrorAs(t, err, &argument)
		require.Equal(t, field, argument.Field)
	}
}

func TestExcludeRefusesWhatNoRecordCanHold(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	before := revisionNow(t, client)
	err := s.Exclude(soon(t), group, "a\xff", "\xff", "", "\xff")
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.ErrorContains(t, err, "ownerID.OwnerID")
	require.ErrorContains(t, err, "reason.Reason")
	require.ErrorContains(t, err, "partitions[0].PartitionID")
	require.ErrorContains(t, err, "partitions[1].PartitionID")
	require.Equal(t, before, revisionNow(t, client))
}

// TestWhoIsPassedOverIsSaidInTheClaim claims partitions that others have left alone.
func TestWhoIsPassedOverIsSaidInTheClaim(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s, other := startMember(t, client, 10*time.Second), startMember(t, client, 10*time.Second)
	taken := claimAll(t, other, claimsOf(group, "other", []string{"1"}), nil)[0]
	before := recordAt(t, client, s.keys.key(group, kindOwnership, "1"))
	won, err := s.ClaimOwnership(soon(t), claimsOf(group, "a", partitions(100)),
		&ClaimOptions{Avoid: "stuck", Reason: "stuck did not take it"})
	require.NoError(t, err)
	require.Len(t, won, 99)
	said, err := client.Get(soon(t), s.keys.group(group)+string(kindControl), clientv3.WithPrefix())
	require.NoError(t, err)
	etags := map[string]string{}
	for _, kv := range said.Kvs {
		etags[string(kv.Key)] = formatETag(kv.ModRevision)
		require.Equal(t, int64(leaseOf(t, s)), kv.Lease)
		require.JSONEq(t, `{"reason":"stuck did not take it"}`, string(kv.Value))
	}
	for _, o := range won {
		key := s.keys.key(group, kindControl, controlName(controlAvoid, o.PartitionID, "stuck"))
		require.Equal(t, o.ETag, etags[key], "in the claim's own transaction")
	}
	require.Len(t, etags, len(won), "a claim that is lost says nothing")
	require.Equal(t, before, recordAt(t, client, string(before.Key)))
	require.Equal(t, formatETag(before.ModRevision), taken.ETag)
	require.NoError(t, s.Readmit(soon(t), group, "stuck", idsOf(won)...))
	left, err := client.Get(soon(t), s.keys.group(group)+string(kindControl), clientv3.WithPrefix())
	require.NoError(t, err)
	require.Empty(t, left.Kvs)
}

// TestExcludeUnderALostLease has a member passed over when the lease has gone and the keeper does not know yet.
func TestExcludeUnderALostLease(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 3*time.Second)
	id := leaseOf(t, s)
	_, err := client.Revoke(soon(t), id)
	require.NoError(t, err)
	require.ErrorIs(t, s.Exclude(soon(t), group, "a", "it fails", partitions(3)...), lease.ErrLeaseGone)
}
