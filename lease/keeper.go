package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/backoff"
	"github.com/tenure-go/tenure/internal/clock"
	"github.com/tenure-go/tenure/internal/etcderr"
)

// defaultReadKey is what renewals are confirmed by before there is a holder.
const defaultReadKey = "/tenure/v1/"

// Waits between tries to grant a lease.
const (
	grantFirstWait = 100 * time.Millisecond
	grantLastWait  = 2 * time.Second
)

// A grant or a revocation is given up and tried again after attemptFirst, and after twice as long each further time up
// to attemptLast: a member that has gone silent is left soon, and a slow one still gets to answer.
const (
	attemptFirst = time.Second
	attemptLast  = 8 * time.Second
)

// Keeper keeps one etcd lease: it grants it, renews it, knows until when it can be trusted, and grants the next when
// it is lost. Its methods are safe for concurrent use.
type Keeper struct {
	etcd    etcd
	ttl     time.Duration // asked for
	log     *zap.Logger
	now     func() time.Duration
	cluster cluster
	meters  meters

	stop    context.CancelFunc
	stopped chan struct{} // closed when every goroutine has ended
	closer  chan struct{} // held by the Close at work

	mu       sync.Mutex
	attached *attachment
	current  *Term              // the latest that was handed out
	leases   []clientv3.LeaseID // granted, the term's among them, and not known to be gone
	lacking  error              // why there is no trusted term, as far as known
	closing  bool               // Close has begun: no more holders
	closed   bool               // no more terms
	changed  chan struct{}      // closed and replaced when current or closed changes
}

// NewKeeper grants the first lease and begins to renew it. It tries again after transient failures until ctx ends,
// which bounds the first grant only. The error then is both ctx's and the last failure's: [ErrNoLeader],
// [ErrUnreachable] or [ErrNoSpace]. [ErrPermissionDenied] and wrong options are returned at once, all problems with
// the options together.
//
// The client must stay open until the keeper is closed. It should have DialKeepAliveTime set, to notice a connection
// that is dead without a sign.
func NewKeeper(ctx context.Context, client *clientv3.Client, options *Options) (*Keeper, error) {
	filled, err := options.withDefaults(client)
	if err != nil {
		return nil, err
	}
	return newKeeper(ctx, newRequests(client), filled, clock.Of(ctx))
}

func newKeeper(ctx context.Context, e etcd, options Options, now func() time.Duration) (*Keeper, error) {
	k := &Keeper{
		etcd: e, ttl: options.TTL, log: options.Logger, now: now, meters: newMeters(),
		stopped: make(chan struct{}), closer: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	first, err := k.grant(ctx, etcderr.Transient)
	if err != nil {
		e.close()
		return nil, fmt.Errorf("lease: no lease granted: %w", err)
	}
	var running context.Context
	running, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(k.stopped)
		defer e.close()
		k.run(running, first)
	}()
	return k, nil
}

// Term returns the current term, or waits for the next one that can be trusted. It returns [ErrClosed] once the
// keeper is closed. If ctx ends first, the error is both ctx's and the reason why there is no term, as [Term.Err]
// gives it.
func (k *Keeper) Term(ctx context.Context) (*Term, error) {
	for {
		k.mu.Lock()
		current, closed, changed := k.current, k.closed, k.changed
		k.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		if current != nil && current.Err() == nil {
			return current, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("lease: no trusted term: %w", because(ctx, k.whyNone()))
		}
	}
}

// Err returns nil while there is a term that can be trusted. Otherwise it says why there is none, as [Term.Err] does.
func (k *Keeper) Err() error {
	k.mu.Lock()
	current, closed := k.current, k.closed
	k.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case current != nil && current.Err() == nil:
		return nil
	}
	return k.whyNone()
}

// whyNone returns why there is no trusted term.
func (k *Keeper) whyNone() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lacking == nil && k.current != nil {
		return k.current.Err() // it has just ended
	}
	if k.lacking == nil {
		return fmt.Errorf("%w: the lease was not renewed yet", ErrUnreachable)
	}
	return k.lacking
}

// Close closes the holder, ends the term with [ErrClosed] and revokes the lease, so that its keys are gone when Close
// returns nil. It waits for every goroutine of the keeper. If ctx ends first, or the lease cannot be revoked within
// its own time, Close returns an error, and the keys go when the lease runs out; closing again tries again. Closing a
// closed keeper is harmless.
func (k *Keeper) Close(ctx context.Context) error {
	select {
	case k.closer <- struct{}{}: // even if ctx has ended: what can be done without etcd is done
	default:
		select {
		case k.closer <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("lease: close: %w", ctx.Err())
		}
	}
	defer func() { <-k.closer }()
	k.mu.Lock()
	k.closing = true
	a := k.attached
	k.mu.Unlock()
	var problems []error
	if a != nil {
		if err := a.holder.Close(ctx); err != nil {
			problems = append(problems, fmt.Errorf("lease: close the holder: %w", err))
		}
		k.detach(a)
	}

	k.stop()
	select {
	case <-k.stopped:
	case <-ctx.Done():
		return errors.Join(append(problems, fmt.Errorf("lease: close: %w", ctx.Err()))...)
	}
	return errors.Join(append(problems, k.revokeAll(ctx))...)
}

