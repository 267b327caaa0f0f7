package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/backoff"
)

const (
	// renewPart is the part of the TTL after which the next renewal is sent; jitterPart the part of that by which it
	// varies, either way.
	renewPart  = 3
	jitterPart = 10

	// hurryPart bounds how much sooner renewals are sent over a slow link.
	hurryPart = 12

	// patiencePart is the part of the TTL that a renewal has for its answer before another is sent beside it.
	patiencePart = 12

	// retryFirstPart and retryLastPart are the parts of the TTL between which retries wait.
	retryFirstPart, retryLastPart = 100, 10

	// maxAttempts bounds the renewals under way. A link that takes nearly the whole TTL for one needs this many.
	maxAttempts = 8
)

// errLeaderMoved fails a renewal that may have been answered by a leader of the past.
var errLeaderMoved = fmt.Errorf("%w: the leader changed during the renewal", ErrNoLeader)

// renewer keeps one term alive.
type renewer struct {
	k    *Keeper
	term *Term

	// begun is called when the term is handed out, and nil from then on.
	begun func()

	// took is how long the latest confirmed renewal took.
	took time.Duration

	attempts []*attempt // under way, oldest first
	answers  chan *attempt
	regular  time.Duration // when the next renewal is due
	next     time.Duration // when it is sent: regular, or sooner after a failure
	retry    *backoff.Backoff
	moved    bool // the latest renewal failed with errLeaderMoved
}

// attempt is one renewal.
type attempt struct {
	sent       time.Duration
	cancel     context.CancelFunc
	superseded bool // a later one was confirmed first
	err        error
}

// renew renews the term until it ends or ctx does, which ends it. took is how long a renewal is expected to take.
// begun is called when the term may be handed out: at once, unless so much of its trust has gone with the grant that
// the first renewal may not be confirmed within the rest.
func (k *Keeper) renew(ctx context.Context, t *Term, took time.Duration, begun func()) {
	r := &renewer{
		k: k, term: t, took: took, begun: begun,
		answers: make(chan *attempt, maxAttempts),
		retry:   backoff.New(t.ttl/retryFirstPart, t.ttl/retryLastPart),
	}
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()

	now := k.now()
	abandon := now + 2*t.ttl
	r.regular = now + r.interval()
	r.next = r.regular
	if !r.begin(2 * took) {
		r.next = now
	}
	wake := time.NewTimer(0)
	defer wake.Stop()
	for t.Err() == nil {
		now := k.now()
		if r.begun != nil && now >= abandon {
			t.giveUp()
			return
		}
		if now >= r.next {
			r.regular = now + r.interval()
			r.next = min(r.regular, now+r.patience())
			if len(r.attempts) < maxAttempts {
				r.send(ctx, &sending, now)
			}
		}
		wake.Reset(r.sleep(now))
		select {
		case <-ctx.Done():
			t.end(ErrClosed)
		case <-t.Done():
		case a := <-r.answers:
			r.settle(a)
		case <-wake.C:
		}
	}
}

// begin hands the term out if trust in it lasts for longer than that. It reports whether the term was handed out.
func (r *renewer) begin(atLeast time.Duration) bool {
	if r.begun != nil && r.term.begin(atLeast) {
		r.begun()
		r.begun = nil
	}
	return r.begun == nil
}

// interval returns how long after one renewal the next is due. On a link so slow that renewals a third of the TTL
// apart would be confirmed too late, they are closer together and overlap more.
func (r *renewer) interval() time.Duration {
	every := r.term.ttl / renewPart
	spare := r.term.horizon(0) - r.took
	every = max(min(every, spare*4/5), r.term.ttl/hurryPart)
	return every - every/jitterPart + backoff.Jitter(2*every/jitterPart)
}

// patience returns how long after a renewal without an answer the next one is sent beside it. The client spreads
// requests over its endpoints, so that the next one is likely to miss a member that has gone silent.
func (r *renewer) patience() time.Duration {
	return max(r.term.ttl/patiencePart, 2*r.took)
}

// sleep returns how long there is nothing to do. Timers stand still while the machine is suspended, so it is never
// long.
func (r *renewer) sleep(now time.Duration) time.Duration {
	wait := min(r.next-now, r.term.margin)
	if r.begun == nil {
		wait = min(wait, r.term.trustedUntil()-now)
	}
	return wait
}

// send starts a renewal. It may take as long as its confirmation can extend trust.
func (r *renewer) send(ctx context.Context, sending *sync.WaitGroup, now time.Duration) {
	a := &attempt{sent: now}
	_, raftTerm := r.k.cluster.known()
	ctx, a.cancel = context.WithTimeout(ctx, r.term.horizon(0))
	r.attempts = append(r.attempts, a)
	sending.Go(func() {
		defer a.cancel()
		a.err = r.k.attempt(ctx, r.term, raftTerm)
		r.answers <- a
	})
}

// attempt renews the lease once and confirms it by a read: a leader that was paused and has a successor still answers
// renewals, and only an answer that a quorum stands behind shows that the lease which was renewed is the one that
// counts. raftTerm is that of the latest linearizable answer before the renewal was sent. All three must agree.
func (k *Keeper) attempt(ctx context.Context, t *Term, raftTerm uint64) error {
	renewed, err := k.etcd.keepAlive(ctx, t.id)
	if err != nil {
		return err
	}
	if err := k.cluster.see(renewed.GetHeader()); err != nil {
		return err
	}
	if renewed.GetTTL() <= 0 {
		return ErrLeaseGone
	}
	before, _ := k.cluster.known()
	read, err := k.etcd.read(ctx, k.readKey())
	if err != nil {
		return err
	}
	if err := k.cluster.read(read, before); err != nil {
		return err
	}
	if renewed.GetHeader().GetRaftTerm() != read.GetRaftTerm() || read.GetRaftTerm() != raftTerm {
		return errLeaderMoved
	}
	return nil
}

// settle takes in how an attempt ended.
func (r *renewer) settle(a *attempt) {
	r.attempts = slices.DeleteFunc(r.attempts, func(other *attempt) bool { return other == a })
	switch {
	case a.err == nil:
		r.confirmed(a)
	case errors.Is(a.err, ErrLeaseGone), errors.Is(a.err, ErrClusterChanged):
		r.term.end(a.err)
	case a.superseded:
	default:
		r.failed(a.err)
	}
}

func (r *renewer) confirmed(a *attempt) {
	r.took = r.k.now() - a.sent
	r.k.meters.renewals.Observe(r.took.Seconds())
	r.term.confirm(a.sent)
	r.begin(0)
	r.next = r.regular
	r.retry.Reset()
	r.moved = false
	for _, older := range r.attempts {
		if older.sent <= a.sent {
			older.superseded = true
			older.cancel()
		}
	}
}

// failed takes note of the failure and sends the next renewal soon: at once if all that was wrong is that the keeper
// did not know of a new leader.
func (r *renewer) failed(err error) {
	r.k.meters.failures.Inc()
	if r.term.failed(err) {
		r.k.log.Warn("a lease renewal failed", leaseID(r.term.id), zap.Error(err),
			zap.Duration("trusted for", r.term.trustedUntil()-r.k.now()))
	}
	now := r.k.now()
	moved := errors.Is(err, errLeaderMoved)
	if moved && !r.moved {
		r.next = now
	} else {
		r.next = min(r.regular, now+r.retry.Next())
	}
	r.moved = moved
}
