package compare_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// mallocs returns how many objects this process has allocated while it did something.
func mallocs(do func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

// allocations counts what is allocated for a checkpoint, a claim and a listed ownership, by the store and etcd's client
// together. Etcd is a process of its own. The bars are what it was when they were set, and a fifth more.
func allocations(t *testing.T) []figure {
	t.Helper()
	const (
		partitions = 1024
		callers    = 64
		times      = 100
	)
	ctx := t.Context()
	a := newApart(t)
	keeper, err := lease.NewKeeper(ctx, a.client, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = keeper.Close(context.WithoutCancel(ctx)) })
	store, err := etcdstore.New(a.client, keeper, nil)
	require.NoError(t, err)
	group := groupOf("allocations")

	var claims []float64
	var won []etcdstore.Ownership
	for range 5 {
		free := claimsOf(group, partitions)
		claims = append(claims, mallocs(func() { won, err = store.ClaimOwnership(ctx, free, nil) })/partitions)
		require.NoError(t, err)
		require.Len(t, won, partitions)
		require.NoError(t, store.Release(ctx, won...))
	}
	won, err = store.ClaimOwnership(ctx, claimsOf(group, partitions), nil)
	require.NoError(t, err)

	var listed []float64
	for range 5 {
		var all []etcdstore.Ownership
		listed = append(listed, mallocs(func() { all, err = store.ListOwnership(ctx, group) })/partitions)
		require.NoError(t, err)
		require.Len(t, all, partitions)
	}

	writes := func(write write) (a []float64) {
		for range 5 {
			failures := make([]error, callers)
			a = append(a, mallocs(func() {
				var running sync.WaitGroup
				for caller := range callers {
					running.Go(func() {
						for n := int64(0); n < times && failures[caller] == nil; n++ {
							failures[caller] = write(ctx, caller, n)
						}
					})
				}
				running.Wait()
			})/(callers*times))
			for _, err := range failures {
				require.NoError(t, err)
			}
		}
		return a
	}
	offset := "123456789"
	checkpoints := writes(func(ctx context.Context, caller int, n int64) error {
		o := &won[caller]
		return store.UpdateCheckpoint(ctx, etcdstore.Checkpoint{
			Group: o.Group, PartitionID: o.PartitionID, SequenceNumber: &n, Offset: &offset,
		}, &etcdstore.UpdateOptions{Fence: o})
	})
	puts := writes(func(ctx context.Context, caller int, _ int64) error {
		_, err := a.client.Put(ctx, "/peer/allocations/"+strconv.Itoa(caller), record)
		return err
	})
	return []figure{
		{name: "a claim, of 1,024", values: claims, unit: "objects", most: new(58.0)},
		{name: "a checkpoint, 64 callers", values: checkpoints, unit: "objects", most: new(66.0)},
		{name: "a put with etcd's client, 64 callers", values: puts, unit: "objects"},
		{name: "an ownership, listed among 1,024", values: listed, unit: "objects", most: new(11.0)},
	}
}

// TestAllocations guards what the figures of speed rest on.
func TestAllocations(t *testing.T) {
	for _, f := range allocations(t) {
		t.Log(f)
		if f.most != nil {
			require.LessOrEqual(t, median(f.values), *f.most, f.name)
		}
	}
}
