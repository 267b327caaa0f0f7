package etcdstore

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

func memberNamed(owner, instance string) Member {
	return Member{OwnerID: owner, Instance: instance, Weight: 1, Version: 1, StartedAt: aTime}
}

// startMember starts a store that can join, with a lease of its own.
func startMember(t *testing.T, client *clientv3.Client, ttl time.Duration) *Store {
	t.Helper()
	return startStore(t, client, startKeeper(t, client, ttl), nil)
}

func join(t *testing.T, s *Store, group Group, member Member) *Presence {
	t.Helper()
	p, err := s.Join(soon(t), group, member)
	require.NoError(t, err)
	return p
}

// recordAt returns the record at a key, nil if there is none.
func recordAt(t *testing.T, client *clientv3.Client, key string) *mvccpb.KeyValue {
	t.Helper()
	resp, err := client.Get(soon(t), key)
	require.NoError(t, err)
	if len(resp.Kvs) == 0 {
		return nil
	}
	return resp.Kvs[0]
}

// awaitRecord waits until done says so of the record at a key, which is nil while there is none.
func awaitRecord(
	t *testing.T, client *clientv3.Client, key string, done func(*mvccpb.KeyValue) bool,
) *mvccpb.KeyValue {
	t.Helper()
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	resp, err := client.Get(ctx, key)
	require.NoError(t, err)
	var found *mvccpb.KeyValue
	if len(resp.Kvs) > 0 {
		found = resp.Kvs[0]
	}
	if done(found) {
		return found
	}
	for changes := range client.Watch(ctx, key, clientv3.WithRev(resp.Header.Revision+1)) {
		require.NoError(t, changes.Err())
		for _, e := range changes.Events {
			found = e.Kv
			if e.Type == mvccpb.DELETE {
				found = nil
			}
			if done(found) {
				return found
			}
		}
	}
	t.Fatalf("%s stays as it is", key)
	return nil
}

func isGone(kv *mvccpb.KeyValue) bool { return kv == nil }

func leaseOf(t *testing.T, s *Store) clientv3.LeaseID {
	t.Helper()
	term, err := s.Keeper().Term(soon(t))
	require.NoError(t, err)
	return term.ID()
}

func TestMembersAreSeenWhileTheyAreJoined(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	mirror, err := s.Watch(soon(t), group, nil)
	require.NoError(t, err)
	member := Member{OwnerID: "pod/1 ü", Instance: "i", Weight: 3, Capacity: 8, Version: 2, StartedAt: aTime}
	p := join(t, s, group, member)
	snapshot := awaitMirror(t, mirror, func(s *Snapshot) bool { return len(s.Members) == 1 })
	require.Equal(t, map[string]Member{"pod/1 ü": member}, snapshot.Members)
	key := s.keys.key(group, kindMember, "pod/1 ü")
	require.Equal(t, int64(leaseOf(t, s)), recordAt(t, client, key).Lease)

	require.NoError(t, p.Update(soon(t), func(m *Member) { m.Leaving = true }))
	snapshot = awaitMirror(t, mirror, func(s *Snapshot) bool { return s.Members["pod/1 ü"].Leaving })
	member.Leaving = true
	require.Equal(t, map[string]Member{"pod/1 ü": member}, snapshot.Members)
	require.Equal(t, int64(leaseOf(t, s)), recordAt(t, client, key).Lease)

	require.NoError(t, p.Leave(soon(t)))
	require.Nil(t, recordAt(t, client, key))
	before, err := client.Get(soon(t), "/now")
	require.NoError(t, err)
	require.NoError(t, p.Leave(soon(t)))
	require.NoError(t, p.Update(soon(t), func(m *Member) { m.Leaving = false }))
	after, err := client.Get(soon(t), "/now")
	require.NoError(t, err)
	require.Equal(t, before.Header.Revision, after.Header.Revision, "who has left writes nothing any more")
	join(t, s, group, memberNamed("pod/1 ü", "another"))
	require.NoError(t, p.Leave(soon(t)))
	require.NotNil(t, recordAt(t, client, key), "who comes after is not removed")
}

func TestJoinRefusesWhatNoRecordCanHold(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	const tooLarge = maxSafeInteger + 1
	for field, member := range map[string]Member{
		"member.OwnerID":  {Instance: "i"},
		"member.Instance": {OwnerID: "a"},
		"member.Weight":   {OwnerID: "a", Instance: "i", Weight: -1},
		"member.Capacity": {OwnerID: "a", Instance: "i", Capacity: tooLarge},
		"member.Version":  {OwnerID: "a", Instance: "i", Version: tooLarge},
	} {
		_, err := s.Join(soon(t), group, member)
		require.ErrorIs(t, err, ErrInvalidArgument, field)
		var argument *ArgumentError
		require.ErrorAs(t, err, &argument)
		require.Equal(t, field, argument.Field)
	}
	_, err := startStore(t, client, nil, nil).Join(soon(t), group, memberNamed("a", "i"))
	require.ErrorIs(t, err, ErrNoKeeper)
}

