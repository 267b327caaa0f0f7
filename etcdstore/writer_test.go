package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// requireAtRest demands that the writer has nothing to do and nothing that would do it.
func requireAtRest(t *testing.T, s *Store) {
	t.Helper()
	awaitWriter(t, s, func(w *writer) bool { return w.inFlight == 0 })
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	require.Empty(t, s.writer.lanes)
	require.Empty(t, s.writer.ready)
}

func TestLoneCallerUsesOneRequestEach(t *testing.T) {
	t.Parallel()
	sent := newTally()
	client := etcdtest.Start(t).Client(t, sent.onClient)
	s := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
	o := claimAll(t, s, claimsOf(testGroup(t), "owner", []string{"0"}), nil)[0]
	for _, options := range []*UpdateOptions{{Fence: &o}, {}, {Fence: &o, Ops: []clientv3.Op{clientv3.OpPut("/op", "")}}} {
		if options.Fence == nil {
			o = claimAll(t, s, []Ownership{o}, nil)[0]
		}
		sent.traffic()
		writes := 20
		if options.Fence != nil && options.Ops != nil {
			// The writes without a fence have broken the chain: a new tenure begins another.
			require.NoError(t, s.Release(soon(t), o))
			o = claimAll(t, s, claimsOf(o.Group, "owner", []string{"0"}), nil)[0]
			sent.traffic()
		}
		for i := range writes {
			require.NoError(t, s.UpdateCheckpoint(soon(t), at(o, int64(i)), options))
		}
		requests, _, peak := sent.traffic()
		require.Equal(t, writes, requests)
		require.Equal(t, 1, peak)
		requireAtRest(t, s)
	}
}

// TestWaitingWritesAreFolded has many writes of one partition wait behind one that gets no answer.
func TestWaitingWritesAreFolded(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	o := claimAll(t, d.Store, claimsOf(d.group, "owner", []string{"0"}), nil)[0]
	key := d.keys.key(d.group, kindCheckpoint, "0")
	d.server.traffic()
	before := len(d.server.ids())
	d.road.cut()
	const writes = 60
	var returned sync.WaitGroup
	errs := make([]error, writes)
	for i := range writes {
		options := &UpdateOptions{Fence: &o}
		if i == 30 {
			options.Ops = []clientv3.Op{clientv3.OpPut("/op", "")}
		}
		returned.Go(func() { errs[i] = d.UpdateCheckpoint(soon(t), at(o, int64(i)), options) })
		awaitWriter(t, d.Store, func(w *writer) bool {
			return i == 0 && w.lanes[key] != nil && w.lanes[key].busy || i > 0 && len(w.lanes[key].queue) == i
		})
	}
	d.road.deliver()
	returned.Wait()
	require.NoError(t, errors.Join(errs...))
	_, puts, _ := d.server.traffic()
	require.Equal(t, 4, len(d.server.ids())-before, "the first, those before the operations, those with them, those after")
	require.Equal(t, 5, puts, "one each, and the operation")
	numbers, _ := sequences(t, d.direct, d.Store, d.group)
	require.Equal(t, map[string]int64{"0": writes - 1}, numbers)
	requireAtRest(t, d.Store)
}

// TestConcurrentWritersShareFewRequests counts what many callers send.
func TestConcurrentWritersShareFewRequests(t *testing.T) {
	t.Parallel()
	sent := newTally()
	client := etcdtest.Start(t).Client(t, sent.onClient)
	s := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
	won := claimAll(t, s, claimsOf(testGroup(t), "owner", partitions(200)), nil)
	sent.traffic()
	const rounds = 10
	var writing sync.WaitGroup
	for _, o := range won {
		writing.Go(func() {
			for i := range rounds {
				require.NoError(t, s.UpdateCheckpoint(soon(t), at(o, int64(i)), &UpdateOptions{Fence: &o}))
			}
		})
	}
	writing.Wait()
	requests, _, peak := sent.traffic()
	fmt.Printf("%s: %d writes in %d requests, %d at a time\n", t.Name(), rounds*len(won), requests, peak)
	require.LessOrEqual(t, peak, writesInFlight)
	require.Less(t, requests, rounds*len(won)/4)
	requireAtRest(t, s)
}

