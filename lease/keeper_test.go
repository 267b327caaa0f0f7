package lease

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func TestOptionsAreCheckedTogether(t *testing.T) {
	_, err := NewKeeper(t.Context(), nil, &Options{TTL: 1500 * time.Millisecond})
	require.ErrorContains(t, err, "client is nil")
	require.ErrorContains(t, err, "Options.TTL is 1.5s: want whole seconds, at least 1s")
	_, err = NewKeeper(t.Context(), &clientv3.Client{}, &Options{TTL: -time.Second})
	require.ErrorContains(t, err, "Options.TTL is -1s")

	filled, err := (*Options)(nil).withDefaults(&clientv3.Client{})
	require.NoError(t, err)
	require.Equal(t, 10*time.Second, filled.TTL)
}

func TestFirstGrantRetriesUntilItsContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.answer = func(string, *pb.ResponseHeader) error { return rpctypes.ErrNoSpace }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := newKeeper(ctx, f, Options{TTL: time.Second, Logger: zap.NewNop()}, clock.now)
		require.ErrorIs(t, err, ErrNoSpace)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Greater(t, f.count("grant"), 20)
		require.Less(t, f.count("grant"), 100)
	})
}

func TestFirstGrantFailsAtOnceForGood(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.answer = func(string, *pb.ResponseHeader) error { return rpctypes.ErrAuthFailed }
		_, err := newKeeper(t.Context(), f, Options{TTL: time.Second, Logger: zap.NewNop()}, clock.now)
		require.ErrorIs(t, err, ErrPermissionDenied)
		require.Equal(t, 1, f.count("grant"))
	})
}

func TestFirstGrantUnanswered(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.silent = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := newKeeper(ctx, f, Options{TTL: time.Second, Logger: zap.NewNop()}, clock.now)
		require.ErrorIs(t, err, ErrUnreachable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// lose ends the keeper's term by a silence and lets etcd answer again.
func lose(t *testing.T, f *fakeEtcd, k *Keeper) *Term {
	t.Helper()
	term := currentTerm(t, k)
	f.set(func() { f.silent = true })
	waitEnd(t, term)
	f.set(func() { f.silent = false })
	return term
}

func TestHolderTakesOverBeforeTheTermIsOutAndTheOldLeaseGone(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		var got *Term
		var cause error
		fail, finish := make(chan struct{}), make(chan struct{})
		_, err := k.Attach(&fakeHolder{takeOver: func(_ context.Context, term *Term, why error) error {
			got, cause = term, why
			select {
			case <-fail:
				return errBoo
			case <-finish:
				return nil
			}
		}})
		require.NoError(t, err)
		old := lose(t, f, k)
		lost := old.ID()
		f.set(func() { f.leases[lost] = time.Now().Add(time.Hour) }) // as after a restart of etcd

		waiting := make(chan *Term)
		go func() {
			term, err := k.Term(context.Background())
			if err == nil {
				waiting <- term
			}
			close(waiting)
		}()
		settled := func() {
			pause(t.Context(), 20*time.Second) // the new term is renewed meanwhile
			synctest.Wait()
			require.Empty(t, waiting)
			require.True(t, f.alive(lost))
			require.NoError(t, got.Err())
		}
		settled()
		fail <- struct{}{}
		settled()
		close(finish)
		term := <-waiting
		require.Equal(t, got, term)
		require.NotEqual(t, lost, term.ID())
		require.ErrorIs(t, cause, ErrUnreachable)
		synctest.Wait()
		require.False(t, f.alive(lost))
		require.Equal(t, f.count("read"), f.count("read /holder/"))
	})
}

func TestTakeOverEndsWithTheTermAndStartsAgainWithTheNext(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		terms := make(chan *Term, 10)
		_, err := k.Attach(&fakeHolder{takeOver: func(ctx context.Context, term *Term, _ error) error {
			terms <- term
			if len(terms) > 1 {
				return nil
			}
			<-ctx.Done()
			require.Error(t, term.Err())
			return ctx.Err()
		}})
		require.NoError(t, err)
		first := lose(t, f, k)
		second := func() *Term {
			for len(terms) == 0 {
				pause(t.Context(), time.Millisecond)
			}
			f.set(func() { delete(f.leases, 2) })
			return currentTerm(t, k)
		}()
		require.Len(t, terms, 2)
		require.Equal(t, clientv3.LeaseID(2), (<-terms).ID())
		require.Equal(t, second, <-terms)
		require.NotEqual(t, first.ID(), second.ID())
		synctest.Wait()
		require.False(t, f.alive(first.ID()), "every lease before the current one is revoked or gone")
		f.set(func() { require.NotContains(t, f.revoked, clientv3.LeaseID(2), "this one was known to be gone") })
	})
}