// run serves one term after the other until ctx ends.
func (k *Keeper) run(ctx context.Context, granted *grant) {
	var cause error
	for granted != nil {
		cause = k.serve(ctx, granted, cause)
		granted = k.grantNext(ctx, cause)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.announce()
}

// serve keeps a term alive, hands it over and out, and returns why it ended. cause is why the one before it did.
func (k *Keeper) serve(ctx context.Context, g *grant, cause error) error {
	if g.changed != nil && !errors.Is(cause, ErrClusterChanged) && cause != nil {
		cause = fmt.Errorf("%w: %w", g.changed, cause)
	}
	ctx, cancel := context.WithCancel(ctx)
	var handing sync.WaitGroup
	k.renew(ctx, g.term, 2*g.took, func() {
		handing.Go(func() { k.handOver(ctx, g.term, cause) })
	})
	cancel()
	handing.Wait()

	ended := g.term.Err()
	if errors.Is(ended, ErrClosed) {
		return ended
	}
	k.log.Warn("a lease can no longer be trusted", leaseID(g.term.id), zap.Error(ended))
	if g.term.handedOut() {
		k.meters.countLoss(ended)
	}
	if !g.term.handedOut() || errors.Is(ended, ErrLeaseGone) {
		k.forget(g.term.id) // there are no keys on it
	}
	k.lacks(ended)
	return ended
}

// grant is a lease just granted.
type grant struct {
	term    *Term
	took    time.Duration
	changed error // ErrClusterChanged if the cluster is not the one of before
}

// grantNext grants the lease that follows a lost one. It returns nil if ctx ends first.
func (k *Keeper) grantNext(ctx context.Context, cause error) *grant {
	if ctx.Err() != nil {
		return nil
	}
	next, err := k.grant(ctx, func(err error) bool {
		k.lacks(err)
		return true
	})
	if err != nil {
		return nil
	}
	k.log.Info("a lost lease is replaced", leaseID(next.term.id), zap.NamedError("lost", cause))
	return next
}

// grant grants a lease. It tries again while again says so and ctx lasts.
func (k *Keeper) grant(ctx context.Context, again func(error) bool) (*grant, error) {
	wait := backoff.New(grantFirstWait, grantLastWait)
	last := ErrUnreachable
	for timeout := attemptFirst; ; timeout = min(2*timeout, attemptLast) {
		g, err := k.grantOnce(ctx, timeout)
		if err == nil {
			return g, nil
		}
		if ctx.Err() == nil {
			if !again(err) {
				return nil, err
			}
			if err.Error() != last.Error() { // once for each reason, not for each try
				k.log.Warn("a lease is not granted; trying again", zap.Error(err))
			}
			last = err
		}
		if wait.Wait(ctx) != nil {
			return nil, because(ctx, last)
		}
	}
}

func (k *Keeper) grantOnce(ctx context.Context, timeout time.Duration) (*grant, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	before, _ := k.cluster.known()
	sent := k.now()
	granted, err := k.etcd.grant(ctx, k.ttl)
	if err != nil {
		return nil, err
	}
	took := k.now() - sent
	id, ttl := clientv3.LeaseID(granted.GetID()), time.Duration(granted.GetTTL())*time.Second
	k.mu.Lock()
	k.leases = append(k.leases, id)
	k.mu.Unlock()
	k.meters.granted.Inc()
	k.log.Info("a lease was granted", leaseID(id), zap.Duration("ttl", ttl), zap.Duration("asked", k.ttl))
	return &grant{
		term:    newTerm(id, ttl, sent, k.now),
		took:    took,
		changed: k.cluster.adopt(granted.GetHeader(), before),
	}, nil
}

// publish hands a term out.
func (k *Keeper) publish(t *Term) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current = t
	k.lacking = nil
	k.announce()
}

// lacks says why there is no trusted term.
func (k *Keeper) lacks(reason error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lacking = reason
}

// announce wakes who waits for a change. The caller holds mu.
func (k *Keeper) announce() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// because returns ctx's error together with the reason, if one is known, why what ctx bounded was not done before.
func because(ctx context.Context, reason error) error {
	if reason == nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ctx.Err(), etcderr.Classify(reason))
}

func leaseID(id clientv3.LeaseID) zap.Field {
	return zap.String("lease", fmt.Sprintf("%x", int64(id)))
}
