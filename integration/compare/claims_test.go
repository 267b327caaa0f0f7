package compare_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// claims is the contest of claiming partitions that are free.
func (w *world) claims(t *testing.T, partitions int) contest {
	t.Helper()
	ctx := t.Context()
	ours := claimsOf(groupOf("claims"), partitions)
	term, err := w.keeper.Term(ctx)
	require.NoError(t, err)
	keys := make([]string, partitions)
	for i := range keys {
		keys[i] = "/peer/claims/" + strconv.Itoa(i)
	}
	txn := func(i int) {
		resp, err := w.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(keys[i]), "=", 0)).
			Then(clientv3.OpPut(keys[i], record, clientv3.WithLease(term.ID()))).Commit()
		require.NoError(t, err)
		require.True(t, resp.Succeeded)
	}
	free := func() {
		_, err := w.client.Delete(ctx, "/peer/claims/", clientv3.WithPrefix())
		require.NoError(t, err)
	}
	session, err := concurrency.NewSession(w.client, concurrency.WithTTL(60))
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close() })

	const (
		row64   = "64 goroutines, a transaction each"
		inRow   = "a transaction each, in a row"
		mutexes = "64 goroutines, concurrency.Mutex TryLock"
		blob    = "the Go BlobStore on Azurite"
	)
	c := contest{
		name: fmt.Sprintf("Claim %d free partitions", partitions),
		about: "All are won. Freeing them again is not timed. Azurite is an emulator on this machine, in memory and without " +
			"a network: it is not the service.",
		contenders: []contender{
			{"Tenure", func(t *testing.T) measures {
				t.Helper()
				var m measures
				won := 0
				took := howLong(func() {
					all, err := w.store.ClaimOwnership(ctx, ours, nil)
					require.NoError(t, err)
					won = len(all)
					m = measures{}
				})
				require.Equal(t, partitions, won)
				require.NoError(t, w.store.Release(ctx, w.store.Held(groupOf("claims"))...))
				m[time_] = took
				return m
			}},
			{inRow, func(*testing.T) measures {
				defer free()
				return measures{time_: howLong(func() {
					for i := range keys {
						txn(i)
					}
				})}
			}},
			{row64, func(*testing.T) measures {
				defer free()
				return measures{time_: howLong(func() { at64(partitions, txn) })}
			}},
			{mutexes, func(*testing.T) measures {
				locked := make([]*concurrency.Mutex, partitions)
				took := howLong(func() {
					at64(partitions, func(i int) {
						locked[i] = concurrency.NewMutex(session, "/peer/locks/"+strconv.Itoa(i))
						require.NoError(t, locked[i].TryLock(ctx))
					})
				})
				at64(partitions, func(i int) { require.NoError(t, locked[i].Unlock(ctx)) })
				return measures{time_: took}
			}},
		},
		rows: []row{
			{measure: time_, unit: "ms", scale: 1e3, less: true, peer: inRow, bar: 20},
			{measure: time_, unit: "ms", scale: 1e3, less: true, peer: row64},
			{measure: time_, unit: "ms", scale: 1e3, less: true, peer: mutexes, bar: 2},
		},
	}
	if w.blobs != nil {
		c.contenders = append(c.contenders, contender{blob, func(t *testing.T) measures {
			t.Helper()
			return measures{time_: w.claimBlobs(t, partitions)}
		}})
		c.rows = append(c.rows, row{measure: time_, unit: "ms", scale: 1e3, less: true, peer: blob, bar: 10})
	}
	return c
}

// claimBlobs claims partitions with the Go BlobStore, of another group each time, since blobs are not freed.
func (w *world) claimBlobs(t *testing.T, partitions int) float64 {
	t.Helper()
	w.blobGroups++
	claims := make([]azeventhubs.Ownership, partitions)
	for i := range claims {
		claims[i] = azeventhubs.Ownership{
			FullyQualifiedNamespace: "bench.example", EventHubName: "claims", ConsumerGroup: strconv.Itoa(w.blobGroups),
			PartitionID: strconv.Itoa(i), OwnerID: "consumer-0",
		}
	}
	return howLong(func() {
		won, err := w.blobs.ClaimOwnership(context.WithoutCancel(t.Context()), claims, nil)
		require.NoError(t, err)
		require.Len(t, won, partitions)
	})
}

// at64 does n things, 64 at a time.
func at64(n int, do func(i int)) {
	var running sync.WaitGroup
	next := make(chan int)
	for range 64 {
		running.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	running.Wait()
}
