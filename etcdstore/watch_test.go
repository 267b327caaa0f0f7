package etcdstore

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
	"github.com/tenure-go/tenure/internal/metrics/metricstest"
	"github.com/tenure-go/tenure/lease"
)

// randomWrites writes to a group's keys whatever can stand there, and what should not.
type randomWrites struct {
	random *rand.Rand
	client *clientv3.Client
	keys   keyspace
	group  Group
	lease  clientv3.LeaseID
}

func newRandomWrites(t *testing.T, random *rand.Rand, client *clientv3.Client) *randomWrites {
	t.Helper()
	keys, err := newKeyspace("")
	require.NoError(t, err)
	granted, err := client.Grant(soon(t), 600)
	require.NoError(t, err)
	return &randomWrites{random: random, client: client, keys: keys, group: testGroup(t), lease: granted.ID}
}

// write makes one transaction of random changes and returns its revision.
func (w *randomWrites) write(t *testing.T) int64 {
	t.Helper()
	var ops []clientv3.Op
	taken := map[string]bool{}
	for range 1 + w.random.IntN(5) {
		if op := w.op(); !taken[string(op.KeyBytes())] {
			taken[string(op.KeyBytes())] = true
			ops = append(ops, op)
		}
	}
	resp, err := w.client.Txn(soon(t)).Then(ops...).Commit()
	require.NoError(t, err)
	return resp.Header.Revision
}

func (w *randomWrites) op() clientv3.Op {
	name := strconv.Itoa(w.random.IntN(8))
	kinds := []kind{kindOwnership, kindCheckpoint, kindMember, kindControl, kindReserved, "later"}
	kd := kinds[w.random.IntN(len(kinds))]
	if kd == kindControl {
		controls := []string{
			controlName(controlPartitions), controlName(controlAvoid, name, "a/b"), controlName(controlPin, name),
			controlName(controlPause, name), controlName(controlCordon, "a b"), controlName(controlDrain, name),
			controlName("later", name), controlName(controlPin, name, name),
		}
		name = controls[w.random.IntN(len(controls))]
	}
	key := w.keys.key(w.group, kd, name)
	now := time.Unix(int64(w.random.IntN(1<<20)), 0)
	number := w.random.Int64()
	var value string
	switch kd {
	case kindOwnership:
		value = string(ownershipRecord{OwnerID: name, LastModifiedTime: now, ClaimID: "id"}.encode())
	case kindCheckpoint:
		value = string(checkpointRecord{SequenceNumber: &number, LastModifiedTime: now}.encode())
	case kindMember:
		value = fmt.Sprintf(`{"owner_id":%q,"weight":%d,"started_at":"2026-01-01T00:00:00Z"}`, name, w.random.IntN(9))
	case kindReserved:
		value = string(encodePartitions(partitions(w.random.IntN(3))))
	case kindControl:
		value = string(Control{OwnerID: "x", Reason: strconv.FormatInt(number, 10)}.encode())
		if name == controlPartitions {
			value = string(encodePartitions(partitions(w.random.IntN(3))))
		}
	default:
		value = strconv.FormatInt(number, 10)
	}
	switch w.random.IntN(12) {
	case 0, 1:
		return clientv3.OpDelete(key)
	case 2:
		value = `{"owner_id":`
	case 3:
		key = w.keys.group(w.group) + string(kd) + "/%zz" // no name
	case 4:
		return clientv3.OpPut(w.keys.prefix+"/another/group/here/ownership/1", value)
	case 5, 6, 7:
		return clientv3.OpPut(key, value)
	}
	return clientv3.OpPut(key, value, clientv3.WithLease(w.lease))
}

// snapshotAt reads a group as it was at a revision, as a mirror that begins there sees it.
func snapshotAt(
	t *testing.T, s *Store, client *clientv3.Client, group Group, revision int64, withCheckpoints bool,
) *Snapshot {
	t.Helper()
	from := s.keys.group(group)
	if !withCheckpoints {
		from += string(kindControl) + "/"
	}
	resp, err := client.Get(soon(t), from,
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.keys.group(group))), clientv3.WithRev(revision))
	require.NoError(t, err)
	m := &Mirror{store: s, changed: make(chan struct{})}
	m.current = Snapshot{Group: group}
	m.reset(resp.Kvs, revision, withCheckpoints)
	return m.Snapshot()
}

