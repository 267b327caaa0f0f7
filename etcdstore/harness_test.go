package etcdstore

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
	"github.com/tenure-go/tenure/lease"
)

// patience bounds what a test waits for. It is no measure of how long that takes.
const patience = 60 * time.Second

var seedFlag = flag.Uint64("tenure.seed", 0, "seed of the randomised tests; TENURE_SEED is the same; 0 for a new one")

// newRand returns a source of randomness whose seed is printed and can be given again.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if text := os.Getenv("TENURE_SEED"); text != "" && seed == 0 {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "TENURE_SEED")
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	fmt.Printf("%s: seed %d\n", t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testGroup returns a group that no other test uses.
func testGroup(t *testing.T) Group {
	t.Helper()
	return Group{FullyQualifiedNamespace: "ns", EventHubName: t.Name(), ConsumerGroup: "group"}
}

func partitions(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}

func claimsOf(group Group, owner string, ids []string) []Ownership {
	claims := make([]Ownership, len(ids))
	for i, id := range ids {
		claims[i] = Ownership{Group: group, PartitionID: id, OwnerID: owner}
	}
	return claims
}

func at(o Ownership, sequence int64) Checkpoint {
	return Checkpoint{Group: o.Group, PartitionID: o.PartitionID, SequenceNumber: &sequence}
}

// startKeeper starts a keeper that ends with the test.
func startKeeper(t *testing.T, client *clientv3.Client, ttl time.Duration) *lease.Keeper {
	t.Helper()
	keeper, err := lease.NewKeeper(soon(t), client, &lease.Options{TTL: ttl})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, keeper.Close(ctx))
	})
	return keeper
}

// startStore starts a store whose requests travel by client. Its lease is renewed by the keeper's client, which is
// another where the store's is to fail.
func startStore(t *testing.T, client *clientv3.Client, keeper *lease.Keeper, options *Options) *Store {
	t.Helper()
	s, err := New(client, keeper, options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, s.Close(ctx))
	})
	return s
}

// claimAll claims and demands that every claim is won.
func claimAll(t *testing.T, s *Store, claims []Ownership, options *ClaimOptions) []Ownership {
	t.Helper()
	won, err := s.ClaimOwnership(soon(t), claims, options)
	require.NoError(t, err)
	require.Len(t, won, len(claims))
	return won
}

// requireNobodyIdle demands that every ownership in etcd under a lease of the store is one that the store holds,
// and the other way round.
func requireNobodyIdle(t *testing.T, s *Store, group Group) {
	t.Helper()
	listed, err := s.ListOwnership(soon(t), group)
	require.NoError(t, err)
	stored, held := map[string]string{}, map[string]string{}
	for _, o := range listed {
		stored[o.PartitionID] = o.ETag
	}
	for _, o := range s.held() {
		if o.Group == group {
			held[o.PartitionID] = o.ETag
		}
	}
	require.Equal(t, held, stored, "what the store holds and what stands in etcd")
}

// sequences returns the sequence numbers of a group's checkpoints by partition, and the ModRevision of each.
func sequences(t *testing.T, client *clientv3.Client, s *Store, group Group) (numbers, revisions map[string]int64) {
	t.Helper()
	resp, err := client.Get(soon(t), s.keys.key(group, kindCheckpoint, ""), clientv3.WithPrefix())
	require.NoError(t, err)
	numbers, revisions = map[string]int64{}, map[string]int64{}
	for _, kv := range resp.Kvs {
		c, bad := s.checkpointOf(kv)
		require.Nil(t, bad)
		numbers[c.PartitionID], revisions[c.PartitionID] = *c.SequenceNumber, kv.ModRevision
	}
	return numbers, revisions
}

// awaitWriter waits until done says so of the store's writer, which tells nobody how many writes wait.
func awaitWriter(t *testing.T, s *Store, done func(*writer) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.writer.mu.Lock()
		defer s.writer.mu.Unlock()
		return done(s.writer)
	}, patience, time.Millisecond)
}

