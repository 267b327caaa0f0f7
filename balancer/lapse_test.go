package balancer

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/clock"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// lapsing is a fleet whose first member can be made to find its trust lapsed for a moment, as it does when a renewal
// comes late and yet before anybody has told it that trust has ended.
type lapsing struct {
	*fleet

	member *testMember
	ahead  atomic.Int64 // of the clock that it trusts by, in nanoseconds
}

func newLapsing(t *testing.T, partitions int) *lapsing {
	t.Helper()
	l := &lapsing{fleet: newFleet(t, etcdtest.Start(t, etcdtest.Defaults).Endpoints(), partitions)}
	l.ttl = longTTL
	boot := clock.Boot()
	l.clock = func() time.Duration { return boot() + time.Duration(l.ahead.Load()) }
	l.member = l.start("a", idleHandler, func(o *Options) {
		o.Settle, o.SourceInterval = 200*time.Millisecond, time.Hour // nothing else has it look
	})
	l.clock = nil
	l.await("it has all", func(s *etcdstore.Snapshot) bool { return owners(s)["a"] == partitions })
	return l
}

// awaitRenewal waits until the next renewal, at a third of the time to live, is three quarters of a second away.
func (l *lapsing) awaitRenewal() *lease.Term {
	l.t.Helper()
	term, err := l.member.keeper.Term(soon(l.t))
	require.NoError(l.t, err)
	after := term.TTL()/3 - 750*time.Millisecond
	require.Eventually(l.t, func() bool {
		age := term.TTL() - stopGrace(term.TTL()) - term.Remaining() // the margin is as long
		return after < age && age < after+50*time.Millisecond
	}, longEnough, 10*time.Millisecond)
	return term
}

// lapse has trust lapse, with so much time left in the term that the renewal comes before its end.
func (l *lapsing) lapse(term *lease.Term) {
	l.ahead.Add(int64(term.Remaining() - stopGrace(term.TTL())*95/100))
}

// tell says so if the machine was too slow to show anything: the lease was replaced, which a member is told of.
func (l *lapsing) tell(term *lease.Term) {
	if term.Err() != nil {
		l.t.Log("the renewal has come too late for the term: this has shown nothing")
	}
}

// A member that finds its trust lapsed when it is to give something up does so when trust is there again, although
// nobody tells it.
func TestAMoveThatWasDueInALapseIsMade(t *testing.T) {
	t.Parallel()
	l := newLapsing(t, 4)
	other := l.make("b", l.endpoints, names(l.ids...), idleHandler)
	term := l.awaitRenewal()
	other.run()
	l.await("another has joined", func(s *etcdstore.Snapshot) bool { return len(s.Members) == 2 })
	l.lapse(term)
	l.await("they share", l.balanced(2))
	l.tell(term)
}

// So does one that was not told of a loss then.
func TestALossInALapseIsFound(t *testing.T) {
	t.Parallel()
	l := newLapsing(t, 1)
	lost := l.mirror.Snapshot().Ownerships["0"]
	term := l.awaitRenewal()
	l.lapse(term)
	require.NoError(t, l.observer.Release(soon(t), lost))
	l.await("it is owned again", func(s *etcdstore.Snapshot) bool {
		o, owned := s.Ownerships["0"]
		return owned && o.ETag != lost.ETag
	})
	l.tell(term)
}

// A claim is answered after its lease has gone and the store has claimed the partition again: the member handles it all
// the same, although the answer speaks of an ownership that is over.
func TestAnAnswerThatComesAfterATakeOver(t *testing.T) {
	t.Parallel()
	f := newFleet(t, etcdtest.Start(t, etcdtest.Defaults).Endpoints(), 4)
	m := f.start("a", idleHandler)
	first := f.await("it has all", func(s *etcdstore.Snapshot) bool { return owners(s)["a"] == 4 })
	late := f.ids[0]
	var trusted *trust
	handles := func() (handled bool) {
		m.within(func(w *worker) {
			s := w.slots[late]
			handled = s.phase == handling && w.trust != trusted && s.p.trust == w.trust
		})
		return handled
	}
	require.Eventually(t, handles, longEnough, 10*time.Millisecond)
	m.within(func(w *worker) {
		trusted = w.trust
		w.slots[late].enter(claiming) // as it was before the answer
	})
	term, err := m.keeper.Term(soon(t))
	require.NoError(t, err)
	_, err = f.client.Revoke(soon(t), term.ID())
	require.NoError(t, err)
	require.Eventually(t, func() (known bool) {
		m.within(func(w *worker) {
			known = w.trust != nil && w.trust != trusted
			for i := range f.ids {
				etag := w.view.holdings.etags[i]
				known = known && etag != "" && etag != first.Ownerships[w.view.input.Partitions[i]].ETag
			}
		})
		return known
	}, longEnough, 10*time.Millisecond)
	m.within(func(w *worker) {
		w.claimed(trusted, &batch{slots: []*slot{w.slots[late]}}, []etcdstore.Ownership{first.Ownerships[late]}, nil)
		w.observe()
	})
	require.Eventually(t, handles, longEnough, 10*time.Millisecond)
	m.leave()
	require.NoError(t, m.err)
}

// within does something in the member's own goroutine, between two steps.
func (m *testMember) within(do func(*worker)) {
	done := make(chan struct{})
	m.post(func(w *worker) {
		defer close(done)
		do(w)
	})
	select {
	case <-done:
	case <-m.done:
		m.t.Errorf("the member has ended: %v", m.err)
	}
}