// requireSame demands that two snapshots show the same.
func requireSame(t *testing.T, want, got *Snapshot) {
	t.Helper()
	require.Empty(t, cmp.Diff(want, got, cmpopts.IgnoreUnexported(Snapshot{}), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })))
}

// TestMirrorEqualsAListing compares the mirror with what is listed, at each revision that it happens to show while
// everything changes at random, and at the last.
func TestMirrorEqualsAListing(t *testing.T) {
	t.Parallel()
	random := newRand(t)
	client := etcdtest.Start(t).Client(t)
	s := startStore(t, client, nil, nil)
	w := newRandomWrites(t, random, client)
	for range 20 {
		w.write(t)
	}
	for _, withCheckpoints := range []bool{false, true} {
		m, err := s.Watch(soon(t), w.group, &WatchOptions{Checkpoints: withCheckpoints})
		require.NoError(t, err)
		require.Equal(t, withCheckpoints, m.Snapshot().Checkpoints != nil)
		compared := map[int64]bool{}
		compare := func() {
			snapshot := m.Snapshot()
			if !compared[snapshot.Revision] {
				compared[snapshot.Revision] = true
				requireSame(t, snapshotAt(t, s, client, w.group, snapshot.Revision, withCheckpoints), snapshot)
			}
		}
		var snapshot *Snapshot
		catchUp := func() {
			last, err := client.Put(soon(t), w.keys.key(w.group, kindControl, "last"), "")
			require.NoError(t, err)
			snapshot = awaitMirror(t, m, func(snapshot *Snapshot) bool { return snapshot.Revision == last.Header.Revision })
			compare()
		}
		for i := range 300 {
			w.write(t)
			if i%20 == 19 {
				catchUp() // on a busy machine the mirror would show few revisions otherwise
			} else if random.IntN(4) == 0 {
				compare()
			}
		}
		fmt.Printf("%s: compared at %d revisions\n", t.Name(), len(compared))
		require.Greater(t, len(compared), 10)

		// And with what the store lists.
		listed, err := s.ListOwnership(soon(t), w.group)
		for _, o := range listed {
			require.Equal(t, o, snapshot.Ownerships[o.PartitionID])
		}
		claimable := len(listed)
		for _, bad := range recordErrors(err) {
			require.Contains(t, snapshot.Corrupt, bad.Key)
			if _, _, partition, err := w.keys.parse(bad.Key); err == nil {
				claimable++
				require.Equal(t, Ownership{Group: w.group, PartitionID: partition, ETag: bad.ETag},
					snapshot.Ownerships[partition], "it can be claimed, with its etag")
			}
		}
		require.Len(t, snapshot.Ownerships, claimable)
		m.Close()
	}
}

func TestSnapshotsDoNotChange(t *testing.T) {
	t.Parallel()
	random := newRand(t)
	client := etcdtest.Start(t).Client(t)
	s := startStore(t, client, nil, nil)
	w := newRandomWrites(t, random, client)
	m, err := s.Watch(soon(t), w.group, &WatchOptions{Checkpoints: true})
	require.NoError(t, err)
	revision := int64(0)
	for range 50 {
		revision = w.write(t)
	}
	before := m.Snapshot()
	was := snapshotAt(t, s, client, w.group, before.Revision, true)
	for range 50 {
		revision = w.write(t)
	}
	last, err := client.Put(soon(t), w.keys.key(w.group, kindControl, "last"), "")
	require.NoError(t, err)
	require.Greater(t, last.Header.Revision, revision)
	after := awaitMirror(t, m, func(snapshot *Snapshot) bool { return snapshot.Revision == last.Header.Revision })
	requireSame(t, was, before)
	require.Same(t, after, m.Snapshot(), "no copy while nothing changes")
	select {
	case <-after.Changed():
		t.Fatal("nothing has changed since")
	default:
	}
}

