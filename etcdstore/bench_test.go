package etcdstore_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// The benchmarks measure the store beside what one would write without it, on one etcd with its data synced to disk, in
// turns of one run, and report ratios: absolute figures are the machine's. -benchtime=20x takes 20 turns.

// benchValue has the length of a checkpoint's record, for the plain puts.
const benchValue = `{"sequence_number":123456,"offset":123456789,"owner_id":"consumer-0",` +
	`"last_modified_time":"2026-01-01T00:00:00.000000000Z","write_id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ-1a"}`

func benchStore(b *testing.B) (*etcdstore.Store, *clientv3.Client, *lease.Keeper) {
	b.Helper()
	client := etcdtest.Start(b, etcdtest.Defaults).Client(b)
	keeper, err := lease.NewKeeper(b.Context(), client, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, keeper.Close(context.Background())) })
	store, err := etcdstore.New(client, keeper, nil)
	require.NoError(b, err)
	return store, client, keeper
}

func benchGroup(name string) etcdstore.Group {
	return etcdstore.Group{FullyQualifiedNamespace: "bench.example", EventHubName: name, ConsumerGroup: "bench"}
}

func claimsOf(group etcdstore.Group, n int) []etcdstore.Ownership {
	claims := make([]etcdstore.Ownership, n)
	for i := range claims {
		claims[i] = etcdstore.Ownership{Group: group, PartitionID: strconv.Itoa(i), OwnerID: "consumer-0"}
	}
	return claims
}

// BenchmarkClaims claims 1,024 free partitions, against one transaction for each in a row. The bar is 20.
func BenchmarkClaims(b *testing.B) {
	const partitions = 1024
	store, client, keeper := benchStore(b)
	ctx := b.Context()
	term, err := keeper.Term(ctx)
	require.NoError(b, err)
	claims := claimsOf(benchGroup("claims"), partitions)
	keys := make([]string, partitions)
	for i := range keys {
		keys[i] = "/plain/bench.example/claims/bench/ownership/" + strconv.Itoa(i)
	}
	var ratios, singly, together []float64
	for b.Loop() {
		began := time.Now()
		for _, key := range keys {
			resp, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
				Then(clientv3.OpPut(key, benchValue, clientv3.WithLease(term.ID()))).Commit()
			require.NoError(b, err)
			require.True(b, resp.Succeeded)
		}
		singles := time.Since(began)

		began = time.Now()
		won, err := store.ClaimOwnership(ctx, claims, nil)
		batched := time.Since(began)
		require.NoError(b, err)
		require.Len(b, won, partitions)

		ratios = append(ratios, float64(singles)/float64(batched))
		singly, together = append(singly, singles.Seconds()*1e3), append(together, batched.Seconds()*1e3)
		require.NoError(b, store.Release(ctx, won...))
		_, err = client.Delete(ctx, "/plain/", clientv3.WithPrefix())
		require.NoError(b, err)
	}
	b.ReportMetric(median(singly), "singles-ms")
	b.ReportMetric(median(together), "claim-ms")
	b.ReportMetric(median(ratios), "singles/claim")
}

// BenchmarkCheckpoints writes fenced and chained checkpoints, each caller its own partition, against plain puts by as
// many callers that each wait for their answer. The bars for the ratio of rates are 1 at 64 callers, 1.7 at 256 and 2
// at 1,024, with p99 no worse, and for one caller at most 1.25 times a put's latency.
func BenchmarkCheckpoints(b *testing.B) {
	for _, callers := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchCheckpoints(b, callers, callers) })
	}
}

// BenchmarkCheckpointsOfOnePartition has 64 callers write one partition, against plain puts of one key. The bar is 2.5.
func BenchmarkCheckpointsOfOnePartition(b *testing.B) {
	benchCheckpoints(b, 64, 1)
}

