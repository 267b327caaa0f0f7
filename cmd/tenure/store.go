package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/cluster"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// leaveLimit bounds the revoking of the lease at the end.
const leaveLimit = 5 * time.Second

// openStore makes a store with a lease of its own. leave revokes the lease, which frees whatever is still held.
func (a *app) openStore(
	ctx context.Context, connected *cluster.Cluster, ttl time.Duration,
) (store *etcdstore.Store, leave func(), err error) {
	bounded, cancel := context.WithTimeout(ctx, a.etcd.DialTimeout)
	defer cancel()
	keeper, err := lease.NewKeeper(bounded, connected.Client, &lease.Options{TTL: ttl, Logger: a.log.Named("lease")})
	if err != nil {
		return nil, nil, connected.Explain(err)
	}
	leave = func() {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
		defer cancel()
		if err := keeper.Close(leaving); err != nil {
			a.log.Warn("the lease could not be revoked; what is still held is free when it runs out", zap.Error(err))
		}
	}
	a.warnOfLongerTTL(bounded, connected, keeper, ttl)
	store, err = etcdstore.New(connected.Client, keeper, &etcdstore.Options{
		Prefix: a.etcd.Prefix, Logger: a.log.Named("store"),
	})
	if err != nil {
		leave()
		return nil, nil, fmt.Errorf("make the store: %w", err)
	}
	return store, leave, nil
}

// checkTTL reports a --ttl that no lease can have.
func checkTTL(ttl time.Duration) error {
	if ttl >= time.Second && ttl%time.Second == 0 {
		return nil
	}
	return fmt.Errorf("--ttl must be whole seconds, such as 2s, not %v", ttl)
}

// warnOfLongerTTL says so if etcd keeps leases longer than was asked: no less than its election time-out allows.
func (a *app) warnOfLongerTTL(
	ctx context.Context, connected *cluster.Cluster, keeper *lease.Keeper, asked time.Duration,
) {
	term, err := keeper.Term(ctx)
	if err != nil {
		return // The store will say why.
	}
	answer, err := connected.Client.TimeToLive(ctx, term.ID())
	if err != nil {
		a.log.Debug("etcd does not tell the lease's TTL", zap.Error(err))
		return
	}
	if granted := time.Duration(answer.GrantedTTL) * time.Second; granted > asked {
		a.log.Warn("etcd grants no lease as short as --ttl: partitions of a process that died stay its own longer",
			zap.Duration("asked", asked), zap.Duration("granted", granted))
	}
}

// unlessEnded passes over an error that comes of a signal before there was anything to finish: it is no failure.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // The error is that the context has ended.
	}
	return err
}
