package compare_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	adapter "github.com/tenure-go/tenure/etcdstore/eventhubs"
	"github.com/tenure-go/tenure/integration/internal/standin"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// processors are the Event Hubs SDK's own balancers, one with a store and a lease each, on a stand-in of the service that
// tells them the partitions.
type processors struct {
	t        *testing.T
	w        *world
	hub      *standin.Server
	strategy azeventhubs.ProcessorStrategy
	interval time.Duration // 0 for the SDK's own
	group    *group        // watches and has no members of Tenure's

	running sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context //nolint:containedctx // The processors' own, which end together.

	mu     sync.Mutex
	rounds []int             // by processor
	owners map[string]string // by partition
	moves  int
}

// rounded is a processor's store, which counts the processor's rounds and what it takes from others.
type rounded struct {
	azeventhubs.CheckpointStore

	of        *processors
	processor int
}

func (r rounded) ListOwnership(
	ctx context.Context, namespace, hub, group string, options *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	r.of.mu.Lock()
	r.of.rounds[r.processor]++
	r.of.mu.Unlock()
	return r.CheckpointStore.ListOwnership(ctx, namespace, hub, group, options)
}

func (r rounded) ClaimOwnership(
	ctx context.Context, claims []azeventhubs.Ownership, options *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	won, err := r.CheckpointStore.ClaimOwnership(ctx, claims, options)
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	for _, o := range won {
		if before := r.of.owners[o.PartitionID]; before != "" && before != o.OwnerID {
			r.of.moves++
		}
		r.of.owners[o.PartitionID] = o.OwnerID
	}
	return won, err
}

func (w *world) newProcessors(
	t *testing.T, hub *standin.Server, strategy azeventhubs.ProcessorStrategy, interval time.Duration, partitions int,
) *processors {
	t.Helper()
	parsed, err := azeventhubs.ParseConnectionString(hub.HubConnectionString())
	require.NoError(t, err)
	w.groups++
	id := etcdstore.Group{
		FullyQualifiedNamespace: parsed.FullyQualifiedNamespace, EventHubName: *parsed.EntityPath,
		ConsumerGroup: fmt.Sprintf("processors-%d", w.groups),
	}
	p := &processors{
		t: t, w: w, hub: hub, strategy: strategy, interval: interval,
		group: newGroup(t, w.store, w.endpoints, id, partitions, 0), owners: make(map[string]string),
	}
	p.ctx, p.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	return p
}

// add has more processors join.
func (p *processors) add(n int) {
	p.t.Helper()
	for range n {
		client := etcdtest.NewClient(p.t, p.w.endpoints)
		keeper, err := lease.NewKeeper(p.t.Context(), client, nil)
		require.NoError(p.t, err)
		store, err := etcdstore.New(client, keeper, nil)
		require.NoError(p.t, err)
		consumer, err := azeventhubs.NewConsumerClientFromConnectionString(p.hub.HubConnectionString(), "",
			p.group.spec.Group.ConsumerGroup, nil)
		require.NoError(p.t, err)
		p.mu.Lock()
		counting := rounded{CheckpointStore: adapter.New(store, nil), of: p, processor: len(p.rounds)}
		p.rounds = append(p.rounds, 0)
		p.mu.Unlock()
		processor, err := azeventhubs.NewProcessor(consumer, counting, &azeventhubs.ProcessorOptions{
			LoadBalancingStrategy: p.strategy, UpdateInterval: p.interval,
		})
		require.NoError(p.t, err)
		p.running.Go(func() {
			defer func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				_ = keeper.Close(ctx)
				_ = consumer.Close(ctx)
			}()
			_ = processor.Run(p.ctx) // It is seen by what it owns.
		})
		p.running.Go(func() {
			for partition := range nextPartitions(p.ctx, processor) {
				defer func() { _ = partition.Close(context.Background()) }() // until then it counts as read
			}
		})
	}
}

func nextPartitions(
	ctx context.Context, processor *azeventhubs.Processor,
) func(yield func(*azeventhubs.ProcessorPartitionClient) bool) {
	return func(yield func(*azeventhubs.ProcessorPartitionClient) bool) {
		for {
			partition := processor.NextPartitionClient(ctx)
			if partition == nil || !yield(partition) {
				return
			}
		}
	}
}

// counted returns the most rounds that one of them has made, and the moves, and begins to count anew.
func (p *processors) counted() (rounds, moves float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rounds, moves = float64(slices.Max(p.rounds)), float64(p.moves)
	clear(p.rounds)
	p.moves = 0
	return rounds, moves
}

func (p *processors) end() {
	p.stop()
	p.running.Wait()
	p.group.end()
}

// rebalancing is what the SDK's Processor needs for what Tenure's members do on the same store.
func (w *world) rebalancing(t *testing.T, partitions, members, rounds int, interval time.Duration) []figure {
	t.Helper()
	hub := standin.Start(t, standin.Options{Partitions: partitions})
	var all []figure
	for _, strategy := range []azeventhubs.ProcessorStrategy{
		azeventhubs.ProcessorStrategyBalanced, azeventhubs.ProcessorStrategyGreedy,
	} {
		var cold, coldMoves, joined, joinedMoves []float64
		for range rounds {
			p := w.newProcessors(t, hub, strategy, interval, partitions)
			p.add(members)
			p.group.awaitBalance(members)
			made, moved := p.counted()
			cold, coldMoves = append(cold, made), append(coldMoves, moved)
			p.add(1)
			p.group.awaitBalance(members + 1)
			made, moved = p.counted()
			joined, joinedMoves = append(joined, made), append(joinedMoves, moved)
			p.end()
		}
		what := fmt.Sprintf("%s, %d partitions, %d processors: ", strategy, partitions, members)
		all = append(all,
			figure{name: what + "rounds from a cold start to an even share", values: cold},
			figure{name: what + "partitions taken from another meanwhile", values: coldMoves},
			figure{name: what + "rounds when one more comes", values: joined},
			figure{name: what + "partitions taken from another then", values: joinedMoves},
		)
	}
	return all
}

// rebalancingByDefault has both strategies begin at once, as they do unless told otherwise.
func (w *world) rebalancingByDefault(t *testing.T, partitions, members int) []figure {
	t.Helper()
	hub := standin.Start(t, standin.Options{Partitions: partitions})
	strategies := []azeventhubs.ProcessorStrategy{azeventhubs.ProcessorStrategyBalanced, azeventhubs.ProcessorStrategyGreedy}
	all := make([]figure, len(strategies))
	var running sync.WaitGroup
	for i, strategy := range strategies {
		p := w.newProcessors(t, hub, strategy, 0, partitions)
		p.add(members)
		running.Go(func() {
			name := fmt.Sprintf("%s, %d partitions, %d processors, every 10 s: from a cold start to an even share", strategy,
				partitions, members)
			all[i] = figure{name: name, values: []float64{p.group.awaitBalance(members)}, unit: "s"}
		})
		defer p.end()
	}
	running.Wait()
	return all
}
