package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/backoff"
	"github.com/tenure-go/tenure/internal/etcderr"
)

// Waits between tries to hand over or to revoke.
const (
	handOverFirstWait = 50 * time.Millisecond
	handOverLastWait  = time.Second
)

// attachment is a holder while it is attached.
type attachment struct {
	holder    Holder
	readKey   string
	interrupt context.CancelFunc // ends the TakeOver under way, if there is one
}

// Attach makes h the keeper's holder until detach is called, which may be done more than once. It returns [ErrInUse]
// if the keeper has a holder, and [ErrClosed] once its Close has begun.
func (k *Keeper) Attach(h Holder) (detach func(), err error) {
	a := &attachment{holder: h, readKey: h.ReadKey(), interrupt: func() {}}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closing:
		return nil, ErrClosed
	case k.attached != nil:
		return nil, ErrInUse
	}
	k.attached = a
	return func() { k.detach(a) }, nil
}

func (k *Keeper) detach(a *attachment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.attached == a {
		k.attached = nil
		a.interrupt()
	}
}

// readKey returns the key that confirms renewals.
func (k *Keeper) readKey() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.attached == nil {
		return defaultReadKey
	}
	return k.attached.readKey
}

// handOver lets the holder take over what it held under a lost term, then hands the new term out and revokes the leases
// before it. ctx ends with the term. cause is why the term before it ended; nil for the first.
func (k *Keeper) handOver(ctx context.Context, t *Term, cause error) {
	if cause != nil && !k.takeOver(ctx, t, cause) {
		return
	}
	k.publish(t)
	k.revokeOlder(ctx, t)
}

// takeOver has the holder take over until it succeeds, is detached or the term ends. It reports whether the term lasts.
func (k *Keeper) takeOver(ctx context.Context, t *Term, cause error) bool {
	wait := backoff.New(handOverFirstWait, handOverLastWait)
	for t.Err() == nil && ctx.Err() == nil {
		done, err := k.takeOverOnce(ctx, t, cause)
		if done {
			return t.Err() == nil
		}
		k.log.Warn("the holder could not take over what it held; trying again", leaseID(t.id), zap.Error(err))
		k.lacks(err)
		_ = wait.Wait(ctx) // the loop looks at ctx
	}
	return false
}

// takeOverOnce reports whether there is nothing more to take over.
func (k *Keeper) takeOverOnce(ctx context.Context, t *Term, cause error) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.mu.Lock()
	a := k.attached
	if a != nil {
		a.interrupt = cancel
	}
	k.mu.Unlock()
	if a == nil {
		return true, nil
	}
	err = a.holder.TakeOver(ctx, t, cause)
	return err == nil, err
}

// revokeOlder revokes the leases before t's, until that is done or ctx ends.
func (k *Keeper) revokeOlder(ctx context.Context, t *Term) {
	for _, id := range k.unrevoked() {
		if id == t.id {
			continue
		}
		if err := k.revoke(ctx, id); err != nil {
			k.log.Warn("an old lease was not revoked; its keys stay until it runs out", leaseID(id), zap.Error(err))
		}
	}
}

// revokeAll revokes every lease, within the time that a lease has. What stays longer runs out by itself.
func (k *Keeper) revokeAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.ttl)
	defer cancel()
	ids := k.unrevoked()
	problems := make([]error, len(ids))
	var revoking sync.WaitGroup
	for i, id := range ids {
		revoking.Go(func() {
			if err := k.revoke(ctx, id); err != nil {
				problems[i] = fmt.Errorf("lease: revoke %x; its keys stay until it runs out: %w", int64(id), err)
			}
		})
	}
	revoking.Wait()
	return errors.Join(problems...)
}

// revoke revokes one lease. It tries again after transient failures until that is done or ctx ends.
func (k *Keeper) revoke(ctx context.Context, id clientv3.LeaseID) error {
	wait := backoff.New(handOverFirstWait, handOverLastWait)
	for timeout := attemptFirst; ; timeout = min(2*timeout, attemptLast) {
		err := k.revokeOnce(ctx, id, timeout)
		if err == nil {
			k.forget(id)
			return nil
		}
		if ctx.Err() == nil && !etcderr.Transient(err) {
			return err
		}
		if wait.Wait(ctx) != nil {
			return because(ctx, err)
		}
	}
}

func (k *Keeper) revokeOnce(ctx context.Context, id clientv3.LeaseID, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := k.etcd.revoke(ctx, id)
	switch {
	case err == nil:
		k.log.Info("a lease was revoked", leaseID(id))
	case errors.Is(err, ErrLeaseGone):
		k.log.Info("a lease to revoke was gone", leaseID(id))
		return nil
	}
	return err
}

// unrevoked returns the leases that are not known to be gone.
func (k *Keeper) unrevoked() []clientv3.LeaseID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.leases)
}

// forget says that a lease is gone.
func (k *Keeper) forget(id clientv3.LeaseID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leases = slices.DeleteFunc(k.leases, func(other clientv3.LeaseID) bool { return other == id })
}