// startRemote returns a store that reaches etcd through a proxy, and what writes there without one.
func startRemote(t *testing.T) (*Store, *faultproxy.Proxy, *randomWrites) {
	t.Helper()
	random, cluster := newRand(t), etcdtest.Start(t)
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	s := startStore(t, etcdtest.NewClient(t, []string{"http://" + proxy.Addr()}, impatient), nil, nil)
	return s, proxy, newRandomWrites(t, random, cluster.Client(t))
}

// TestChangesAddUp keeps what a mirror says has changed, while everything changes at random and what the mirror has
// missed is compacted at times, and compares that with its snapshots.
func TestChangesAddUp(t *testing.T) {
	t.Parallel()
	s, proxy, w := startRemote(t)
	w.write(t)
	m, err := s.Watch(soon(t), w.group, &WatchOptions{Checkpoints: true})
	require.NoError(t, err)
	kept, listed, told := make(map[string]Ownership), 0, 0
	follow := func() *Snapshot {
		changes, gone, anew := m.Changes()
		if anew {
			clear(kept)
			listed++
		}
		for _, id := range gone {
			delete(kept, id)
		}
		maps.Copy(kept, changes.Ownerships)
		told += len(changes.Ownerships) + len(gone)
		return changes
	}
	for i := range 200 {
		if i%50 == 25 {
			proxy.Cut()
			var missed int64
			for range 5 {
				missed = w.write(t)
			}
			_, err := w.client.Compact(soon(t), missed)
			require.NoError(t, err)
			proxy.Heal(faultproxy.DropHeld)
		}
		revision := w.write(t)
		if w.random.IntN(3) == 0 {
			follow()
		}
		if i%20 == 19 {
			last, err := w.client.Put(soon(t), w.keys.key(w.group, kindControl, "last"), strconv.FormatInt(revision, 10))
			require.NoError(t, err)
			snapshot := awaitMirror(t, m, func(s *Snapshot) bool { return s.Revision == last.Header.Revision })
			changes := follow()
			require.Equal(t, snapshot.Ownerships, kept)
			without := *snapshot
			without.Ownerships, without.Checkpoints = changes.Ownerships, nil
			requireSame(t, &without, changes)
		}
	}
	fmt.Printf("%s: %d changes told; listed %d times\n", t.Name(), told, listed)
	require.Greater(t, told, 50)
	require.Greater(t, listed, 1, "at first, and after a compaction")
	_, gone, anew := m.Changes()
	require.Empty(t, gone)
	require.False(t, anew, "nothing is told twice")
}

// TestMirrorAfterCompaction cuts a mirror off, changes the group and compacts the history that it would need.
func TestMirrorAfterCompaction(t *testing.T) {
	t.Parallel()
	s, proxy, w := startRemote(t)
	m, err := s.Watch(soon(t), w.group, &WatchOptions{Checkpoints: true})
	require.NoError(t, err)
	for range 5 {
		seen := w.write(t)
		proxy.Cut()
		for range 20 {
			seen = w.write(t)
		}
		_, err := w.client.Compact(soon(t), seen)
		require.NoError(t, err)
		proxy.Heal(faultproxy.DropHeld)
		snapshot := awaitMirror(t, m, func(snapshot *Snapshot) bool { return snapshot.Revision >= seen })
		requireSame(t, snapshotAt(t, s, w.client, w.group, snapshot.Revision, true), snapshot)
	}
	require.NoError(t, m.Err())
	require.GreaterOrEqual(t, metricstest.Read(t, s.Metrics())[`tenure_watch_resyncs_total{reason="lost"}`], 5)
}

