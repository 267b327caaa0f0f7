package etcdstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcderr"
	"github.com/tenure-go/tenure/lease"
)

// The limits of an etcd server that nobody configured, less some room in the request for what is around the records.
const (
	defaultMaxOps   = 128
	defaultMaxBytes = 1 << 20
)

// partsPerBatch keeps one transaction's time in etcd, which nothing else can use, at a few milliseconds.
const partsPerBatch = 64

// batchesInFlight is how many transactions of one call are under way at a time. More do not go faster: etcd applies them in
// a row.
const batchesInFlight = 3

// limits is what the server takes in one transaction. They start at etcd's defaults and go down when a server says that its
// own are lower.
type limits struct {
	ops   atomic.Int64 // operations on one path from the root of a transaction to a leaf
	bytes atomic.Int64
}

func (l *limits) init() {
	l.ops.Store(defaultMaxOps)
	l.bytes.Store(defaultMaxBytes)
}

// learn lowers the limit that a refused transaction exceeded and reports whether it was a limit at all.
func (l *limits) learn(refusal error, ops, bytes int) bool {
	limit, exceeded := &l.ops, ops
	switch {
	case errors.Is(refusal, rpctypes.ErrTooManyOps):
	case etcderr.TooLarge(refusal):
		limit, exceeded = &l.bytes, bytes
	default:
		return false
	}
	for {
		known := limit.Load()
		half := int64(max(exceeded/2, 1))
		if half >= known || limit.CompareAndSwap(known, half) {
			return true
		}
	}
}

// part is a conditional transaction of its own that shares one request, and so one raft entry, with others. Every compare
// of a request is judged on the state before it, and the parts have no key in common, so they do not touch each other.
type part struct {
	txn   clientv3.Op
	depth int // operations on its longest path, itself not counted
	size  int // bytes on the wire, roughly
}

// outcome is what became of a part: etcd's answer, or an error.
type outcome struct {
	*pb.TxnResponse

	revision int64 // of the transaction
	repeated bool  // an earlier copy may have been applied, or may be applied yet
	err      error
}

// settle sends the parts in as few transactions as the server's limits allow and returns each one's outcome.
func (s *Store) settle(ctx context.Context, parts []part) []outcome {
	outcomes := make([]outcome, len(parts))
	s.settleInto(ctx, parts, outcomes, false)
	return outcomes
}

func (s *Store) settleInto(ctx context.Context, parts []part, outcomes []outcome, repeated bool) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, batchesInFlight)
	for len(parts) > 0 {
		n := s.limits.fit(parts)
		batch, into := parts[:n], outcomes[:n]
		parts, outcomes = parts[n:], outcomes[n:]
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			s.settleBatch(ctx, batch, into, repeated)
		})
	}
}

// fit returns how many of the parts go into one transaction, at least one.
func (l *limits) fit(parts []part) int {
	ops, bytes := int(l.ops.Load()), int(l.bytes.Load())
	depth, size := 0, 0
	for i, p := range parts {
		depth, size = max(depth, p.depth), size+p.size
		if i > 0 && (i == partsPerBatch || i+1+depth > ops || size > bytes) {
			return i
		}
	}
	return len(parts)
}

func (s *Store) settleBatch(ctx context.Context, parts []part, outcomes []outcome, repeated bool) {
	txns := make([]clientv3.Op, len(parts))
	depth, size := 0, 0
	for i, p := range parts {
		txns[i] = p.txn
		depth, size = max(depth, p.depth), size+p.size
	}
	shared := clientv3.OpTxn(nil, txns, nil)
	if len(parts) == 1 {
		shared = parts[0].txn
	}
	resp, err := s.send(ctx, shared)
	repeated = repeated || resp.repeated
	switch {
	case err == nil && len(parts) == 1:
		outcomes[0] = outcome{TxnResponse: (*pb.TxnResponse)(resp.TxnResponse), revision: resp.Header.Revision, repeated: repeated}
	case err == nil:
		for i := range parts {
			outcomes[i] = outcome{
				TxnResponse: resp.Responses[i].GetResponseTxn(),
				revision:    resp.Header.Revision,
				repeated:    repeated,
			}
		}
	case refused(ctx, err) && len(parts) > 1:
		// One part may have spoilt it for the others: a limit, or a key that this user may not touch. What a part was sent
		// with stays the same, so that sending it again still settles it.
		if !s.limits.learn(err, len(parts)+depth, size) {
			half := len(parts) / 2
			s.settleBatch(ctx, parts[:half], outcomes[:half], repeated)
			s.settleBatch(ctx, parts[half:], outcomes[half:], repeated)
			return
		}
		s.settleInto(ctx, parts, outcomes, repeated)
	default:
		for i := range parts {
			outcomes[i] = outcome{repeated: repeated, err: unknownIf(repeated, err)}
		}
	}
}

// refused reports whether etcd itself turned the whole transaction down, for a reason that may lie in one part of it.
// A missing lease is missing for all.
func refused(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, lease.ErrLeaseGone)
}