func benchCheckpoints(b *testing.B, callers, partitions int) {
	store, client, _ := benchStore(b)
	won, err := store.ClaimOwnership(b.Context(), claimsOf(benchGroup("checkpoints"), partitions), nil)
	require.NoError(b, err)
	require.Len(b, won, partitions)
	keys := make([]string, partitions)
	for i := range keys {
		keys[i] = "/plain/bench.example/checkpoints/bench/checkpoint/" + strconv.Itoa(i)
	}
	put := func(ctx context.Context, caller int, _ int64) error {
		_, err := client.Put(ctx, keys[caller%partitions], benchValue)
		return err
	}
	offset := "123456789"
	update := func(ctx context.Context, caller int, n int64) error {
		o := won[caller%partitions]
		return store.UpdateCheckpoint(ctx, etcdstore.Checkpoint{
			Group: o.Group, PartitionID: o.PartitionID, SequenceNumber: &n, Offset: &offset,
		}, &etcdstore.UpdateOptions{Fence: &o})
	}
	var puts, updates turns
	var rates, medians, tails []float64
	for b.Loop() {
		p, u := takeTurn(b, callers, put), takeTurn(b, callers, update)
		puts, updates = append(puts, p), append(updates, u)
		rates = append(rates, u.rate/p.rate)
		medians = append(medians, u.p50/p.p50)
		tails = append(tails, u.p99/p.p99)
	}
	b.ReportMetric(puts.medianRate(), "puts/s")
	b.ReportMetric(updates.medianRate(), "checkpoints/s")
	b.ReportMetric(median(rates), "rate-x-put")
	b.ReportMetric(median(medians), "p50-x-put")
	b.ReportMetric(median(tails), "p99-x-put")
}

// BenchmarkCheckpointsMeasured writes checkpoints with metrics that are scraped each second, against a store that
// counts nothing. The bar for the ratio of rates is 0.98.
func BenchmarkCheckpointsMeasured(b *testing.B) {
	const callers = 256
	store, _, _ := benchStore(b)
	won, err := store.ClaimOwnership(b.Context(), claimsOf(benchGroup("measured"), callers), nil)
	require.NoError(b, err)
	update := func(ctx context.Context, caller int, n int64) error {
		return store.UpdateCheckpoint(ctx, etcdstore.Checkpoint{
			Group: won[caller].Group, PartitionID: won[caller].PartitionID, SequenceNumber: &n,
		}, &etcdstore.UpdateOptions{Fence: &won[caller]})
	}
	registry := prometheus.NewRegistry()
	require.NoError(b, registry.Register(store.Metrics()))
	measured := func() float64 {
		scraping, stop := context.WithCancel(b.Context())
		var scraper sync.WaitGroup
		scraper.Go(func() {
			for scraping.Err() == nil {
				_, _ = registry.Gather() // The last one may be cut short.
				select {
				case <-scraping.Done():
				case <-time.After(time.Second):
				}
			}
		})
		defer scraper.Wait()
		defer stop()
		return takeTurn(b, callers, update).rate
	}
	unmeasured := func() float64 {
		defer store.CountNothing()()
		return takeTurn(b, callers, update).rate
	}
	var ratios, rates []float64
	for b.Loop() { // There and back, so that neither always comes first.
		without, with := unmeasured(), measured()
		with, without = with+measured(), without+unmeasured()
		ratios, rates = append(ratios, with/without), append(rates, with/2)
	}
	b.ReportMetric(median(rates), "checkpoints/s")
	b.ReportMetric(median(ratios), "rate-x-unmeasured")
}

// turn is what one kind of write did while it had its turn.
type turn struct{ rate, p50, p99 float64 }

type turns []turn

func (t turns) medianRate() float64 {
	rates := make([]float64, len(t))
	for i := range t {
		rates[i] = t[i].rate
	}
	return median(rates)
}

// takeTurn has callers write for a while, each waiting for its answer before it writes again.
func takeTurn(b *testing.B, callers int, write func(ctx context.Context, caller int, n int64) error) turn {
	b.Helper()
	const length = 500 * time.Millisecond
	took := make([][]float64, callers)
	failures := make([]error, callers)
	began := time.Now()
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			for n := int64(0); time.Since(began) < length && failures[caller] == nil; n++ {
				sent := time.Now()
				failures[caller] = write(b.Context(), caller, n)
				took[caller] = append(took[caller], time.Since(sent).Seconds())
			}
		})
	}
	running.Wait()
	elapsed := time.Since(began).Seconds()
	for _, err := range failures {
		require.NoError(b, err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return turn{rate: float64(len(all)) / elapsed, p50: all[len(all)/2], p99: all[len(all)*99/100]}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
