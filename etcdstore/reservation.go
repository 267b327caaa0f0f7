package etcdstore

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/backoff"
)

// Reservation keeps partitions for an owner that may be away for a while: its record outlives the owner's lease by a
// grace. It is on a lease of its own, which is no proof of anything and is left to run out.
type Reservation struct {
	store *Store
	key   string
	ttl   time.Duration

	mu    sync.Mutex
	lease clientv3.LeaseID // 0 while there is none
	ids   []string
}

// Reserve keeps partitions for an owner until it has been gone for grace after its lease has ended, as long as nobody
// owns them and no member has that owner id: until then others leave them alone. Grace is in whole seconds. The record
// is renewed until the store closes, and then left to run out.
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
	if grace < time.Second || grace%time.Second != 0 {
		p.add("grace", grace.String(), "whole seconds, at least 1 s")
	}
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
		store: s, key: s.keys.key(group, kindReserved, ownerID), ttl: term.TTL() + grace, ids: ids,
	}
	if err := r.grant(ctx); err != nil {
		return nil, err
	}
	s.running.Go(r.keep)
	return r, nil
}

// Put sets which partitions are kept.
//
// Errors: [ErrClosed]; ctx's error; [lease.ErrPermissionDenied]. What was to be kept is put all the same as soon as
// that is possible.
func (r *Reservation) Put(ctx context.Context, ids []string) error {
	ctx, leave, err := r.store.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ops := r.Ops(ids)
	if len(ops) == 0 {
		return nil // it is put with the lease that is being granted
	}
	_, err = r.store.send(ctx, clientv3.OpTxn(nil, ops, nil))
	return err
}

// Ops is Put as operations to be sent along with claims: the partitions are kept from the moment when they are owned.
func (r *Reservation) Ops(ids []string) []clientv3.Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = ids
	if r.lease == 0 {
		return nil
	}
	return []clientv3.Op{clientv3.OpPut(r.key, string(encodePartitions(ids)), clientv3.WithLease(r.lease))}
}

// grant puts the record on a new lease.
func (r *Reservation) grant(ctx context.Context) error {
	granted, err := persist(ctx, &r.store.latestAnswer, func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) {
		return r.store.client.Grant(ctx, int64(r.ttl/time.Second))
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.lease = granted.ID
	ids := r.ids
	r.mu.Unlock()
	return r.Put(ctx, ids)
}

// keep renews the lease, and grants another when it was lost, until the store closes. That it renews late loses nothing
// but the reservation, so the client's own loop will do.
func (r *Reservation) keep() {
	ctx := r.store.lives
	pause := backoff.New(shortestPause, longestPause)
	for ctx.Err() == nil {
		r.mu.Lock()
		id := r.lease
		r.mu.Unlock()
		renewals, err := r.store.client.KeepAlive(ctx, id)
		for err == nil {
			if _, alive := <-renewals; !alive { // the lease has ended, or ctx
				break
			}
			pause.Reset()
		}
		if pause.Wait(ctx) != nil {
			return
		}
		r.mu.Lock()
		r.lease = 0
		r.mu.Unlock()
		if err = errors.Join(err, r.grant(ctx)); err != nil {
			r.store.log.Warn("a reservation was lost and could not be renewed", zap.String("key", r.key), zap.Error(err))
		}
	}
}
