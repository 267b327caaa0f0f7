// Package processtest gives tests stores as processes have them: each with a client and a lease of its own, so that it
// can be killed, or lose its lease, without the others.
package processtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// ttl is long enough for a busy machine and short enough for Lapse, which takes up to a third of it.
const ttl = 6 * time.Second

// The end of a process may take so long; one that was killed has nobody left to say goodbye to.
const (
	closeTimeout       = 10 * time.Second
	killedCloseTimeout = 100 * time.Millisecond
)

// Process is what a process that uses a store has.
type Process struct {
	Client *clientv3.Client
	Keeper *lease.Keeper
	Store  *etcdstore.Store

	admin  *clientv3.Client
	killed bool
}

// Start gives a store to a process that ends with t.
func Start(t *testing.T, endpoints []string, options *etcdstore.Options) *Process {
	t.Helper()
	return StartWith(t, func() *clientv3.Client { return etcdtest.NewClient(t, endpoints) }, options)
}

// StartWith is [Start] with other clients.
func StartWith(t *testing.T, newClient func() *clientv3.Client, options *etcdstore.Options) *Process {
	t.Helper()
	p := &Process{Client: newClient(), admin: newClient()}
	var err error
	p.Keeper, err = lease.NewKeeper(t.Context(), p.Client, &lease.Options{TTL: ttl})
	require.NoError(t, err)
	t.Cleanup(func() { p.end(t) })
	p.Store, err = etcdstore.New(p.Client, p.Keeper, options)
	require.NoError(t, err)
	return p
}

func (p *Process) end(t *testing.T) {
	t.Helper()
	timeout := closeTimeout
	if p.killed {
		timeout = killedCloseTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := p.Keeper.Close(ctx); !p.killed {
		require.NoError(t, err)
	}
}

// Kill ends the process as a crash would and ends its lease, so that nobody has to wait for that to run out.
func (p *Process) Kill(t *testing.T) {
	t.Helper()
	p.killed = true
	term, err := p.Keeper.Term(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Client.Close())
	_, err = p.admin.Revoke(t.Context(), term.ID())
	require.NoError(t, err)
}

// Lapse takes the lease away and waits until the process has the next one.
func (p *Process) Lapse(t *testing.T) {
	t.Helper()
	term, err := p.Keeper.Term(t.Context())
	require.NoError(t, err)
	_, err = p.admin.Revoke(t.Context(), term.ID())
	require.NoError(t, err)
	<-term.Done()
	_, err = p.Keeper.Term(t.Context())
	require.NoError(t, err)
}