// TestWritesUnderFaults writes from many callers who give up at random, over a network that loses answers and
// connections at random, while partitions are renewed and read elsewhere.
func TestWritesUnderFaults(t *testing.T) { //nolint:gocognit // one story, told in order
	t.Parallel()
	const (
		owned  = 12 // partitions; every other one is written as the Event Hubs SDK does, which names no fence
		rounds = 25
		width  = 6 // callers of one partition at a time
	)
	random := newRand(t)
	cluster, group := etcdtest.Start(t), testGroup(t)
	direct := cluster.Client(t)
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	ordered := newOnePerKey()
	far := etcdtest.NewClient(t, []string{"http://" + proxy.Addr()}, ordered.watch, impatient)
	s := startStore(t, far, startKeeper(t, direct, 10*time.Second), nil)
	won := claimAll(t, s, claimsOf(group, "owner", partitions(owned)), nil)
	started, err := direct.Get(soon(t), "/now")
	require.NoError(t, err)

	stop := make(chan struct{})
	var faults sync.WaitGroup
	seed := random.Uint64()
	faults.Go(func() { breakNetwork(proxy, rand.New(rand.NewPCG(seed, 1)), stop) })

	// A write's sequence number is its round and its caller: rounds are in order, the callers of one are not.
	acknowledged := make([]int64, owned)
	var unknown, given, folded int
	var counts sync.Mutex
	var writing sync.WaitGroup
	for i, o := range won {
		seed := random.Uint64()
		writing.Go(func() {
			random := rand.New(rand.NewPCG(seed, 2))
			for round := range int64(rounds) {
				var callers sync.WaitGroup
				for caller := range int64(width) {
					limit := patience
					if random.IntN(4) == 0 {
						limit = time.Duration(random.IntN(30)) * time.Millisecond
					}
					options := &UpdateOptions{Fence: &o}
					sequence := round*width + caller
					if random.IntN(6) == 0 {
						options.Ops = []clientv3.Op{clientv3.OpPut("/ops/"+o.PartitionID, strconv.FormatInt(sequence, 10))}
					}
					callers.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), limit)
						defer cancel()
						write := s.UpdateCheckpoint
						if i%2 == 1 {
							options.Fence = nil
							write = s.Holder().UpdateCheckpoint
						}
						err := write(ctx, at(o, sequence), options)
						counts.Lock()
						defer counts.Unlock()
						switch {
						case err == nil:
							acknowledged[i] = max(acknowledged[i], round)
							folded++
						case errors.Is(err, ErrOutcomeUnknown):
							unknown++
							require.ErrorIs(t, err, context.DeadlineExceeded)
						default:
							given++
							require.ErrorIs(t, err, context.DeadlineExceeded)
						}
					})
				}
				callers.Wait()
				if i%2 == 1 && random.IntN(3) == 0 {
					renewed, err := s.ClaimOwnership(soon(t), []Ownership{o}, &ClaimOptions{GrantIfGone: true})
					require.NoError(t, err)
					require.Len(t, renewed, 1)
					o = renewed[0]
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	faults.Wait()
	proxy.Heal(faultproxy.DropHeld)
	require.NoError(t, s.Close(soon(t)), "what was given up is settled, too")
	fmt.Printf("%s: %d writes acknowledged, %d unknown, %d taken back, %d attempts\n",
		t.Name(), folded, unknown, given, ordered.attempts)
	require.Positive(t, unknown)
	require.Empty(t, ordered.violations, "a partition has one unresolved write at most")

	numbers, revisions := sequences(t, direct, s, group)
	last := map[string]int64{}
	for i, o := range won {
		require.GreaterOrEqual(t, numbers[o.PartitionID]/width, acknowledged[i], "partition %s", o.PartitionID)
		last[o.PartitionID] = -1
	}
	// And at no revision did a checkpoint go back behind its round, nor did operations go without their checkpoint.
	final := int64(0)
	for _, revision := range revisions {
		final = max(final, revision)
	}
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	for resp := range direct.Watch(ctx, "/", clientv3.WithRange("0"), clientv3.WithRev(started.Header.Revision+1)) {
		require.NoError(t, resp.Err())
		written, operated := map[int64]map[string]int64{}, map[int64]map[string]int64{}
		for _, e := range resp.Events {
			require.Equal(t, mvccpb.PUT, e.Type)
			if id, ok := strings.CutPrefix(string(e.Kv.Key), "/ops/"); ok {
				n, err := strconv.ParseInt(string(e.Kv.Value), 10, 64)
				require.NoError(t, err)
				note(operated, e.Kv.ModRevision, id, n)
			} else if _, kd, id, err := s.keys.parse(string(e.Kv.Key)); err == nil && kd == kindCheckpoint {
				c, bad := s.checkpointOf(e.Kv)
				require.Nil(t, bad)
				require.GreaterOrEqual(t, *c.SequenceNumber/width, last[id]/width, "partition %s", id)
				last[id] = *c.SequenceNumber
				note(written, e.Kv.ModRevision, id, *c.SequenceNumber)
			}
		}
		for revision, operations := range operated {
			require.Equal(t, operations, written[revision], "operations and their checkpoint")
		}
		if resp.Header.Revision >= final {
			cancel()
		}
	}
	require.Equal(t, numbers, last)
}

// impatient has a client connect again soon, however often that has failed.
func impatient(cfg *clientv3.Config) {
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond},
		MinConnectTimeout: time.Second,
	}))
}

