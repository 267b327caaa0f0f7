package etcdstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// distant is a store behind a bad network.
type distant struct {
	*Store

	road   *road
	sent   *tally
	server *tally
	direct *clientv3.Client
	near   *Store // another store, on a good one
	group  Group
}

func startDistant(t *testing.T) *distant {
	t.Helper()
	return startDistantFor(t, 10*time.Second)
}

// startDistantFor sets how soon the store's keeper notices the end of its lease: within a third of that.
func startDistantFor(t *testing.T, ttl time.Duration) *distant {
	t.Helper()
	cluster, server := lateEtcd(t)
	d := &distant{sent: newTally(), server: server, direct: cluster.Client(t), group: testGroup(t)}
	d.road = newRoad(t, cluster, d.sent.onClient)
	d.Store = startStore(t, d.road.client, startKeeper(t, d.direct, ttl), nil)
	d.near = startStore(t, d.direct, startKeeper(t, d.direct, 10*time.Second), nil)
	return d
}

// dropAnswers has call make requests of which etcd applies n records and no answer comes back.
func (d *distant) dropAnswers(t *testing.T, n int, call func()) (returned *sync.WaitGroup) {
	t.Helper()
	before := d.server.of(d.server.ids()).applied
	d.road.proxy.CutToClient()
	returned = &sync.WaitGroup{}
	returned.Go(call)
	d.server.wait(t, "records", func(counts map[string]tallied) bool {
		applied := 0
		for _, c := range counts {
			applied += c.applied
		}
		return applied == before+n
	})
	return returned
}

func TestUnansweredClaimsAreSettledByTheSameTransaction(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	claims := claimsOf(d.group, "owner", partitions(100))
	var won []Ownership
	var err error
	returned := d.dropAnswers(t, len(claims), func() { won, err = d.ClaimOwnership(soon(t), claims, nil) })
	d.road.lose()
	returned.Wait()
	require.NoError(t, err)
	require.Equal(t, idsOf(claims), idsOf(won), "each winner is reported once, in the order of the claims")
	sum := d.server.of(d.server.ids())
	require.Equal(t, len(claims), sum.applied, "no claim was applied twice")
	require.Greater(t, sum.copies, len(claims))
	requireNobodyIdle(t, d.Store, d.group)
	_, _, err = d.Start(won[99])
	require.NoError(t, err)
	require.NoError(t, d.UpdateCheckpoint(soon(t), at(won[99], 1), &UpdateOptions{Fence: &won[99]}))
}

func TestUnansweredClaimsAreUnknownWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	claims := claimsOf(d.group, "owner", partitions(10))
	var won []Ownership
	var err error
	returned := d.dropAnswers(t, len(claims), func() { won, err = d.ClaimOwnership(ctx, claims, nil) })
	cancel()
	returned.Wait()
	require.Empty(t, won)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrOwnershipLost)
	d.road.deliver()
	awaitOwnerships(t, d.near, d.group, 0)
	requireNobodyIdle(t, d.Store, d.group)
}

// TestPartialSuccessReturnsWinnersAndError ends a call between its first transactions and its last.
func TestPartialSuccessReturnsWinnersAndError(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	d.limits.ops.Store(8) // claims travel in several transactions
	claims := claimsOf(d.group, "owner", partitions(64))
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	// Eight transactions are answered before the network holds the next, as many as go at a time.
	const answered, stuck = 8, batchesInFlight
	var mu sync.Mutex
	var begun, ended int
	var late []string
	cut, held := make(chan struct{}), make(chan struct{})
	d.sent.hook(func(req *pb.TxnRequest) {
		mu.Lock()
		begun++
		n := begun
		if n > answered && n <= answered+stuck {
			late = slices.AppendSeq(late, maps.Keys(idsIn(req)))
		}
		mu.Unlock()
		if n > answered {
			<-cut
		}
		if n == answered+stuck {
			close(held)
		}
	}, func(*pb.TxnRequest) {
		mu.Lock()
		defer mu.Unlock()
		if ended++; ended == answered {
			d.road.cut()
			close(cut)
		}
	})
	var won []Ownership
	var err error
	var returned sync.WaitGroup
	returned.Go(func() { won, err = d.ClaimOwnership(ctx, claims, nil) })
	<-held
	d.road.await(t, late)
	d.road.mute()
	cancel()
	returned.Wait()
	require.Len(t, won, answered*4)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, ErrOutcomeUnknown, "some were under way")
	d.road.lose()
	d.road.deliver()
	d.server.wait(t, "late copies", func(counts map[string]tallied) bool {
		return !slices.ContainsFunc(late, func(id string) bool { return counts[id].applied == 0 })
	})
	awaitOwnerships(t, d.near, d.group, len(won))
	require.ElementsMatch(t, idsOf(won), idsOf(d.held()))
	requireNobodyIdle(t, d.Store, d.group)
}