// tally counts transactions by the identifiers of the claims and checkpoints in them.
type tally struct {
	mu      sync.Mutex
	counts  map[string]tallied
	changed chan struct{}

	// before and after are called by the client's side around each transaction, if they are set.
	before, after func(*pb.TxnRequest)

	requests, puts int // transactions, and puts on their taken paths
	flying, peak   int
}

type tallied struct {
	copies, applied int
	texts           int // how often the identifier stands in copies that were sent
}

func newTally() *tally {
	return &tally{counts: map[string]tallied{}, changed: make(chan struct{})}
}

// onServer counts what reaches an etcd and what becomes of it.
func (c *tally) onServer(cfg *embed.Config) {
	cfg.GRPCAdditionalServerOptions = append(cfg.GRPCAdditionalServerOptions, grpc.ChainUnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			txn, ok := req.(*pb.TxnRequest)
			if !ok {
				return handler(ctx, req)
			}
			done := c.begin()
			// To the end, although a client on a busy machine may have given this copy up: it is applied all the same, and
			// would not be counted.
			resp, err := handler(context.WithoutCancel(ctx), req)
			answer, _ := resp.(*pb.TxnResponse)
			done(txn, answer, err)
			return resp, err
		}))
}

// onClient counts what a client sends, each copy by itself.
func (c *tally) onClient(cfg *clientv3.Config) {
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		txn, ok := req.(*pb.TxnRequest)
		if !ok {
			return invoke(ctx, method, req, reply, conn, opts...)
		}
		done := c.begin()
		c.sent(txn)
		before, after := c.hooks()
		before(txn)
		err := invoke(ctx, method, req, reply, conn, opts...)
		after(txn)
		answer, _ := reply.(*pb.TxnResponse)
		done(nil, answer, err)
		return err
	}))
}

func (c *tally) begin() func(*pb.TxnRequest, *pb.TxnResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.flying++
	c.peak = max(c.peak, c.flying)
	return func(req *pb.TxnRequest, resp *pb.TxnResponse, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flying--
		if err == nil {
			c.count(req, resp)
		}
		c.announce()
	}
}

// hook sets what is called around each transaction.
func (c *tally) hook(before, after func(*pb.TxnRequest)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before, c.after = before, after
}

func (c *tally) hooks() (before, after func(*pb.TxnRequest)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, after = c.before, c.after
	if before == nil {
		before = func(*pb.TxnRequest) {}
	}
	if after == nil {
		after = func(*pb.TxnRequest) {}
	}
	return before, after
}

func (c *tally) sent(req *pb.TxnRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	encoded, _ := proto.Marshal(req) // It has come from a client, which encodes it too.
	for id := range idsIn(req) {
		counted := c.counts[id]
		counted.copies++
		counted.texts += bytes.Count(encoded, quoted(id))
		c.counts[id] = counted
	}
	c.announce()
}

// count counts a transaction that was answered.
func (c *tally) count(req *pb.TxnRequest, resp *pb.TxnResponse) {
	if req == nil {
		return
	}
	applied := map[string]bool{}
	c.puts += taken(req, resp, applied)
	for id := range idsIn(req) {
		counted := c.counts[id]
		counted.copies++
		if applied[id] {
			counted.applied++
		}
		c.counts[id] = counted
	}
}

func (c *tally) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// wait waits until done says so of the counts.
func (c *tally) wait(t *testing.T, what string, done func(map[string]tallied) bool) {
	t.Helper()
	ctx := soon(t)
	for {
		c.mu.Lock()
		ready, changed := done(c.counts), c.changed
		c.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waiting for %s", what)
		}
	}
}

