package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/balancer/eventhubs"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/integration/internal/standin"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// fromEarliest has every event read.
var fromEarliest = azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: new(true)}}

// quickRetries make the SDK try again at once and not after seconds. noRetries make it hand on the first error.
var (
	quickRetries = azeventhubs.RetryOptions{RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 100 * time.Millisecond}
	noRetries    = azeventhubs.RetryOptions{MaxRetries: -1}
)

// stage is a hub, an etcd and consumers of them in this process, and all that the consumers' handlers were given.
type stage struct {
	t    *testing.T
	hub  *standin.Server
	etcd []string // endpoints

	mu      sync.Mutex
	changed *sync.Cond
	handled map[string][]handling // by partition, in the order in which they were begun
	reached map[string]int64      // by partition: the highest sequence number of them
	late    []handling            // begun although the context had ended
	events  map[string][]string   // what members say has happened, by member
}

// handling is one event handled by one consumer.
type handling struct {
	by       string
	sequence int64
}

func newStage(t *testing.T, options standin.Options) *stage {
	t.Helper()
	s := &stage{
		t:       t,
		hub:     standin.Start(t, options),
		etcd:    etcdtest.Start(t).Endpoints(),
		handled: make(map[string][]handling),
		reached: make(map[string]int64),
		events:  make(map[string][]string),
	}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// group is the hub's, as the SDK would name it.
func (s *stage) group() etcdstore.Group {
	s.t.Helper()
	parsed, err := azeventhubs.ParseConnectionString(s.hub.HubConnectionString())
	require.NoError(s.t, err)
	return etcdstore.Group{
		FullyQualifiedNamespace: parsed.FullyQualifiedNamespace,
		EventHubName:            *parsed.EntityPath,
		ConsumerGroup:           azeventhubs.DefaultConsumerGroup,
	}
}

// store opens a store as a process has one.
func (s *stage) store(endpoints ...string) (*etcdstore.Store, *lease.Keeper) {
	s.t.Helper()
	if len(endpoints) == 0 {
		endpoints = s.etcd
	}
	client := etcdtest.NewClient(s.t, endpoints)
	keeper, err := lease.NewKeeper(s.t.Context(), client, &lease.Options{TTL: memberTTL})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := keeper.Close(ctx); err != nil {
			s.t.Errorf("close a keeper: %v", err)
		}
	})
	store, err := etcdstore.New(client, keeper, nil)
	require.NoError(s.t, err)
	return store, keeper
}

// memberTTL is long enough for a busy machine.
const memberTTL = 6 * time.Second

// client opens an SDK client that says it is name.
func (s *stage) client(name string, retries azeventhubs.RetryOptions) *azeventhubs.ConsumerClient {
	s.t.Helper()
	client, err := azeventhubs.NewConsumerClientFromConnectionString(s.hub.HubConnectionString(), "",
		azeventhubs.DefaultConsumerGroup, &azeventhubs.ConsumerClientOptions{InstanceID: name, RetryOptions: retries})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		if err := client.Close(context.Background()); err != nil {
			s.t.Errorf("close an Event Hubs client: %v", err)
		}
	})
	return client
}

// part is how a consumer differs from others.
type part struct {
	options   eventhubs.Options // from the earliest event unless said otherwise
	latest    bool
	retries   *azeventhubs.RetryOptions // quick ones unless said otherwise
	endpoints []string
	// handle is called after an event is counted as handled, unless nil. Its error is the handler's.
	handle func(ctx context.Context, p *balancer.Partition, event *azeventhubs.ReceivedEventData) error
}

// actor is a running consumer.
type actor struct {
	name string
	stop func() // as SIGTERM does, and waits until it has stopped
}

// join starts a consumer. It is stopped at the end of the test if it is not before.
func (s *stage) join(name string, p part) *actor {
	s.t.Helper()
	if !p.latest && p.options.StartPositions.Default == (azeventhubs.StartPosition{}) {
		p.options.StartPositions.Default = fromEarliest.Default
	}
	if p.retries == nil {
		p.retries = &quickRetries
	}
	p.options.Balancer.Events = s.listen(name, p.options.Balancer.Events)
	p.options.Balancer.Logger = zaptest.NewLogger(s.t).Named(name)
	store, _ := s.store(p.endpoints...)
	client := s.client(name, *p.retries)
	consumer, err := eventhubs.NewConsumer(store, s.group(), client, s.handler(name, p.handle), &p.options)
	require.NoError(s.t, err)
	require.Equal(s.t, name, consumer.Member().OwnerID())

	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- consumer.Run(ctx) }()
	a := &actor{name: name, stop: sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-result:
			if err != nil {
				s.t.Errorf("%s ended with: %v", name, err)
			}
		case <-time.After(patience):
			s.t.Errorf("%s did not stop within %v", name, patience)
		}
	})}
	s.t.Cleanup(a.stop)
	return a
}

// handler counts events as handled, and as late if the context had ended by then.
func (s *stage) handler(
	name string, handle func(context.Context, *balancer.Partition, *azeventhubs.ReceivedEventData) error,
) eventhubs.Handler {
	return func(ctx context.Context, p *balancer.Partition, events []*azeventhubs.ReceivedEventData) error {
		for i, event := range events {
			ended := ctx.Err() != nil
			if ended && i > 0 {
				return context.Cause(ctx) // as an obedient handler does
			}
			if handle != nil {
				if err := handle(ctx, p, event); err != nil {
					return err
				}
			}
			s.begin(p.ID(), handling{name, event.SequenceNumber}, ended)
		}
		return nil
	}
}

