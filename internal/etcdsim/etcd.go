package etcdsim

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

// Etcd is a simulated etcd.
type Etcd struct {
	tb      testing.TB
	seed    uint64
	backend backend.Backend
	lessor  lease.Lessor
	kv      mvcc.WatchableKV
	server  *grpc.Server
	accepts chan *serverConn
	stopped chan struct{}
	running sync.WaitGroup
	links   []*Link

	mu        sync.Mutex
	term      uint64
	electing  chan struct{} // closed when there is a leader again; nil while there is one
	staleTerm uint64        // that of the former leader
	staleTill time.Time
	noSpace   bool
	leases    int64 // granted
}

// election is how long there is no leader when one has gone, and by how much more than their time leases live then.
const election = time.Second

// New returns an etcd that ends with the test. It must be called in a bubble.
func New(tb testing.TB, seed uint64) *Etcd {
	tb.Helper()
	e := &Etcd{
		tb: tb, seed: seed, term: 2, accepts: make(chan *serverConn, 64), stopped: make(chan struct{}),
	}
	log := zap.NewNop()
	config := backend.DefaultBackendConfig(log)
	config.Path = filepath.Join(tb.TempDir(), "db")
	config.UnsafeNoFsync, config.MmapSize = true, 1<<20
	config.BatchInterval = time.Hour // nothing is kept
	e.backend = backend.New(config)
	tx := e.backend.BatchTx()
	tx.Lock()
	schema.UnsafeCreateMetaBucket(tx)
	schema.UnsafeCreateLeaseBucket(tx)
	tx.Unlock()
	e.lessor = lease.NewLessor(log, e.backend, version{}, lease.LessorConfig{MinLeaseTTL: 1})
	e.kv = mvcc.New(log, e.backend, e.lessor, mvcc.StoreConfig{})
	e.lessor.SetRangeDeleter(func() lease.TxnDelete { return e.kv.Write(traceutil.TODO()) })
	e.lessor.Promote(0)
	e.server = grpc.NewServer(grpc.Creds(linkCreds{}), grpc.KeepaliveEnforcementPolicy(
		keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	pb.RegisterKVServer(e.server, &keys{etcd: e})
	pb.RegisterLeaseServer(e.server, &leases{etcd: e})
	pb.RegisterWatchServer(e.server, &watches{etcd: e})
	pb.RegisterMaintenanceServer(e.server, &maintenance{etcd: e})
	e.running.Go(func() { _ = e.server.Serve(listener{e}) })
	e.running.Go(e.expire)
	tb.Cleanup(e.close)
	return e
}

func (e *Etcd) close() {
	close(e.stopped)
	for _, l := range e.links {
		l.Refuse()
	}
	e.server.Stop()
	e.running.Wait()
	e.lessor.Stop()
	_ = e.kv.Close()
	_ = e.backend.Close()
}

type version struct{}

func (version) Version() *semver.Version { return semver.New("3.7.0") }

// chance returns a number that depends on the seed and on what is said.
func (e *Etcd) chance(about ...uint64) uint64 {
	n := e.seed
	for _, x := range about {
		n = (n ^ x) * 0x9e3779b97f4a7c15
		n ^= n >> 29
		n *= 0xbf58476d1ce4e5b9
		n ^= n >> 32
	}
	return n
}

// Client returns a client with a network of its own, closed when the test ends.
func (e *Etcd) Client() (*clientv3.Client, *Link) {
	e.tb.Helper()
	l := &Link{etcd: e, number: uint64(len(e.links)), healed: make(chan struct{})}
	e.links = append(e.links, l)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"http://sim:1"}, Logger: zap.NewNop(),
		BackoffJitterFraction: 1e-9, // chance comes from the seed
		DialKeepAliveTime:     2 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(l.dial),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second},
				MinConnectTimeout: 2 * time.Second,
			}),
		},
	})
	if err != nil {
		e.tb.Fatalf("etcdsim: new client: %v", err)
	}
	e.tb.Cleanup(func() { _ = client.Close() })
	return client, l
}

// MoveLeader has another member lead after a while in which nothing is answered. For that long after that, the former
// leader does not know, and goes on answering renewals of leases that come over the links given.
func (e *Etcd) MoveLeader(paused time.Duration, deceived ...*Link) {
	e.mu.Lock()
	if e.electing != nil {
		e.mu.Unlock()
		return
	}
	e.electing = make(chan struct{})
	e.staleTerm = e.term
	e.lessor.Demote()
	e.mu.Unlock()
	for _, l := range deceived {
		l.change(func() { l.stale = func() bool { return e.deceives() } })
	}
	e.running.Go(func() {
		select {
		case <-time.After(election/2 + time.Duration(e.chance(e.term)%uint64(election/2))):
		case <-e.stopped:
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.term++
		e.staleTill = time.Now().Add(paused)
		e.lessor.Promote(election)
		close(e.electing)
		e.electing = nil
	})
}

// EndDeception has the former leader know.
func (e *Etcd) EndDeception() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.staleTill = time.Now()
}

func (e *Etcd) deceives() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.electing != nil || time.Now().Before(e.staleTill)
}

// SetNoSpace says whether etcd is out of space.
func (e *Etcd) SetNoSpace(out bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.noSpace = out
}

// Compact compacts up to the current revision.
func (e *Etcd) Compact() {
	_, _ = e.kv.Compact(traceutil.TODO(), e.kv.Rev()) // fails only if it was done
}

// LeaseOf returns the lease that a key is on, 0 if there is none.
func (e *Etcd) LeaseOf(key string) int64 {
	return int64(e.lessor.GetLease(lease.LeaseItem{Key: key}))
}

// Revoke revokes a lease.
func (e *Etcd) Revoke(id int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.lessor.Revoke(lease.LeaseID(id)) // fails only if it has gone
}

// expire revokes leases when their time has come.
func (e *Etcd) expire() {
	for {
		select {
		case expired := <-e.lessor.ExpiredLeasesC():
			for _, l := range expired {
				e.Revoke(int64(l.ID))
			}
		case <-e.stopped:
			return
		}
	}
}

// serve waits until a request is due, while there is no leader if need be, and has it done with nothing beside it.
// Requests that come at the same moment are served in an order that depends on what they are about.
func (e *Etcd) serve(about uint64, do func(*pb.ResponseHeader) error) (*pb.ResponseHeader, error) {
	<-time.After(time.Duration(e.chance(about) % 100_000))
	for {
		e.mu.Lock()
		electing := e.electing
		if electing == nil {
			break
		}
		e.mu.Unlock()
		select {
		case <-electing:
		case <-e.stopped:
			return nil, rpctypes.ErrGRPCStopped
		}
	}
	defer e.mu.Unlock()
	header := &pb.ResponseHeader{ClusterId: 1, MemberId: 1, RaftTerm: e.term}
	err := do(header)
	if header.Revision == 0 {
		header.Revision = e.kv.Rev()
	}
	return header, failure(err)
}