// awaitCopies waits until every copy that was sent of those identifiers, and that the road has carried, has been
// counted. A client that is slow may just have begun to send a second copy on a connection when that is lost: it never
// arrives anywhere.
func (c *tally) awaitCopies(t *testing.T, sent *tally, r *road, ids []string) {
	t.Helper()
	var missing string
	defer func() {
		if t.Failed() {
			t.Log(missing)
		}
	}()
	c.wait(t, "late copies", func(map[string]tallied) bool {
		for _, id := range ids {
			of := sent.of([]string{id})
			lost := max(0, of.texts-r.texts(id)) / max(1, of.texts/max(1, of.copies))
			if c.counts[id].copies < of.copies-lost {
				missing = fmt.Sprintf("%s: %+v were sent, it was carried %d times, %d are lost, and %+v have arrived",
					id, of, r.texts(id), lost, c.counts[id])
				return false
			}
		}
		return true
	})
}

// ids returns the identifiers that were counted.
func (c *tally) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for id := range c.counts {
		ids = append(ids, id)
	}
	return ids
}

// of sums the counts of some identifiers.
func (c *tally) of(ids []string) (sum tallied) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		sum.copies += c.counts[id].copies
		sum.applied += c.counts[id].applied
		sum.texts += c.counts[id].texts
	}
	return sum
}

// traffic returns how many transactions and puts were counted and how many transactions were under way at most,
// and counts from zero again.
func (c *tally) traffic() (requests, puts, peak int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests, puts, peak = c.requests, c.puts, c.peak
	c.requests, c.puts, c.peak = 0, 0, c.flying
	return requests, puts, peak
}

func idIn(put *pb.PutRequest) (string, bool) {
	if r, err := decodeOwnership(put.GetValue()); err == nil && r.ClaimID != "" {
		return r.ClaimID, true
	}
	if r, err := decodeCheckpoint(put.GetValue()); err == nil && r.WriteID != "" {
		return r.WriteID, true
	}
	return "", false
}

// idsIn returns the identifiers of the records that a transaction may put.
func idsIn(req *pb.TxnRequest) map[string]bool {
	ids := map[string]bool{}
	for _, branch := range [][]*pb.RequestOp{req.GetSuccess(), req.GetFailure()} {
		for _, op := range branch {
			if put := op.GetRequestPut(); put != nil {
				if id, ok := idIn(put); ok {
					ids[id] = true
				}
			}
			if inner := op.GetRequestTxn(); inner != nil {
				for id := range idsIn(inner) {
					ids[id] = true
				}
			}
		}
	}
	return ids
}

// taken returns how many puts a transaction applied, and notes the identifiers in them.
func taken(req *pb.TxnRequest, resp *pb.TxnResponse, applied map[string]bool) (puts int) {
	branch := req.GetFailure()
	if resp.GetSucceeded() {
		branch = req.GetSuccess()
	}
	for i, op := range branch {
		if put := op.GetRequestPut(); put != nil {
			puts++
			if id, ok := idIn(put); ok {
				applied[id] = true
			}
		}
		if inner := op.GetRequestTxn(); inner != nil {
			puts += taken(inner, resp.GetResponses()[i].GetResponseTxn(), applied)
		}
	}
	return puts
}

// road leads a client to etcd: first through a proxy, and once that connection is lost, past it. What the network
// holds by then is still on its way and is delivered when the proxy heals, without anything after it that would
// call it back.
type road struct {
	proxy  *faultproxy.Proxy
	client *clientv3.Client
	direct string

	mu      sync.Mutex
	first   *roadConn
	arrived chan struct{} // closed and replaced when the first connection has carried more
	carried []byte        // what it carried since the proxy was cut
	past    []byte        // what others have carried
}

// roadConn is a connection that can be lost to the client without its other end being told.
type roadConn struct {
	net.Conn

	road *road

	mu   sync.Mutex
	mute bool // what the client sends is lost
	lost bool
}

func newRoad(t *testing.T, cluster *etcdtest.Cluster, changes ...func(*clientv3.Config)) *road {
	t.Helper()
	r := &road{
		proxy:   faultproxy.New(t, cluster.Member(0).Address()),
		direct:  cluster.Member(0).Address(),
		arrived: make(chan struct{}),
	}
	t.Cleanup(func() {
		if r.first != nil {
			_ = r.first.Conn.Close() // a lost one is closed by nobody else
		}
	})
	changes = append(changes, func(cfg *clientv3.Config) {
		cfg.DialOptions = append(cfg.DialOptions, grpc.WithContextDialer(r.dial))
	})
	r.client = cluster.Client(t, changes...)
	_, err := r.client.Get(soon(t), "/warm")
	require.NoError(t, err)
	require.NotNil(t, r.first)
	return r
}