// TestMirrorOnAMemberWithoutLeader leaves a mirror with a member that has lost its quorum. It must not sit there
// for ever when others go on.
func TestMirrorOnAMemberWithoutLeader(t *testing.T) {
	t.Parallel()
	random := newRand(t)
	cluster := etcdtest.StartCluster(t, 3)
	all := cluster.Client(t)
	lines := make(lineChannel, 100)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), lines, zap.WarnLevel))
	s := startStore(t, etcdtest.NewClient(t, []string{cluster.Member(0).Endpoint()}, impatient), nil,
		&Options{Logger: log})
	w := newRandomWrites(t, random, all)
	m, err := s.Watch(soon(t), w.group, nil)
	require.NoError(t, err)
	w.write(t)
	cluster.Member(1).Stop()
	cluster.Member(2).Stop()
	select {
	case line := <-lines:
		require.Contains(t, line, "lost the watch")
		require.Contains(t, line, "no leader")
	case <-soon(t).Done():
		t.Fatal("the watch goes on without a leader")
	}
	require.NoError(t, m.Err())
	cluster.Member(1).Restart()
	w.write(t)
	end, err := all.Put(soon(t), w.keys.key(w.group, kindControl, "last"), "")
	require.NoError(t, err)
	snapshot := awaitMirror(t, m, func(snapshot *Snapshot) bool { return snapshot.Revision >= end.Header.Revision })
	requireSame(t, snapshotAt(t, s, all, w.group, snapshot.Revision, false), snapshot)
}

// lineChannel is a log that can be waited for.
type lineChannel chan string

func (c lineChannel) Write(line []byte) (int, error) {
	select {
	case c <- string(line):
	default:
	}
	return len(line), nil
}

func (c lineChannel) Sync() error { return nil }

func TestMirrorEnds(t *testing.T) {
	t.Parallel()
	client := etcdtest.Start(t).Client(t)
	s := startStore(t, client, nil, nil)
	first, err := s.Watch(soon(t), testGroup(t), nil)
	require.NoError(t, err)
	second, err := s.Watch(soon(t), testGroup(t), nil)
	require.NoError(t, err)
	before := first.Snapshot()
	first.Close()
	first.Close()
	<-before.Changed()
	<-first.Snapshot().Changed() // who did not look at Err must not wait for ever
	require.ErrorIs(t, first.Err(), ErrClosed)
	require.NoError(t, second.Err())
	require.NoError(t, s.Close(soon(t)))
	<-second.Snapshot().Changed()
	require.ErrorIs(t, second.Err(), ErrClosed)
	second.Close()
	_, err = s.Watch(soon(t), testGroup(t), nil)
	require.ErrorIs(t, err, ErrClosed)
}

// TestWatchGivesUpWithItsContext watches an etcd that does not answer.
func TestWatchGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	d.road.proxy.Silence()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.Watch(ctx, d.group, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	d.road.deliver()
}

// TestMirrorDenied takes the right to read away from a mirror's user.
func TestMirrorDenied(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	root := cluster.Client(t)
	all := defaultPrefix + "/"
	read := clientv3.PermissionType(clientv3.PermRead)
	ctx := soon(t)
	etcdtest.EnableAuth(t, root, "secret", etcdtest.Grant{User: "reader", Prefix: all, Permission: read})
	login := func(user string) func(*clientv3.Config) {
		return func(cfg *clientv3.Config) { cfg.Username, cfg.Password = user, "secret" }
	}
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	s := startStore(t, etcdtest.NewClient(t, []string{"http://" + proxy.Addr()}, login("reader"), impatient), nil, nil)
	m, err := s.Watch(ctx, group, nil)
	require.NoError(t, err)
	_, err = cluster.Client(t, login("root")).RoleRevokePermission(ctx, "reader", all, clientv3.GetPrefixRangeEnd(all))
	require.NoError(t, err)
	proxy.Reset()
	select {
	case <-m.Snapshot().Changed():
	case <-ctx.Done():
		t.Fatal("the mirror has not ended")
	}
	require.ErrorIs(t, m.Err(), lease.ErrPermissionDenied)
	_, err = s.Watch(ctx, group, nil)
	require.ErrorIs(t, err, lease.ErrPermissionDenied)
}
