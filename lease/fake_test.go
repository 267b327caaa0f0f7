package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/etcderr"
)

// fakeEtcd grants and expires leases as etcd does, in the time of a synctest bubble, behind a network that tests break.
type fakeEtcd struct {
	mu       sync.Mutex
	leases   map[clientv3.LeaseID]time.Time // when each expires
	ttl      time.Duration                  // granted, if not as asked
	lastID   clientv3.LeaseID
	header   pb.ResponseHeader
	delay    func() time.Duration // each way
	silent   bool                 // requests get no answer and do nothing
	hang     string               // the same for requests of this name
	answer   func(request string, header *pb.ResponseHeader) error
	requests map[string]int
	busy     int // renewals under way
	mostBusy int
	revoked  []clientv3.LeaseID
}

func newFakeEtcd() *fakeEtcd {
	return &fakeEtcd{
		leases:   map[clientv3.LeaseID]time.Time{},
		header:   pb.ResponseHeader{ClusterId: 1, Revision: 10, RaftTerm: 5},
		delay:    func() time.Duration { return 0 },
		requests: map[string]int{},
	}
}

// travel waits for one way through the network. Requests that set off while it is silent never arrive.
func (f *fakeEtcd) travel(ctx context.Context, name string) error {
	f.mu.Lock()
	silent, delay := f.silent || f.hang == name, f.delay()
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return etcderr.Classify(ctx.Err())
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return etcderr.Classify(ctx.Err())
	}
}

// request travels to the server, has serve run there, and travels back.
func (f *fakeEtcd) request(ctx context.Context, name string, serve func() error) (*pb.ResponseHeader, error) {
	f.mu.Lock()
	f.requests[name]++
	f.mu.Unlock()
	if err := f.travel(ctx, name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	header := &pb.ResponseHeader{
		ClusterId: f.header.GetClusterId(), Revision: f.header.GetRevision(), RaftTerm: f.header.GetRaftTerm(),
	}
	var err error
	if f.answer != nil {
		err = f.answer(name, header)
	}
	if err == nil {
		err = serve()
	}
	f.mu.Unlock()
	if lost := f.travel(ctx, name); lost != nil {
		return nil, lost
	}
	return header, etcderr.Classify(err)
}

func (f *fakeEtcd) grant(ctx context.Context, ttl time.Duration) (*pb.LeaseGrantResponse, error) {
	granted := &pb.LeaseGrantResponse{}
	header, err := f.request(ctx, "grant", func() error {
		if f.ttl > 0 {
			ttl = f.ttl
		}
		f.lastID++
		f.leases[f.lastID] = time.Now().Add(ttl)
		granted.ID, granted.TTL = int64(f.lastID), int64(ttl/time.Second)
		return nil
	})
	granted.Header = header
	return granted, err
}

func (f *fakeEtcd) keepAlive(ctx context.Context, id clientv3.LeaseID) (*pb.LeaseKeepAliveResponse, error) {
	f.mu.Lock()
	f.busy++
	f.mostBusy = max(f.mostBusy, f.busy)
	ttl := 10 * time.Second
	if f.ttl > 0 {
		ttl = f.ttl
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.busy--
	}()
	header, err := f.request(ctx, "keepAlive", func() error {
		if !time.Now().Before(f.leases[id]) {
			ttl = 0
			return nil
		}
		f.leases[id] = time.Now().Add(ttl)
		return nil
	})
	return &pb.LeaseKeepAliveResponse{Header: header, ID: int64(id), TTL: int64(ttl / time.Second)}, err
}

func (f *fakeEtcd) read(ctx context.Context, key string) (*pb.ResponseHeader, error) {
	return f.request(ctx, "read", func() error {
		f.requests["read "+key]++
		return nil
	})
}

func (f *fakeEtcd) revoke(ctx context.Context, id clientv3.LeaseID) error {
	_, err := f.request(ctx, "revoke", func() error {
		if !time.Now().Before(f.leases[id]) {
			return rpctypes.ErrLeaseNotFound
		}
		delete(f.leases, id)
		f.revoked = append(f.revoked, id)
		return nil
	})
	return err
}

func (f *fakeEtcd) close() {}

// set changes the fake while a keeper uses it.
func (f *fakeEtcd) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeEtcd) alive(id clientv3.LeaseID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.leases[id])
}

func (f *fakeEtcd) count(request string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[request]
}

// overlap returns the most renewals that were under way at once.
func (f *fakeEtcd) overlap() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mostBusy
}

// bubbleClock is the clock of a synctest bubble, and how much longer the machine was suspended than its timers know.
type bubbleClock struct {
	suspended atomic.Int64
}

func (c *bubbleClock) now() time.Duration {
	return time.Duration(time.Now().UnixNano() + c.suspended.Load())
}

// fakeKeeper returns a keeper on the fake, closed when the test ends.
func fakeKeeper(t *testing.T, f *fakeEtcd, now func() time.Duration) *Keeper {
	t.Helper()
	ttl := 10 * time.Second
	if f.ttl > 0 {
		ttl = f.ttl
	}
	k, err := newKeeper(t.Context(), f, Options{TTL: ttl, Logger: zap.NewNop()}, now)
	require.NoError(t, err)
	t.Cleanup(func() {
		f.set(func() {
			f.silent, f.hang, f.answer = false, "", nil
			f.delay = func() time.Duration { return 0 }
		})
		require.NoError(t, k.Close(context.Background()))
	})
	return k
}

// fakeHolder is a holder whose calls run functions.
type fakeHolder struct {
	takeOver func(ctx context.Context, term *Term, cause error) error
	close    func(ctx context.Context) error
}

func (h *fakeHolder) ReadKey() string { return "/holder/" }

func (h *fakeHolder) TakeOver(ctx context.Context, term *Term, cause error) error {
	if h.takeOver == nil {
		return nil
	}
	return h.takeOver(ctx, term, cause)
}

func (h *fakeHolder) Close(ctx context.Context) error {
	if h.close == nil {
		return nil
	}
	return h.close(ctx)
}

var errBoo = errors.New("boo")