// awaitOwnerships waits until a group has that many records.
func awaitOwnerships(t *testing.T, s *Store, group Group, n int) {
	t.Helper()
	m, err := s.Watch(soon(t), group, nil)
	require.NoError(t, err)
	defer m.Close()
	awaitMirror(t, m, func(snapshot *Snapshot) bool { return len(snapshot.Ownerships) == n })
}

// awaitMirror waits until done says so of what the mirror shows.
func awaitMirror(t *testing.T, m *Mirror, done func(*Snapshot) bool) *Snapshot {
	t.Helper()
	ctx := soon(t)
	for {
		snapshot := m.Snapshot()
		if done(snapshot) {
			return snapshot
		}
		select {
		case <-snapshot.Changed():
			require.NoError(t, m.Err())
		case <-ctx.Done():
			t.Fatalf("the mirror stays at %+v", snapshot)
		}
	}
}

func TestUnansweredCheckpointsAreSettledByTheSameTransaction(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	won := claimAll(t, d.Store, claimsOf(d.group, "owner", partitions(writesInFlight)), nil)
	var errs []error
	var mu sync.Mutex
	returned := d.dropAnswers(t, len(won), func() {
		var writing sync.WaitGroup
		for _, o := range won {
			writing.Go(func() {
				err := d.UpdateCheckpoint(soon(t), at(o, 1), &UpdateOptions{Fence: &o})
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		writing.Wait()
	})
	_, was := sequences(t, d.direct, d.Store, d.group)
	d.road.lose()
	returned.Wait()
	require.Equal(t, make([]error, len(won)), errs)
	_, is := sequences(t, d.direct, d.Store, d.group)
	require.Equal(t, was, is, "the second copies changed nothing")
	for _, o := range won {
		require.NoError(t, d.UpdateCheckpoint(soon(t), at(o, 2), &UpdateOptions{Fence: &o}), "the chain goes on")
	}
}

func TestUnansweredCheckpointIsSettledBeforeTheNext(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	o := claimAll(t, d.Store, claimsOf(d.group, "owner", []string{"0"}), nil)[0]
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	var err error
	returned := d.dropAnswers(t, 1, func() { err = d.UpdateCheckpoint(ctx, at(o, 1), &UpdateOptions{Fence: &o}) })
	cancel()
	returned.Wait()
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	waiting, stop := context.WithCancel(soon(t))
	var second error
	returned.Go(func() { second = d.UpdateCheckpoint(waiting, at(o, 2), &UpdateOptions{Fence: &o}) })
	key := d.keys.key(d.group, kindCheckpoint, "0")
	awaitWriter(t, d.Store, func(w *writer) bool { return len(w.lanes[key].queue) == 1 })
	stop()
	returned.Wait()
	require.ErrorIs(t, second, context.Canceled)
	require.NotErrorIs(t, second, ErrOutcomeUnknown, "it was taken back before it was sent")
	d.road.deliver()
	require.NoError(t, d.UpdateCheckpoint(soon(t), at(o, 3), &UpdateOptions{Fence: &o}))
	numbers, _ := sequences(t, d.direct, d.Store, d.group)
	require.Equal(t, map[string]int64{"0": 3}, numbers)
}

// TestLostOrUnknown takes a partition away while a checkpoint of it is under way. Whether that was written is
// known only if nothing was written since.
func TestLostOrUnknown(t *testing.T) {
	t.Parallel()
	for _, view := range []struct {
		name string
		of   func(*Store, Ownership) func(context.Context, Checkpoint) error
	}{
		{name: "fenced", of: func(s *Store, o Ownership) func(context.Context, Checkpoint) error {
			return func(ctx context.Context, c Checkpoint) error {
				return s.UpdateCheckpoint(ctx, c, &UpdateOptions{Fence: &o})
			}
		}},
		{name: "holder", of: func(s *Store, _ Ownership) func(context.Context, Checkpoint) error {
			return func(ctx context.Context, c Checkpoint) error { return s.Holder().UpdateCheckpoint(ctx, c, nil) }
		}},
	} {
		t.Run(view.name+", written and replaced", func(t *testing.T) {
			t.Parallel()
			d := startDistant(t)
			o := claimAll(t, d.Store, claimsOf(d.group, "owner", []string{"0"}), nil)[0]
			var err error
			returned := d.dropAnswers(t, 1, func() { err = view.of(d.Store, o)(soon(t), at(o, 1)) })
			d.replace(t, o, 2)
			d.road.lose()
			returned.Wait()
			require.ErrorIs(t, err, ErrOwnershipLost)
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			numbers, _ := sequences(t, d.direct, d.Store, d.group)
			require.Equal(t, map[string]int64{"0": 2}, numbers)
			require.Empty(t, d.held())
		})
		t.Run(view.name+", not written", func(t *testing.T) {
			t.Parallel()
			d := startDistant(t)
			o := claimAll(t, d.Store, claimsOf(d.group, "owner", []string{"0"}), nil)[0]
			d.road.cut()
			before := d.sent.ids()
			var err error
			var returned sync.WaitGroup
			returned.Go(func() { err = view.of(d.Store, o)(soon(t), at(o, 1)) })
			d.sent.wait(t, "a checkpoint", func(counts map[string]tallied) bool { return len(counts) > len(before) })
			late := slices.DeleteFunc(d.sent.ids(), func(id string) bool { return slices.Contains(before, id) })
			d.road.await(t, late)
			d.replace(t, o)
			d.road.lose()
			returned.Wait()
			require.ErrorIs(t, err, ErrOwnershipLost)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			d.road.deliver()
			d.server.wait(t, "the late copy", func(counts map[string]tallied) bool { return counts[late[0]].copies == 2 })
			numbers, _ := sequences(t, d.direct, d.Store, d.group)
			require.Empty(t, numbers)
		})
	}
}

// replace has the near store take a partition away, and write those checkpoints.
func (d *distant) replace(t *testing.T, o Ownership, written ...int64) {
	t.Helper()
	o.OwnerID = "other"
	o = claimAll(t, d.near, []Ownership{o}, nil)[0]
	for _, sequence := range written {
		require.NoError(t, d.near.UpdateCheckpoint(soon(t), at(o, sequence), &UpdateOptions{Fence: &o}))
	}
}

// TestCloseWithWritesUnderWay closes a store that gets no answers.
func TestCloseWithWritesUnderWay(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	o := claimAll(t, d.Store, claimsOf(d.group, "owner", partitions(2)), nil)
	mirror, err := d.Watch(soon(t), d.group, nil)
	require.NoError(t, err)
	var sent, waiting, claim error
	d.road.cut()
	var returned sync.WaitGroup
	returned.Go(func() { sent = d.UpdateCheckpoint(context.Background(), at(o[0], 1), &UpdateOptions{Fence: &o[0]}) })
	key := d.keys.key(d.group, kindCheckpoint, "0")
	awaitWriter(t, d.Store, func(w *writer) bool { return w.lanes[key] != nil && w.lanes[key].busy })
	returned.Go(func() { waiting = d.UpdateCheckpoint(context.Background(), at(o[0], 2), &UpdateOptions{Fence: &o[0]}) })
	awaitWriter(t, d.Store, func(w *writer) bool { return len(w.lanes[key].queue) == 1 })
	before := len(d.sent.ids())
	returned.Go(func() {
		_, claim = d.ClaimOwnership(context.Background(), claimsOf(d.group, "owner", []string{"2"}), nil)
	})
	d.sent.wait(t, "a claim", func(counts map[string]tallied) bool { return len(counts) > before })

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, d.Close(ctx), context.Canceled)
	returned.Wait()
	require.ErrorIs(t, sent, ErrOutcomeUnknown)
	require.ErrorIs(t, sent, ErrClosed)
	require.ErrorIs(t, waiting, ErrClosed)
	require.NotErrorIs(t, waiting, ErrOutcomeUnknown)
	require.ErrorIs(t, claim, ErrOutcomeUnknown)
	require.ErrorIs(t, claim, ErrClosed)
	require.ErrorIs(t, mirror.Err(), ErrClosed)
	<-mirror.Snapshot().Changed()
	require.NoError(t, d.Close(context.Background()))

	_, err = d.ClaimOwnership(soon(t), claimsOf(d.group, "owner", []string{"3"}), nil)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, d.UpdateCheckpoint(soon(t), at(o[1], 1), &UpdateOptions{Fence: &o[1]}), ErrClosed)
	_, err = d.Holder().ListOwnership(soon(t), d.group)
	require.ErrorIs(t, err, ErrClosed)
	_, err = d.Watch(soon(t), d.group, nil)
	require.ErrorIs(t, err, ErrClosed)

	next := startStore(t, d.direct, d.keeper, nil)
	claimAll(t, next, claimsOf(d.group, "next", []string{"4"}), nil)
}

// TestCloseLetsWritesFinish closes a store while its writes are on a slow link.
func TestCloseLetsWritesFinish(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	won := claimAll(t, d.Store, claimsOf(d.group, "owner", partitions(20)), nil)
	d.road.cut()
	errs := make([]error, len(won))
	var returned sync.WaitGroup
	for i, o := range won {
		returned.Go(func() { errs[i] = d.UpdateCheckpoint(soon(t), at(o, 1), &UpdateOptions{Fence: &o}) })
	}
	awaitWriter(t, d.Store, func(w *writer) bool { return len(w.lanes) == len(won) })
	closed := make(chan error, 1)
	go func() { closed <- d.Close(soon(t)) }()
	awaitWriter(t, d.Store, func(w *writer) bool { return w.closed })
	d.road.deliver()
	require.NoError(t, <-closed)
	returned.Wait()
	require.NoError(t, errors.Join(errs...))
	numbers, _ := sequences(t, d.direct, d.Store, d.group)
	require.Len(t, numbers, len(won))
}

// TestClaimWaitingForALeaseEndsWithItsStore closes a store whose keeper has no term to give.
func TestClaimWaitingForALeaseEndsWithItsStore(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	client, group := cluster.Client(t), testGroup(t)
	keeper := startKeeper(t, client, time.Second)
	s := startStore(t, client, keeper, nil)
	term, err := keeper.Term(soon(t))
	require.NoError(t, err)
	cluster.Member(0).Stop()
	<-term.Done()
	errs := make(chan error, 2)
	go func() {
		_, err := s.ClaimOwnership(context.Background(), claimsOf(group, "owner", []string{"0"}), nil)
		errs <- err
	}()
	go func() {
		_, err := s.Holder().ListOwnership(context.Background(), group)
		errs <- err
	}()
	require.NoError(t, s.Close(soon(t)))
	require.ErrorIs(t, <-errs, ErrClosed)
	require.ErrorIs(t, <-errs, ErrClosed)
	cluster.Member(0).Restart() // for the keeper to revoke its lease
}