// TestALiveDuplicateIsRefused joins under the owner id of a process that lives. What tells is that its lease is
// renewed, of which etcd shows whole seconds only: with a short one they hardly ever change.
func TestALiveDuplicateIsRefused(t *testing.T) {
	t.Parallel()
	fast, usual := etcdtest.Start(t), etcdtest.Start(t, etcdtest.Defaults)
	for _, test := range []struct {
		name    string
		cluster *etcdtest.Cluster
		ttl     time.Duration
	}{
		{name: "1s, with an etcd that has been made faster", cluster: fast, ttl: time.Second},
		{name: "2s, the shortest of an etcd as it comes", cluster: usual, ttl: 2 * time.Second},
		{name: "10s", cluster: usual, ttl: 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, group := test.cluster.Client(t), testGroup(t)
			first := startMember(t, client, test.ttl)
			term, err := first.Keeper().Term(soon(t))
			require.NoError(t, err)
			require.Equal(t, test.ttl, term.TTL())
			join(t, first, group, memberNamed("a", "first"))
			key := first.keys.key(group, kindMember, "a")
			before := recordAt(t, client, key)
			second := startMember(t, client, 10*time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err = second.Join(ctx, group, memberNamed("a", "second"))
			require.ErrorIs(t, err, ErrOwnerInUse)
			var inUse *OwnerInUseError
			require.ErrorAs(t, err, &inUse)
			require.Equal(t, memberNamed("a", "first"), inUse.Member)
			require.Equal(t, before, recordAt(t, client, key), "the record is untouched")
		})
	}
}

// leftBehind puts the record of a process that is dead, on a lease that nobody renews.
func leftBehind(t *testing.T, client *clientv3.Client, key string, ttl int64) clientv3.LeaseID {
	t.Helper()
	granted, err := client.Grant(soon(t), ttl)
	require.NoError(t, err)
	dead := memberNamed("a", "dead")
	_, err = client.Put(soon(t), key, string(dead.encode()), clientv3.WithLease(granted.ID))
	require.NoError(t, err)
	return granted.ID
}

func TestADeadDuplicateIsWaitedFor(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	key := s.keys.key(group, kindMember, "a")
	for _, ttl := range []int64{1, 2, 4} {
		leftBehind(t, client, key, ttl)
		before := recordAt(t, client, key)
		p := join(t, s, group, memberNamed("a", "next"))
		after := recordAt(t, client, key)
		require.Equal(t, after.CreateRevision, after.ModRevision)
		require.Greater(t, after.CreateRevision, before.ModRevision+1, "it was gone in between")
		require.NoError(t, p.Leave(soon(t)))
	}
}

// TestANewLeaderDoesNotBringTheDeadBack has etcd give a dead process's lease its full time again, as every new leader
// does, while another waits for its end.
func TestANewLeaderDoesNotBringTheDeadBack(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	client := cluster.Client(t, impatient)
	lines := make(lineChannel, 100)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), lines, zap.InfoLevel))
	s := startStore(t, client, startKeeper(t, client, 10*time.Second), &Options{Logger: log})
	key := s.keys.key(group, kindMember, "a")
	id := leftBehind(t, client, key, 5)
	var err error
	var joining sync.WaitGroup
	joining.Go(func() { _, err = s.Join(soon(t), group, memberNamed("a", "next")) })
	for line := range lines {
		if strings.Contains(line, "waiting to see whether it lives") {
			break
		}
	}
	awaitTTL(t, client, id, func(ttl int64) bool { return ttl <= 2 })
	cluster.Member(0).Restart()
	awaitTTL(t, client, id, func(ttl int64) bool { return ttl >= 4 })
	joining.Wait()
	require.NoError(t, err)
	require.Equal(t, int64(leaseOf(t, s)), recordAt(t, client, key).Lease)
}

// awaitTTL waits until done says so of what is left of a lease, in whole seconds.
func awaitTTL(t *testing.T, client *clientv3.Client, id clientv3.LeaseID, done func(int64) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		left, err := client.TimeToLive(soon(t), id)
		return err == nil && done(left.TTL)
	}, patience, 20*time.Millisecond)
}

func TestWhatNobodyStandsBehindIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	key := s.keys.key(group, kindMember, "a")
	granted, err := client.Grant(soon(t), 600)
	require.NoError(t, err)
	mirrored := memberNamed("a", "mirrored")
	for _, there := range []clientv3.Op{
		clientv3.OpPut(key, `{"owner_id":`, clientv3.WithLease(granted.ID)),
		clientv3.OpPut(key, `{"owner_id":7}`),
		clientv3.OpPut(key, string(mirrored.encode())),
	} {
		_, err := client.Do(soon(t), there)
		require.NoError(t, err)
		before := recordAt(t, client, key)
		p := join(t, s, group, memberNamed("a", "i"))
		after := recordAt(t, client, key)
		require.Equal(t, before.Version+1, after.Version, "in its place, with nothing in between")
		require.Equal(t, int64(leaseOf(t, s)), after.Lease)
		require.NoError(t, p.Leave(soon(t)))
	}
}

func TestUpdateAfterDeletionPutsTheRecordAgain(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	key := s.keys.key(group, kindMember, "a")
	p := join(t, s, group, memberNamed("a", "i"))
	_, err := client.Delete(soon(t), key)
	require.NoError(t, err)
	require.NoError(t, p.Update(soon(t), func(*Member) {}))
	found := recordAt(t, client, key)
	require.Equal(t, int64(leaseOf(t, s)), found.Lease)

	_, err = client.Delete(soon(t), key)
	require.NoError(t, err)
	other := startMember(t, client, 10*time.Second)
	join(t, other, group, memberNamed("a", "faster"))
	err = p.Update(soon(t), func(*Member) {})
	require.ErrorIs(t, err, ErrOwnerInUse)
	var inUse *OwnerInUseError
	require.ErrorAs(t, err, &inUse)
	require.Equal(t, "faster", inUse.Member.Instance)
	require.NoError(t, p.Leave(soon(t)))
	require.Equal(t, int64(leaseOf(t, other)), recordAt(t, client, key).Lease, "another's record is not touched")
}

// TestAPresenceIsMovedBeforeThePartitions stops etcd for longer than the lease and starts it again. At each revision
// the member must be there: otherwise the others would take what it holds for a foreign owner's.
func TestAPresenceIsMovedBeforeThePartitions(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	client := cluster.Client(t)
	s := startMember(t, client, 4*time.Second)
	p := join(t, s, group, memberNamed("a", "i"))
	gone := join(t, s, group, memberNamed("b", "i"))
	require.NoError(t, gone.Leave(soon(t)))
	won := claimAll(t, s, claimsOf(group, "a", partitions(20)), nil)
	old, err := s.Keeper().Term(soon(t))
	require.NoError(t, err)
	canary, err := client.Put(soon(t), "/canary", "", clientv3.WithLease(old.ID()))
	require.NoError(t, err)
	cluster.Member(0).Stop()
	<-old.Done()
	cluster.Member(0).Restart()
	id := leaseOf(t, s)
	require.NotEqual(t, old.ID(), id)

	var moved []string
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	for resp := range client.Watch(ctx, "/", clientv3.WithRange("0"), clientv3.WithRev(canary.Header.Revision+1)) {
		require.NoError(t, resp.Err())
		for _, e := range resp.Events {
			if string(e.Kv.Key) == "/canary" {
				cancel() // the old lease was revoked
				break
			}
			require.Equal(t, mvccpb.PUT, e.Type)
			require.Equal(t, int64(id), e.Kv.Lease)
			moved = append(moved, string(e.Kv.Key))
		}
	}
	require.Len(t, moved, 1+len(won))
	require.Equal(t, s.keys.key(group, kindMember, "a"), moved[0])
	require.Len(t, s.Held(group), len(won))
	require.NoError(t, p.Update(soon(t), func(m *Member) { m.Weight = 2 }))
	require.NoError(t, p.Leave(soon(t)))
	require.Nil(t, recordAt(t, client, moved[0]))
}

// TestAnotherHasTakenThePlaceMeanwhile cuts a member off until its lease has run out and another process has its
// owner id.
func TestAnotherHasTakenThePlaceMeanwhile(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	direct := cluster.Client(t)
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	s := startMember(t, etcdtest.NewClient(t, []string{"http://" + proxy.Addr()}, impatient), time.Second)
	key := s.keys.key(group, kindMember, "a")
	p := join(t, s, group, memberNamed("a", "first"))
	old := leaseOf(t, s)
	proxy.Cut()
	awaitRecord(t, direct, key, isGone)
	other := startMember(t, direct, 10*time.Second)
	join(t, other, group, memberNamed("a", "second"))
	before := recordAt(t, direct, key)
	proxy.Heal(faultproxy.DropHeld)
	require.NotEqual(t, old, leaseOf(t, s))
	require.ErrorIs(t, p.Update(soon(t), func(*Member) {}), ErrOwnerInUse)
	require.NoError(t, p.Leave(soon(t)))
	require.Equal(t, before, recordAt(t, direct, key))
}

