package etcdstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/backoff"
	"github.com/tenure-go/tenure/lease"
)

// Reservation keeps partitions for an owner that may be away for a while: its record outlives the owner's lease by a
// grace. It is on a lease of its own, which is no proof of anything and is left to run out.
type Reservation struct {
	store *Store
	key   string
	ttl   time.Duration
	every time.Duration // between renewals

	mu    sync.Mutex
	lease clientv3.LeaseID // that the record is on, 0 while that is not known
	ids   []string
}

// Reserve keeps partitions for an owner until it has been gone for grace after its lease has ended, as long as nobody
// owns them and no member has that owner id: until then others leave them alone. Grace is in whole seconds; where the
// owner has crashed, up to a third of the lease's TTL may be missing from it. The record is renewed until the store
// closes, and then left to run out.
//
// Errors: [ErrInvalidArgument] before anything is sent; [ErrNoKeeper]; [ErrClosed]; ctx's error;
// [lease.ErrPermissionDenied].
func (s *Store) Reserve(
	ctx context.Context, group Group, ownerID string, grace time.Duration, ids []string,
) (*Reservation, error) {
	p := problems{path: "group"}
	p.group(group)
	p.path = "ownerID"
	p.name("OwnerID", ownerID)
	p.path = "grace"
	if grace < time.Second || grace%time.Second != 0 {
		p.add("Grace", grace.String(), "whole seconds, at least 1 s")
	}
	p.partitions("ids", ids)
	if len(p.all) > 0 {
		return nil, errors.Join(p.all...)
	}
	if s.keeper == nil {
		return nil, ErrNoKeeper
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	term, err := s.term(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reservation{
		store: s, key: s.keys.key(group, kindReserved, ownerID), ids: slices.Clone(ids),
		// So that the grace is left at any time, and not only just after a renewal.
		ttl: term.TTL() + grace, every: term.TTL() / renewalsInTTL,
	}
	if err := r.grant(ctx); err != nil {
		return nil, err
	}
	s.running.Go(r.keep)
	return r, nil
}

// renewalsInTTL is how often a reservation is renewed in the time of its owner's lease.
const renewalsInTTL = 3

// Put sets which partitions are kept.
//
// Errors: [ErrInvalidArgument] before anything is sent; [ErrClosed]; ctx's error; [lease.ErrPermissionDenied]. What was
// to be kept is put all the same as soon as that is possible.
func (r *Reservation) Put(ctx context.Context, ids []string) error {
	var p problems
	p.partitions("ids", ids)
	if len(p.all) > 0 {
		return errors.Join(p.all...)
	}
	ctx, leave, err := r.store.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	id := r.note(ids)
	if id == 0 {
		return nil // it is put with the lease that is being granted
	}
	err = r.put(ctx, id, ids)
	if errors.Is(err, lease.ErrLeaseGone) {
		return nil // nothing is kept at present, and this will be
	}
	return err
}

// Ops is Put as operations to be sent along with claims: the partitions are kept from the moment when they are owned.
// They do nothing, and so no harm to the claims, where the reservation's lease has gone.
func (r *Reservation) Ops(ids []string) []clientv3.Op {
	id := r.note(ids)
	if id == 0 {
		return nil
	}
	stands := clientv3.Compare(clientv3.LeaseValue(r.key), "=", id)
	return []clientv3.Op{clientv3.OpTxn([]clientv3.Cmp{stands}, []clientv3.Op{r.putOp(id, ids)}, nil)}
}

// note sets what is to be kept and returns the lease to put it on, 0 if that is being granted.
func (r *Reservation) note(ids []string) clientv3.LeaseID {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = slices.Clone(ids)
	return r.lease
}

func (r *Reservation) putOp(id clientv3.LeaseID, ids []string) clientv3.Op {
	return clientv3.OpPut(r.key, string(encodePartitions(ids)), clientv3.WithLease(id))
}

func (r *Reservation) put(ctx context.Context, id clientv3.LeaseID, ids []string) error {
	_, err := r.store.send(ctx, nil, []clientv3.Op{r.putOp(id, ids)}, nil)
	return err
}

// grant puts the record on a new lease, and on another one if etcd has been so slow to answer that it ran out.
func (r *Reservation) grant(ctx context.Context) error {
	for {
		if err := r.tryGrant(ctx); !errors.Is(err, lease.ErrLeaseGone) {
			return err
		}
	}
}

func (r *Reservation) tryGrant(ctx context.Context) error {
	granted, err := persist(ctx, r.store, func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) {
		return r.store.client.Grant(ctx, int64(r.ttl/time.Second))
	})
	if err != nil {
		return err
	}
	for {
		r.mu.Lock()
		ids := r.ids
		r.mu.Unlock()
		if err := r.put(ctx, granted.ID, ids); err != nil {
			return err
		}
		if r.standsOn(granted.ID, ids) {
			return nil
		}
	}
}

// standsOn says on which lease the record is from now on, unless something else is to be kept by now.
func (r *Reservation) standsOn(id clientv3.LeaseID, ids []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.ids, ids) {
		return false
	}
	r.lease = id
	return true
}

// keep renews the lease, and grants another when it was lost, until the store closes.
func (r *Reservation) keep() {
	ctx := r.store.lives
	pause := backoff.New(shortestPause, longestPause)
	timer := time.NewTimer(r.every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for !r.renew(ctx) {
			if pause.Wait(ctx) != nil {
				return
			}
			if err := r.grant(ctx); err != nil && ctx.Err() == nil {
				r.store.log.Warn("a reservation was lost and cannot be renewed", zap.String("key", r.key), zap.Error(err))
			}
		}
		pause.Reset()
		timer.Reset(r.every)
	}
}

// renew renews the lease, and reports false if it is lost or etcd has not answered for a while. Each time it has the
// client keep the lease alive anew, and no longer than for one renewal: by itself the client renews at a third of the
// lease's time, when less than the grace may be left, and its KeepAliveOnce opens a stream each time, for which a
// client has to log in.
func (r *Reservation) renew(ctx context.Context) bool {
	r.mu.Lock()
	id := r.lease
	r.mu.Unlock()
	renewed := false
	if id != 0 {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if answers, err := r.store.client.KeepAlive(ctx, id); err == nil {
			_, renewed = <-answers
		}
	}
	if !renewed {
		r.mu.Lock()
		r.lease = 0
		r.mu.Unlock()
	}
	return renewed
}
