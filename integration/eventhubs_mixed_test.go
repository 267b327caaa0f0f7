package integration_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	adapter "github.com/tenure-go/tenure/etcdstore/eventhubs"
	"github.com/tenure-go/tenure/integration/internal/standin"
)

// process starts the SDK's own Processor on the same records, and what a program does with it.
func (s *stage) process(name string) *actor {
	s.t.Helper()
	store, keeper := s.store()
	processor, err := azeventhubs.NewProcessor(s.client(name, quickRetries), adapter.New(store, nil),
		&azeventhubs.ProcessorOptions{
			UpdateInterval:        500 * time.Millisecond,
			LoadBalancingStrategy: azeventhubs.ProcessorStrategyGreedy,
			StartPositions:        fromEarliest,
		})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := processor.Run(ctx); err != nil {
			s.t.Errorf("%s's processor ended with: %v", name, err)
		}
	})
	running.Go(func() {
		for {
			partition := processor.NextPartitionClient(ctx)
			if partition == nil {
				return
			}
			running.Go(func() { s.readAsTheSDKDoes(ctx, name, partition) })
		}
	})
	a := &actor{name: name, stop: sync.OnceFunc(func() {
		cancel()
		running.Wait()
		closing, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := keeper.Close(closing); err != nil {
			s.t.Errorf("close %s's keeper: %v", name, err)
		}
	})}
	s.t.Cleanup(a.stop)
	return a
}

func (s *stage) readAsTheSDKDoes(ctx context.Context, name string, partition *azeventhubs.ProcessorPartitionClient) {
	defer func() { _ = partition.Close(context.Background()) }() // its link may have gone
	for {
		waiting, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		events, err := partition.ReceiveEvents(waiting, 100, nil)
		cancel()
		if err != nil && (!errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil) {
			return
		}
		if len(events) == 0 {
			continue
		}
		for _, event := range events {
			s.begin(partition.PartitionID(), handling{name, event.SequenceNumber}, false)
		}
		// What has been printed is saved, also when the program is being stopped.
		saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		err = partition.UpdateCheckpoint(saving, events[len(events)-1], nil)
		cancel()
		switch {
		case errors.Is(err, etcdstore.ErrOwnershipLost):
			return
		case err != nil && !errors.Is(err, etcdstore.ErrCheckpointConflict):
			s.t.Errorf("%s cannot checkpoint: %v", name, err)
			return
		}
	}
}

// A fleet of the SDK's processors is replaced one by one. Nothing is taken from a processor; what one gives up is taken
// by consumers, who read with the processors' own owner level as long as there are any, and with a higher one later.
func TestFleetOfProcessorsIsReplaced(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 4, AppendRate: 400})
	x, y := s.process("x"), s.process("y")
	s.awaitShares(map[string]int{"x": 2, "y": 2})
	held := s.partitionsOf("x", "y")

	a := s.join("a", part{})
	s.await("a has joined", func() bool { return slices.Contains(s.events["a"], "joined") })
	s.awaitRounds(400)
	require.Equal(t, held, s.partitionsOf("x", "y"), "a consumer took from a processor")

	x.stop()
	s.await("a or y reads what x had", func() bool { // whoever is faster
		readers := s.readers()
		return !slices.ContainsFunc(held["x"], func(partition string) bool {
			return readers[partition] != "a" && readers[partition] != "y"
		})
	})
	for _, receiver := range s.hub.Receivers() {
		require.NotNil(t, receiver.Epoch)
		require.Zero(t, *receiver.Epoch, "the owner level of partition %s", receiver.Partition)
	}

	y.stop()
	s.awaitShares(map[string]int{"a": 4})
	b := s.join("b", part{})
	s.awaitShares(map[string]int{"a": 2, "b": 2})
	for _, receiver := range s.hub.Receivers() {
		if receiver.Name == "b" {
			require.Positive(t, *receiver.Epoch)
		}
	}
	s.awaitAll()
	a.stop()
	b.stop()
	t.Logf("%d events were repeated", s.requireNoneMissed())
	require.Empty(t, s.late)
}

// The way back: a processor joins consumers and takes partitions from them, as it does from its own kind. A theft ends
// the handler, and nothing is missed.
func TestProcessorTakesFromConsumers(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 4, AppendRate: 400})
	a := s.join("a", part{})
	s.awaitShares(map[string]int{"a": 4})
	x := s.process("x")
	s.awaitShares(map[string]int{"a": 2, "x": 2})
	require.Contains(t, s.eventsOf("a"), "lost")
	a.stop()
	s.awaitShares(map[string]int{"x": 4})
	s.awaitAll()
	x.stop()
	t.Logf("%d events were repeated", s.requireNoneMissed())
	require.Empty(t, s.late)
}

func (s *stage) eventsOf(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events[name])
}

// partitionsOf returns which partitions each of the consumers reads.
func (s *stage) partitionsOf(names ...string) map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	partitions := make(map[string][]string)
	for partition, reader := range s.readers() {
		if slices.Contains(names, reader) {
			partitions[reader] = append(partitions[reader], partition)
		}
	}
	for _, held := range partitions {
		slices.Sort(held)
	}
	return partitions
}

// awaitRounds waits until so many more events have been handled.
func (s *stage) awaitRounds(events int) {
	s.t.Helper()
	total := func() (sum int) {
		for _, handled := range s.handled {
			sum += len(handled)
		}
		return sum
	}
	s.mu.Lock()
	before := total()
	s.mu.Unlock()
	s.await("some more events are handled", func() bool { return total() >= before+events })
}
