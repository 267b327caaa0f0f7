package integration_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/balancer/eventhubs"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/integration/internal/standin"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// Links and connections are lost again and again. Nothing is checkpointed, so a partition that began again anywhere but
// after the last event handled would show.
func TestLinkLossRepeatsNothing(t *testing.T) {
	t.Parallel()
	for name, retries := range map[string]azeventhubs.RetryOptions{
		"mended by the SDK": quickRetries, "mended by the consumer": noRetries,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const partitions = 4
			s := newStage(t, standin.Options{Partitions: partitions, AppendRate: 1000})
			a := s.join("a", part{retries: &retries, options: eventhubs.Options{ManualCheckpoints: true}})
			for _, fault := range slices.Repeat([]func() int{s.hub.DetachLinks, s.hub.DropConnections}, 5) {
				s.awaitLinks(partitions)
				require.Positive(t, fault())
				s.hub.Append("", partitions)
				s.awaitAll()
			}
			a.stop()
			s.requireEach()
			require.NotContains(t, s.events["a"], "failed")
			checkpoints, err := openStore(t, s).ListCheckpoints(t.Context(), s.group().Fold())
			require.NoError(t, err)
			require.Empty(t, checkpoints)
		})
	}
}

// awaitLinks waits until the hub has so many receivers.
func (s *stage) awaitLinks(links int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return len(s.hub.Receivers()) == links }, patience, 5*time.Millisecond)
}

func openStore(t *testing.T, s *stage) *etcdstore.Store {
	t.Helper()
	store, err := etcdstore.New(etcdtest.NewClient(t, s.etcd), nil, nil)
	require.NoError(t, err)
	return store
}

// failures collects what a member says of handlers that have failed.
type failures struct {
	mu   sync.Mutex
	all  []error
	some chan struct{}
}

func newFailures() *failures { return &failures{some: make(chan struct{}, 1)} }

func (f *failures) take(event balancer.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, event.Err)
	select {
	case f.some <- struct{}{}:
	default:
	}
}

// await waits for a failure of the wanted kind.
func (f *failures) await(t *testing.T, wanted error) error {
	t.Helper()
	timeout := time.After(patience)
	for {
		f.mu.Lock()
		for _, err := range f.all {
			if errors.Is(err, wanted) {
				f.mu.Unlock()
				return err
			}
		}
		f.mu.Unlock()
		select {
		case <-f.some:
		case <-timeout:
			t.Fatalf("no failure is %q: %v", wanted, f.all)
		}
	}
}

// A handler fails. What it handled before is not repeated; the batch that failed is, although the partition began at
// the latest event and had no checkpoint of a handled event.
func TestHandlerFailureLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 1, Events: 5})
	failed := newFailures()
	var fails atomic.Bool
	fails.Store(true)
	a := s.join("a", part{
		latest: true,
		options: eventhubs.Options{
			BatchSize: 1, CheckpointInterval: time.Hour,
			Balancer: balancer.Options{Events: balancer.Events{Failed: failed.take}},
		},
		handle: func(_ context.Context, _ *balancer.Partition, event *azeventhubs.ReceivedEventData) error {
			if (event.SequenceNumber == 5 || event.SequenceNumber == 8) && fails.Load() {
				return errHandler
			}
			return nil
		},
	})
	awaitCheckpoint(t, s, "0", 4) // the partition's beginning
	s.hub.Append("0", 5)
	require.ErrorContains(t, failed.await(t, errHandler), "handle events 5 to 5")
	fails.Store(false)
	s.await("the first event is handled", func() bool { return len(s.handled["0"]) > 0 })
	s.awaitAll()
	a.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.handled["0"] {
		require.Equal(t, int64(5+i), h.sequence)
	}
}

var errHandler = errors.New("the handler's own error")

// awaitCheckpoint waits until a partition's checkpoint has the sequence number.
func awaitCheckpoint(t *testing.T, s *stage, partition string, sequence int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := etcdtest.NewClient(t, s.etcd)
	for response := range client.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(1)) {
		for _, c := range proof.Changes(response.Events) {
			if c.Kind == proof.Checkpoint && c.Partition == partition && c.SequenceNumber == sequence {
				return
			}
		}
	}
	t.Fatalf("partition %s was never checkpointed at %d", partition, sequence)
}

// A partition that begins at the latest event does so once: what comes while nobody reads is read later.
func TestLatestIsAPlace(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 2})
	s.hub.Append("1", 10) // partition 0 stays empty
	a := s.join("a", part{latest: true})
	awaitCheckpoint(t, s, "0", -1)
	awaitCheckpoint(t, s, "1", 9)
	a.stop()
	s.hub.Append("", 20)
	b := s.join("b", part{latest: true})
	s.awaitAll()
	b.stop()
	require.Equal(t, int64(0), s.handled["0"][0].sequence)
	require.Equal(t, int64(10), s.handled["1"][0].sequence)
	require.Len(t, s.handled["0"], 10)
	require.Len(t, s.handled["1"], 10)
}