func note(m map[int64]map[string]int64, revision int64, id string, n int64) {
	if m[revision] == nil {
		m[revision] = map[string]int64{}
	}
	m[revision][id] = n
}

// breakNetwork loses answers and connections until stop is closed.
func breakNetwork(proxy *faultproxy.Proxy, random *rand.Rand, stop <-chan struct{}) {
	for {
		for _, fault := range []func(){
			proxy.CutToClient,
			proxy.Reset,
			func() { proxy.Heal(faultproxy.DropHeld) },
			proxy.CutToServer,
			func() { proxy.Heal(faultproxy.Held(random.IntN(2))) },
			func() { proxy.Delay(time.Duration(random.IntN(10)) * time.Millisecond) },
			func() { proxy.Heal(faultproxy.DeliverHeld) },
		} {
			timer := time.NewTimer(time.Duration(random.IntN(15)) * time.Millisecond)
			select {
			case <-stop:
				timer.Stop()
				return
			case <-timer.C:
				fault()
			}
		}
	}
}

// onePerKey watches that no two writes of one checkpoint are under way at a time.
type onePerKey struct {
	mu         sync.Mutex
	underWay   map[string]map[string]int // by key: write_ids and how many copies of each
	violations []string
	attempts   int
}

func newOnePerKey() *onePerKey { return &onePerKey{underWay: map[string]map[string]int{}} }

func (k *onePerKey) watch(cfg *clientv3.Config) {
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		if txn, ok := req.(*pb.TxnRequest); ok {
			writes := map[string]string{}
			checkpointsIn(txn, writes)
			k.count(writes, 1)
			defer k.count(writes, -1)
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}))
}

func (k *onePerKey) count(writes map[string]string, by int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, id := range writes {
		if k.underWay[key] == nil {
			k.underWay[key] = map[string]int{}
		}
		if by > 0 {
			k.attempts++
		}
		if k.underWay[key][id] += by; k.underWay[key][id] == 0 {
			delete(k.underWay[key], id)
		}
		if len(k.underWay[key]) > 1 {
			k.violations = append(k.violations, fmt.Sprint(key, k.underWay[key]))
		}
	}
}

// checkpointsIn finds the checkpoints that a transaction may put: write_ids by key.
func checkpointsIn(req *pb.TxnRequest, writes map[string]string) {
	for _, branch := range [][]*pb.RequestOp{req.GetSuccess(), req.GetFailure()} {
		for _, op := range branch {
			if put := op.GetRequestPut(); put != nil {
				if r, err := decodeCheckpoint(put.GetValue()); err == nil {
					writes[string(put.GetKey())] = r.WriteID
				}
			}
			if inner := op.GetRequestTxn(); inner != nil {
				checkpointsIn(inner, writes)
			}
		}
	}
}