func TestDetachEndsTakeOverAndFreesTheKeeper(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		taking := make(chan struct{})
		holder := &fakeHolder{takeOver: func(ctx context.Context, _ *Term, _ error) error {
			close(taking)
			<-ctx.Done()
			return ctx.Err()
		}}
		detach, err := k.Attach(holder)
		require.NoError(t, err)
		_, err = k.Attach(&fakeHolder{})
		require.ErrorIs(t, err, ErrInUse)
		old := lose(t, f, k)
		<-taking
		detach()
		detach()
		require.NotEqual(t, old.ID(), currentTerm(t, k).ID())
		_, err = k.Attach(&fakeHolder{})
		require.NoError(t, err)
		detach() // frees nothing that is not its own
		_, err = k.Attach(&fakeHolder{})
		require.ErrorIs(t, err, ErrInUse)
	})
}

func TestWithoutAHolderTheNextTermIsOutAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		old := lose(t, f, k)
		f.set(func() { f.leases[old.ID()] = time.Now().Add(time.Hour) })
		next := currentTerm(t, k)
		synctest.Wait()
		require.False(t, f.alive(old.ID()))
		require.True(t, f.alive(next.ID()))
	})
}

func TestCloseStopsTheHolderThenEndsTheTermThenRevokes(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		var detach func()
		closed := 0
		detach, err := k.Attach(&fakeHolder{close: func(context.Context) error {
			closed++
			require.NoError(t, term.Err())
			_, err := k.Attach(&fakeHolder{})
			require.ErrorIs(t, err, ErrClosed)
			detach()
			return nil
		}})
		require.NoError(t, err)
		f.set(func() {
			f.answer = func(request string, _ *pb.ResponseHeader) error {
				if request == "revoke" {
					require.ErrorIs(t, term.Err(), ErrClosed)
				}
				return nil
			}
		})
		var closing sync.WaitGroup
		for range 3 {
			closing.Go(func() { require.NoError(t, k.Close(context.Background())) })
		}
		closing.Wait()
		require.Equal(t, 1, closed)
		require.False(t, f.alive(term.ID()))
		require.Equal(t, 1, f.count("revoke"))
		_, err = k.Term(t.Context())
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestCloseReportsWhatItCouldNotDoAndTriesAgain(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		_, err := k.Attach(&fakeHolder{close: func(context.Context) error { return errBoo }})
		require.NoError(t, err)
		f.set(func() { f.silent = true })
		start := time.Now()
		err = k.Close(context.Background())
		require.ErrorIs(t, err, errBoo)
		require.ErrorIs(t, err, ErrUnreachable)
		require.LessOrEqual(t, time.Since(start), 10*time.Second, "a lease's time, whatever the context")
		require.ErrorIs(t, term.Err(), ErrClosed)

		f.set(func() { f.silent = false })
		require.NoError(t, k.Close(context.Background()))
		require.False(t, f.alive(term.ID()))
	})
}

func TestCloseDuringAGrantAndDuringATakeOver(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		f.set(func() { f.silent, f.hang = true, "grant" })
		waitEnd(t, term)
		waiting := make(chan error, 1)
		go func() {
			_, err := k.Term(context.Background())
			waiting <- err
		}()
		synctest.Wait()
		f.set(func() { f.silent = false }) // too late for the grant under way, in time for revoking
		require.NoError(t, k.Close(context.Background()))
		require.ErrorIs(t, <-waiting, ErrClosed)
	})
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		taking := make(chan struct{})
		_, err := k.Attach(&fakeHolder{takeOver: func(ctx context.Context, _ *Term, _ error) error {
			close(taking)
			<-ctx.Done()
			return ctx.Err()
		}})
		require.NoError(t, err)
		lose(t, f, k)
		<-taking
		require.NoError(t, k.Close(context.Background()))
		for _, id := range []clientv3.LeaseID{1, 2} {
			require.False(t, f.alive(id))
		}
	})
}