// The hub was deleted and made again: the checkpoint points past its end. The error says which partition it is and what
// to do, which helps; the other partitions are read.
func TestRefusedCheckpoint(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 2, Events: 20})
	require.NoError(t, openStore(t, s).UpdateCheckpoint(t.Context(), etcdstore.Checkpoint{
		Group: s.group().Fold(), PartitionID: "1", SequenceNumber: new(int64(5000)), Offset: new("99999"),
	}, nil))
	failed := newFailures()
	a := s.join("a", part{retries: &noRetries, options: eventhubs.Options{
		Balancer: balancer.Options{Events: balancer.Events{Failed: failed.take}},
	}})
	err := failed.await(t, eventhubs.ErrStartRefused)
	var refused *eventhubs.StartRefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "1", refused.PartitionID)
	require.Equal(t, "after offset 99999", refused.Start)
	require.Equal(t, "/tenure/v1/"+s.group().Fold().String()+"/checkpoint/1", refused.CheckpointKey)
	require.ErrorContains(t, err, "delete "+refused.CheckpointKey)
	s.await("the other partition is read", func() bool { return len(s.handled["0"]) == 10 })

	deleted, err := etcdtest.NewClient(t, s.etcd).Delete(t.Context(), refused.CheckpointKey)
	require.NoError(t, err)
	require.Equal(t, int64(1), deleted.Deleted)
	s.awaitAll()
	a.stop()
	s.requireEach()
}

// Another program reads a partition with a higher owner level. The consumer says so, and goes on when it has gone.
func TestCutOff(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 2, Events: 20})
	failed := newFailures()
	a := s.join("a", part{options: eventhubs.Options{
		CheckpointInterval: time.Hour,
		Balancer:           balancer.Options{Events: balancer.Events{Failed: failed.take}},
	}})
	s.awaitAll()
	other, err := s.client("other", quickRetries).NewPartitionClient("1", &azeventhubs.PartitionClientOptions{
		StartPosition: fromEarliest.Default, OwnerLevel: new(int64(1 << 40)),
	})
	require.NoError(t, err)
	_, err = other.ReceiveEvents(t.Context(), 1, nil)
	require.NoError(t, err)
	require.ErrorContains(t, failed.await(t, eventhubs.ErrCutOff), "partition 1 of")
	s.hub.Append("1", 10)
	require.NoError(t, other.Close(t.Context()))
	s.awaitAll()
	a.stop()
	s.requireEach() // what was handled before was checkpointed
}

// A handler writes its checkpoints itself, together with what it counts in etcd: both or neither.
func TestManualCheckpointsWithOperations(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 4, AppendRate: 200})
	count := part{
		options: eventhubs.Options{ManualCheckpoints: true, BatchSize: 1},
		handle: func(ctx context.Context, p *balancer.Partition, event *azeventhubs.ReceivedEventData) error {
			put := clientv3.OpPut("/counts/"+p.ID(), strconv.FormatInt(event.SequenceNumber, 10))
			return p.Checkpoint(ctx, &event.SequenceNumber, &event.Offset, put)
		},
	}
	a := s.join("a", count)
	s.awaitShares(map[string]int{"a": 4})
	b := s.join("b", count)
	s.awaitShares(map[string]int{"a": 2, "b": 2})
	a.stop()
	s.awaitShares(map[string]int{"b": 4})
	b.stop()
	s.requireEach()
	counts, err := etcdtest.NewClient(t, s.etcd).Get(t.Context(), "/counts/", clientv3.WithPrefix())
	require.NoError(t, err)
	require.Len(t, counts.Kvs, 4)
	for _, kv := range counts.Kvs {
		handled := s.handled[strings.TrimPrefix(string(kv.Key), "/counts/")]
		require.Equal(t, strconv.FormatInt(handled[len(handled)-1].sequence, 10), string(kv.Value))
	}
}

// A consumer is cut off from etcd, not from Event Hubs. It stops handling before another one begins.
func TestConsumerStopsWhenItLosesEtcd(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 4, AppendRate: 400})
	proxy := faultproxy.New(t, strings.TrimPrefix(s.etcd[0], "http://"))
	a := s.join("a", part{endpoints: []string{"http://" + proxy.Addr()}})
	s.awaitShares(map[string]int{"a": 4})
	b := s.join("b", part{})
	s.awaitShares(map[string]int{"a": 2, "b": 2})
	proxy.Silence()
	s.awaitShares(map[string]int{"b": 4})
	proxy.Heal(faultproxy.DeliverHeld)
	s.awaitShares(map[string]int{"a": 2, "b": 2})
	s.awaitAll()
	a.stop()
	b.stop()
	t.Logf("%d events were repeated", s.requireNoneMissed())
	require.Empty(t, s.late)
	s.requireTurns(4) // to b when it joined, when a was silent, to a again, and to b when a was stopped
}

// requireTurns fails if the consumers of a partition took turns more often than it can have moved, as two that read it
// at the same time do.
func (s *stage) requireTurns(atMost int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for partition, handled := range s.handled {
		turns := 0
		for i := 1; i < len(handled); i++ {
			if handled[i].by != handled[i-1].by {
				turns++
			}
		}
		require.LessOrEqual(s.t, turns, atMost, "turns of partition %s", partition)
	}
}
