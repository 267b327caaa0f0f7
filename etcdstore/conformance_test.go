package etcdstore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/etcdstore/storetest"
	"github.com/tenure-go/tenure/internal/etcdsim"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/processtest"
	"github.com/tenure-go/tenure/lease"
)

const defaultPrefix = "/tenure/v1"

// fleet opens stores on one etcd and knows whose process each is.
type fleet struct {
	newClient func() *clientv3.Client
	prefix    string

	mu        sync.Mutex
	processes map[etcdstore.CheckpointStore]*processtest.Process
}

//nolint:ireturn // whatever view makes of the store
func (f *fleet) open(t *testing.T, view func(*etcdstore.Store) etcdstore.CheckpointStore) etcdstore.CheckpointStore {
	t.Helper()
	p := processtest.StartWith(t, f.newClient, &etcdstore.Options{Prefix: f.prefix})
	store := view(p.Store)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[store] = p
	return store
}

func (f *fleet) process(store etcdstore.CheckpointStore) *processtest.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[store]
}

// examine runs the conformance suite on stores as view shows them.
func examine(
	t *testing.T, newClient func() *clientv3.Client, prefix string, view func(*etcdstore.Store) etcdstore.CheckpointStore,
	capabilities storetest.Capabilities,
) {
	f := &fleet{
		newClient: newClient,
		prefix:    prefix,
		processes: make(map[etcdstore.CheckpointStore]*processtest.Process),
	}
	capabilities.Etcd = newClient()
	capabilities.Prefix = prefix
	capabilities.Kill = func(t *testing.T, store etcdstore.CheckpointStore) { f.process(store).Kill(t) }
	capabilities.Lapse = func(t *testing.T, store etcdstore.CheckpointStore) { f.process(store).Lapse(t) }
	storetest.Run(t, func(t *testing.T) etcdstore.CheckpointStore { return f.open(t, view) }, capabilities)
}

//nolint:ireturn // a view
func asStore(s *etcdstore.Store) etcdstore.CheckpointStore { return s }

//nolint:ireturn // a view
func asHolder(s *etcdstore.Store) etcdstore.CheckpointStore { return s.Holder() }

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		members int
		options []etcdtest.Option
		prefix  string
		store   bool
		holder  bool
	}{
		{name: "one member", members: 1, store: true, holder: true},
		{name: "three members", members: 3, prefix: defaultPrefix, store: true, holder: true},
		{name: "low limits", members: 1, prefix: "/a%2Fb/ü", store: true, options: []etcdtest.Option{func(c *embed.Config) {
			c.MaxTxnOps = 16
			c.MaxRequestBytes = 8 << 10
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.StartCluster(t, test.members, test.options...)
			newClient := func() *clientv3.Client { return cluster.Client(t) }
			if test.store {
				t.Run("store", func(t *testing.T) {
					t.Parallel()
					examine(t, newClient, test.prefix, asStore, storetest.Capabilities{Fences: true})
				})
			}
			if test.holder {
				t.Run("holder", func(t *testing.T) {
					t.Parallel()
					examine(t, newClient, test.prefix, asHolder, storetest.Capabilities{Holder: true})
				})
			}
		})
	}
}

// The simulated etcd passes for a real one.
func TestConformanceOfTheSimulation(t *testing.T) {
	t.Parallel()
	etcd := etcdsim.New(t, 1)
	newClient := func() *clientv3.Client {
		client, _ := etcd.Client()
		return client
	}
	examine(t, newClient, "", asStore, storetest.Capabilities{Fences: true})
	examine(t, newClient, "", asHolder, storetest.Capabilities{Holder: true})
}

func TestKeeperCarriesOneStore(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	p := processtest.Start(t, cluster.Endpoints(), nil)
	_, err := etcdstore.New(p.Client, p.Keeper, nil)
	require.ErrorIs(t, err, lease.ErrInUse)

	require.NoError(t, p.Store.Close(t.Context()))
	require.NoError(t, p.Store.Close(t.Context()), "closing again does nothing")
	_, err = p.Store.ListOwnership(t.Context(), etcdstore.Group{
		FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "group",
	})
	require.ErrorIs(t, err, etcdstore.ErrClosed)
	next, err := etcdstore.New(p.Client, p.Keeper, nil)
	require.NoError(t, err, "a closed store frees its keeper")
	require.NoError(t, next.Close(t.Context()))
}

func TestStoreWithoutKeeper(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	store, err := etcdstore.New(cluster.Client(t), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	group := etcdstore.Group{FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "group"}
	ann := etcdstore.Ownership{Group: group, PartitionID: "0", OwnerID: "ann"}
	_, err = store.ClaimOwnership(t.Context(), []etcdstore.Ownership{ann}, nil)
	require.ErrorIs(t, err, etcdstore.ErrNoKeeper)
	seven := int64(7)
	at := etcdstore.Checkpoint{Group: group, PartitionID: "0", SequenceNumber: &seven}
	require.NoError(t, store.UpdateCheckpoint(t.Context(), at, nil))
	listed, err := store.ListCheckpoints(t.Context(), group)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	owned, err := store.Holder().ListOwnership(t.Context(), group)
	require.NoError(t, err)
	require.Empty(t, owned)
}

func TestNewNamesAllBadOptions(t *testing.T) {
	_, err := etcdstore.New(nil, nil, &etcdstore.Options{Prefix: "//"})
	require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
	require.ErrorContains(t, err, "Prefix")
	require.ErrorContains(t, err, "client")
	_, err = etcdstore.New(new(clientv3.Client), nil, &etcdstore.Options{Prefix: "\xff"})
	require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
}
