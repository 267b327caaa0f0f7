package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/tenure-go/tenure/internal/etcderr"
)

// etcd is the four requests that a keeper sends. Their errors are classified. Tests of the time logic fake it.
type etcd interface {
	grant(ctx context.Context, ttl time.Duration) (*pb.LeaseGrantResponse, error)

	// keepAlive sends one renewal and waits for its answer. A TTL of zero says that there is no such lease.
	keepAlive(ctx context.Context, id clientv3.LeaseID) (*pb.LeaseKeepAliveResponse, error)

	// read is a linearizable read of a key that need not exist. Only the header counts.
	read(ctx context.Context, key string) (*pb.ResponseHeader, error)

	revoke(ctx context.Context, id clientv3.LeaseID) error

	// close frees what the requests left open.
	close()
}

// requests is etcd through a client. It uses the client's connection directly: the client's own methods send again by
// themselves while etcd is unavailable, KeepAliveOnce without pause, and then return the caller's deadline in place
// of the reason.
type requests struct {
	conn   *grpc.ClientConn
	leases pb.LeaseClient
	keys   pb.KVClient

	mu   sync.Mutex
	idle []*stream
}

// stream is a keepalive stream. It carries one renewal at a time, so that a slow one holds up no other, and is kept
// for the next: with authentication enabled, the client logs in anew for every stream that it opens, which costs etcd
// a password hash and a log entry.
type stream struct {
	pb.Lease_LeaseKeepAliveClient

	cancel context.CancelFunc
}

func newRequests(client *clientv3.Client) *requests {
	conn := client.ActiveConnection()
	return &requests{conn: conn, leases: pb.NewLeaseClient(conn), keys: pb.NewKVClient(conn)}
}

func (r *requests) grant(ctx context.Context, ttl time.Duration) (*pb.LeaseGrantResponse, error) {
	granted, err := r.leases.LeaseGrant(
		clientv3.WithRequireLeader(ctx), &pb.LeaseGrantRequest{TTL: int64(ttl / time.Second)})
	if err != nil {
		return nil, r.failure(ctx, err)
	}
	return granted, nil
}

func (r *requests) read(ctx context.Context, key string) (*pb.ResponseHeader, error) {
	got, err := r.keys.Range(
		clientv3.WithRequireLeader(ctx), &pb.RangeRequest{Key: []byte(key), KeysOnly: true})
	if err != nil {
		return nil, r.failure(ctx, err)
	}
	return got.GetHeader(), nil
}

func (r *requests) revoke(ctx context.Context, id clientv3.LeaseID) error {
	_, err := r.leases.LeaseRevoke(clientv3.WithRequireLeader(ctx), &pb.LeaseRevokeRequest{ID: int64(id)})
	return r.failure(ctx, err)
}

// failure classifies err. It also makes the connection try again without the back-off of gRPC, which grows to two
// minutes and knows nothing of a lease's time. The keeper has a back-off of its own.
func (r *requests) failure(ctx context.Context, err error) error {
	err = etcderr.Classify(clientv3.ContextError(ctx, err))
	if errors.Is(err, ErrUnreachable) && ctx.Err() == nil {
		r.conn.ResetConnectBackoff()
	}
	return err
}

func (r *requests) keepAlive(ctx context.Context, id clientv3.LeaseID) (*pb.LeaseKeepAliveResponse, error) {
	for {
		s := r.take()
		used := s != nil
		var opening context.Context
		if !used {
			s = &stream{}
			// A stream outlives the attempt that opens it.
			opening, s.cancel = context.WithCancel(clientv3.WithRequireLeader(context.WithoutCancel(ctx)))
		}
		stop := context.AfterFunc(ctx, s.cancel)
		answer, err := r.send(opening, s, id)
		if kept := stop(); err == nil {
			if kept {
				r.put(s)
			}
			return answer, nil
		}
		s.cancel()
		r.close() // the others are of the same connection or member, more likely than not
		if !used || ctx.Err() != nil {
			return nil, r.failure(ctx, err)
		}
		// A used stream may have ended since: the connection was lost, the member stopped, the client's token ran out.
	}
}

// send sends one renewal on a stream, which it opens first if opening is not nil.
func (r *requests) send(
	opening context.Context, s *stream, id clientv3.LeaseID,
) (*pb.LeaseKeepAliveResponse, error) {
	if opening != nil {
		opened, err := r.leases.LeaseKeepAlive(opening)
		if err != nil {
			return nil, fmt.Errorf("open a keepalive stream: %w", err)
		}
		s.Lease_LeaseKeepAliveClient = opened
	}
	if err := s.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("send a keepalive: %w", err)
	}
	answer, err := s.Recv() // after an EOF it says why the stream has ended
	if err != nil {
		return nil, fmt.Errorf("receive a keepalive's answer: %w", err)
	}
	return answer, nil
}

func (r *requests) take() *stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) == 0 {
		return nil
	}
	last := len(r.idle) - 1
	s := r.idle[last]
	r.idle = r.idle[:last]
	return s
}

func (r *requests) put(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = append(r.idle, s)
}

func (r *requests) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.idle {
		s.cancel()
	}
	r.idle = nil
}