func (s *stage) begin(partition string, h handling, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled[partition] = append(s.handled[partition], h)
	s.reached[partition] = max(s.reached[partition], h.sequence)
	if late {
		s.late = append(s.late, h)
	}
	s.changed.Broadcast()
}

// listen notes what a member says, and passes failures on.
func (s *stage) listen(name string, events balancer.Events) balancer.Events {
	note := func(what string, next func(balancer.Event)) func(balancer.Event) {
		return func(event balancer.Event) {
			s.mu.Lock()
			s.events[name] = append(s.events[name], what)
			s.changed.Broadcast()
			s.mu.Unlock()
			if next != nil {
				next(event)
			}
		}
	}
	events.Joined = note("joined", events.Joined)
	events.Claimed = note("claimed", events.Claimed)
	events.Released = note("released", events.Released)
	events.Lost = note("lost", events.Lost)
	events.Failed = note("failed", events.Failed)
	return events
}

// await waits until the condition holds, which is asked again whenever something has happened.
func (s *stage) await(what string, condition func() bool) {
	s.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !condition() {
		if late {
			s.t.Fatalf("waited %v in vain until %s\nreaders: %v\nsaid: %v", patience, what, s.readers(), s.events)
		}
		s.changed.Wait()
	}
}

// readers tells who handled each partition's last event. The mutex is held.
func (s *stage) readers() map[string]string {
	readers := make(map[string]string)
	for partition, handled := range s.handled {
		readers[partition] = handled[len(handled)-1].by
	}
	return readers
}

// awaitShares waits until each of the consumers reads so many partitions. The hub has to go on getting events.
func (s *stage) awaitShares(shares map[string]int) {
	s.t.Helper()
	s.await(fmt.Sprintf("the shares are %v", shares), func() bool {
		found := make(map[string]int)
		for _, reader := range s.readers() {
			found[reader]++
		}
		for name, share := range shares {
			if found[name] != share {
				return false
			}
		}
		return len(found) == len(shares)
	})
}

// awaitAll waits until every event that is in the hub now has been handled.
func (s *stage) awaitAll() {
	s.t.Helper()
	stats := s.hub.Stats()
	s.await("every event is handled", func() bool {
		for _, partition := range stats {
			reached, read := s.reached[partition.ID]
			if partition.LastSequenceNumber >= 0 && !read || reached < partition.LastSequenceNumber {
				return false
			}
		}
		return true
	})
}

// requireEach fails unless each event that has been handled was handled in its order, once, and none was left out.
func (s *stage) requireEach() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(s.t, s.late)
	total := 0
	for partition, handled := range s.handled {
		for i, h := range handled {
			if h.sequence != int64(i) {
				s.t.Fatalf("partition %s: after %v came %v", partition, handled[max(0, i-1)], h)
			}
		}
		total += len(handled)
	}
	s.t.Logf("%d events were handled once each", total)
}

// requireNoneMissed fails unless the events of each partition were all handled, be it several times.
func (s *stage) requireNoneMissed() (repeated int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for partition, handled := range s.handled {
		next := int64(0)
		for _, h := range handled {
			if h.sequence > next {
				s.t.Fatalf("partition %s: event %d was missed; %v came before it", partition, next, h)
			}
			if h.sequence < next {
				repeated++
			}
			next = max(next, h.sequence+1)
		}
	}
	return repeated
}

// epochs returns the owner level of each partition's receiver.
func (s *stage) epochs() map[string]int64 {
	s.t.Helper()
	epochs := make(map[string]int64)
	for _, receiver := range s.hub.Receivers() {
		require.NotNil(s.t, receiver.Epoch)
		epochs[receiver.Partition] = max(epochs[receiver.Partition], *receiver.Epoch)
	}
	return epochs
}

// One consumer reads all that there is and all that comes, each event once and in order.
func TestConsumerReadsAHub(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 8, Events: 4000})
	a := s.join("a", part{})
	s.awaitAll()
	s.hub.Append("", 4000)
	s.awaitAll()
	a.stop()
	s.requireEach()

	// What was handled is checkpointed, so nothing is left for the next one.
	s.hub.Append("", 8)
	s.join("b", part{}).awaitAllAndStop(s)
	s.requireEach()
}

func (a *actor) awaitAllAndStop(s *stage) {
	s.t.Helper()
	s.awaitAll()
	a.stop()
}

// A consumer joins and leaves while events come in. Each move is drained, so every event is handled once; and readers'
// owner levels rise, so that Event Hubs itself would cut off a stale one.
func TestPlannedMovesRepeatNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 8, AppendRate: 2000})
	a := s.join("a", part{})
	s.awaitShares(map[string]int{"a": 8})
	before := s.epochs()
	b := s.join("b", part{})
	s.awaitShares(map[string]int{"a": 4, "b": 4})
	c := s.join("c", part{})
	s.awaitShares(map[string]int{"a": 3, "b": 3, "c": 2})
	a.stop()
	s.awaitShares(map[string]int{"b": 4, "c": 4})
	c.stop()
	s.awaitShares(map[string]int{"b": 8})
	for partition, after := range s.epochs() {
		require.Greater(t, after, before[partition], "partition %s", partition)
	}
	s.awaitAll()
	b.stop()
	s.requireEach()
}

// A hub is given more partitions while it is read.
func TestConsumerGrowsWithTheHub(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 2, Events: 200})
	a := s.join("a", part{options: eventhubs.Options{
		Balancer: balancer.Options{SourceInterval: 100 * time.Millisecond},
	}})
	s.awaitAll()
	s.hub.Grow(5)
	s.hub.Append("", 500)
	s.awaitAll()
	a.stop()
	s.requireEach()
	require.Len(t, s.handled, 5)
}
