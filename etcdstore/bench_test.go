package etcdstore_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// Beside what others use for the same the store is measured in integration/compare.

func benchStore(b *testing.B) *etcdstore.Store {
	b.Helper()
	client := etcdtest.Start(b, etcdtest.Defaults).Client(b)
	keeper, err := lease.NewKeeper(b.Context(), client, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, keeper.Close(context.Background())) })
	store, err := etcdstore.New(client, keeper, nil)
	require.NoError(b, err)
	return store
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

// BenchmarkCheckpointsMeasured writes checkpoints with metrics that are scraped each second, against a store that
// counts nothing. The bar for the ratio of rates is 0.98.
func BenchmarkCheckpointsMeasured(b *testing.B) {
	const callers = 256
	store := benchStore(b)
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
		return takeTurn(b, callers, update)
	}
	unmeasured := func() float64 {
		defer store.CountNothing()()
		return takeTurn(b, callers, update)
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

// takeTurn has callers write for a while, each waiting for its answer before it writes again, and returns the rate.
func takeTurn(b *testing.B, callers int, write func(ctx context.Context, caller int, n int64) error) float64 {
	b.Helper()
	const length = 500 * time.Millisecond
	written := make([]int64, callers)
	failures := make([]error, callers)
	began := time.Now()
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			for ; time.Since(began) < length && failures[caller] == nil; written[caller]++ {
				failures[caller] = write(b.Context(), caller, written[caller])
			}
		})
	}
	running.Wait()
	elapsed := time.Since(began).Seconds()
	for _, err := range failures {
		require.NoError(b, err)
	}
	var all int64
	for _, n := range written {
		all += n
	}
	return float64(all) / elapsed
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