// TestALeaseLostInBetweenIsWaitedOut takes the lease away under a store whose keeper has not noticed yet.
func TestALeaseLostInBetweenIsWaitedOut(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 3*time.Second)
	key := s.keys.key(group, kindMember, "a")
	lose := func() clientv3.LeaseID {
		id := leaseOf(t, s)
		_, err := client.Revoke(soon(t), id)
		require.NoError(t, err)
		return id
	}
	old := lose()
	p := join(t, s, group, memberNamed("a", "i"))
	require.NotEqual(t, old, leaseOf(t, s))
	old = lose()
	changes := 0
	require.NoError(t, p.Update(soon(t), func(m *Member) { m.Leaving = true; changes++ }))
	require.Equal(t, 1, changes)
	require.NotEqual(t, old, leaseOf(t, s))
	found := recordAt(t, client, key)
	require.Equal(t, int64(leaseOf(t, s)), found.Lease)
	member, err := decodeMember(found.Value)
	require.NoError(t, err)
	require.True(t, member.Leaving)
}

// unansweredPut has call put a record at key and get no answer.
func (d *distant) unansweredPut(t *testing.T, key string, call func()) (returned *sync.WaitGroup) {
	t.Helper()
	before := recordAt(t, d.direct, key)
	d.road.proxy.CutToClient()
	returned = &sync.WaitGroup{}
	returned.Go(call)
	awaitRecord(t, d.direct, key, func(kv *mvccpb.KeyValue) bool {
		return kv != nil && (before == nil || kv.ModRevision > before.ModRevision)
	})
	return returned
}

func TestAnUnansweredJoinIsSettledByTheSameTransaction(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	key := d.keys.key(d.group, kindMember, "a")
	var err error
	var p *Presence
	returned := d.unansweredPut(t, key, func() { p, err = d.Join(soon(t), d.group, memberNamed("a", "i")) })
	d.road.lose()
	returned.Wait()
	require.NoError(t, err)
	require.Equal(t, int64(1), recordAt(t, d.direct, key).Version, "the second copy changed nothing")
	require.NoError(t, p.Leave(soon(t)))
	require.Nil(t, recordAt(t, d.direct, key))
}

// TestOnesOwnLeftoverIsNoDuplicate gives up a join that etcd has carried out. Its record is under a lease that this
// very process renews.
func TestOnesOwnLeftoverIsNoDuplicate(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	key := d.keys.key(d.group, kindMember, "a")
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	var err error
	returned := d.unansweredPut(t, key, func() { _, err = d.Join(ctx, d.group, memberNamed("a", "given up")) })
	cancel()
	returned.Wait()
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	d.road.lose()
	join(t, d.Store, d.group, memberNamed("a", "again"))
	require.Equal(t, int64(2), recordAt(t, d.direct, key).Version)

	// But one that is joined is one.
	_, err = d.Join(soon(t), d.group, memberNamed("a", "twice"))
	require.ErrorIs(t, err, ErrOwnerInUse)
}

// TestLeaveAfterAnUnknownUpdate leaves when the record is a later one than the member knows of.
func TestLeaveAfterAnUnknownUpdate(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	key := d.keys.key(d.group, kindMember, "a")
	p := join(t, d.Store, d.group, memberNamed("a", "i"))
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	var err error
	returned := d.unansweredPut(t, key, func() { err = p.Update(ctx, func(m *Member) { m.Leaving = true }) })
	cancel()
	returned.Wait()
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	d.road.lose()
	require.NoError(t, p.Leave(soon(t)))
	require.Nil(t, recordAt(t, d.direct, key))
}

// TestJoinEndsWithItsStore closes a store that waits for another process's end.
func TestJoinEndsWithItsStore(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	leftBehind(t, client, s.keys.key(group, kindMember, "a"), 600)
	errs := make(chan error, 1)
	go func() {
		_, err := s.Join(context.Background(), group, memberNamed("a", "i"))
		errs <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.Join(ctx, group, memberNamed("a", "ii"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, s.Close(soon(t)))
	require.ErrorIs(t, <-errs, ErrClosed)
}

// A member that leaves while its record is being put again, which etcd does not answer, waits no longer than it may.
func TestALeaveWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	p := join(t, d.Store, d.group, Member{OwnerID: "owner", Instance: "instance"})
	before := recordAt(t, d.direct, p.key)
	d.road.proxy.CutToClient()
	updated := make(chan error, 1)
	go func() { updated <- p.Update(soon(t), func(m *Member) { m.Weight = 2 }) }()
	require.Eventually(t, func() bool {
		return recordAt(t, d.direct, p.key).ModRevision > before.ModRevision
	}, patience, 10*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.Leave(ctx), context.DeadlineExceeded)
	require.Empty(t, updated, "the update is still under way")
	d.road.deliver()
	require.NoError(t, <-updated)
	require.NoError(t, p.Leave(soon(t)))
	require.Nil(t, recordAt(t, d.direct, p.key))
}