func (r *road) dial(ctx context.Context, _ string) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var dialer net.Dialer
	if r.first != nil {
		conn, err := dialer.DialContext(ctx, "tcp", r.direct)
		if err != nil {
			return nil, err
		}
		return &directConn{conn, r}, nil
	}
	conn, err := dialer.DialContext(ctx, "tcp", r.proxy.Addr())
	if err != nil {
		return nil, err
	}
	r.first = &roadConn{Conn: conn, road: r}
	return r.first, nil
}

// cut stops the proxy: what is sent from now on is held by it. The stores that are given have patience with what they
// send: one that gave a copy up on this connection would call it back.
func (r *road) cut(stores ...*Store) {
	for _, s := range stores {
		s.latestAnswer.Store(int64(longestAttempt))
	}
	r.mu.Lock()
	r.carried = nil
	r.mu.Unlock()
	r.proxy.CutToServer()
}

// await waits until the requests with those identifiers are on their way as a whole.
func (r *road) await(t *testing.T, ids []string) {
	t.Helper()
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(quoted(id))
	}
	r.awaitText(t, texts)
	// A frame is written whole before the next: once this one is there, so are those before it.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	marker := "/marker/" + crand.Text()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _, _ = r.client.Get(ctx, marker) })
	r.awaitText(t, []string{marker})
}

func (r *road) awaitText(t *testing.T, texts []string) {
	t.Helper()
	ctx := soon(t)
	for {
		r.mu.Lock()
		missing := ""
		for _, text := range texts {
			if !bytes.Contains(r.carried, []byte(text)) {
				missing = text
				break
			}
		}
		arrived := r.arrived
		r.mu.Unlock()
		if missing == "" {
			return
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			t.Fatalf("%s was not sent", missing)
		}
	}
}

// mute loses what the client still sends on its first connection, so that nothing calls back what it has sent.
func (r *road) mute() {
	r.first.mu.Lock()
	defer r.first.mu.Unlock()
	r.first.mute = true
}

// lose loses the first connection, for the client only.
func (r *road) lose() {
	r.first.mu.Lock()
	r.first.mute, r.first.lost = true, true
	r.first.mu.Unlock()
	_ = r.first.SetReadDeadline(time.Unix(0, 0))
}

// deliver lets the proxy deliver what it has held.
func (r *road) deliver() { r.proxy.Heal(faultproxy.DeliverHeld) }

var errConnLost = errors.New("the connection was lost")

func (c *roadConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return 0, errConnLost
	}
	return n, err
}

func (c *roadConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.lost:
		return 0, errConnLost
	case c.mute:
		return len(b), nil
	}
	n, err := c.Conn.Write(b)
	c.road.mu.Lock()
	defer c.road.mu.Unlock()
	c.road.carried = append(c.road.carried, b[:n]...)
	close(c.road.arrived)
	c.road.arrived = make(chan struct{})
	return n, err
}

// texts returns how often an identifier was carried since the cut.
func (r *road) texts(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Count(r.carried, quoted(id)) + bytes.Count(r.past, quoted(id))
}

// quoted is an identifier as it stands in a record: others begin like it.
func quoted(id string) []byte { return []byte(`"` + id + `"`) }

// directConn is a connection that is made after the first.
type directConn struct {
	net.Conn

	road *road
}

func (c *directConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.road.mu.Lock()
	defer c.road.mu.Unlock()
	c.road.past = append(c.road.past, b[:n]...)
	return n, err
}

// Close closes the connection for the client. Once lost, its other end must not notice.
func (c *roadConn) Close() error {
	c.mu.Lock()
	lost := c.lost
	c.mu.Unlock()
	if lost {
		return nil
	}
	return c.Conn.Close()
}
