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

// batchesInFlight is how many transactions of one call are under way at a time. More do not go faster: etcd applies
// them in a row.
const batchesInFlight = 3

// limits is what the server takes in one transaction. They start at etcd's defaults and go down when a server says that
// its own are lower.
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

// part is a conditional transaction of its own that shares one request, and so one raft entry, with others. Every
// compare of a request is judged on the state before it, and the parts have no key in common, so they do not touch each
// other.
type part struct {
	compares  []clientv3.Cmp
	then      []clientv3.Op
	otherwise func() []clientv3.Op // what tells why the compares failed; nil for nothing
	likely    bool                 // it hardly ever fails: even alone it is sent without otherwise at first
	depth     int                  // operations on the longest path of it all
	size      int                  // bytes on the wire, roughly
}

// instead is what is done if the compares fail.
func (p part) instead() []clientv3.Op {
	if p.otherwise == nil {
		return nil
	}
	return p.otherwise()
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
	s.inBatches(s.limits.fitFlat, parts, outcomes, func(batch []part, into []outcome) {
		s.settleFlat(ctx, batch, into)
	})
	return outcomes
}

// inBatches cuts the parts into batches that fit, and has a few settled at a time.
func (s *Store) inBatches(
	fit func([]part) int, parts []part, outcomes []outcome, settle func(batch []part, into []outcome),
) {
	var batches [][]part
	var into [][]outcome
	for len(parts) > 0 {
		n := fit(parts)
		batches, into = append(batches, parts[:n]), append(into, outcomes[:n])
		parts, outcomes = parts[n:], outcomes[n:]
	}
	inTurns(len(batches), func(i int) { settle(batches[i], into[i]) })
}

// inTurns does n things, a few at a time and the first ones first.
func inTurns(n int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, batchesInFlight)
	for i := range n {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
}

// fitFlat returns how many of the parts go into one transaction side by side, at least one if there are any.
func (l *limits) fitFlat(parts []part) int {
	ops, bytes := int(l.ops.Load()), int(l.bytes.Load())
	compares, then, size := 0, 0, 0
	for i, p := range parts {
		compares, then, size = compares+len(p.compares), then+len(p.then), size+p.size
		if i > 0 && (max(compares, then) > ops || size > bytes) {
			return i
		}
	}
	return len(parts)
}

// fitNested is fitFlat for parts that are transactions within one.
func (l *limits) fitNested(parts []part) int {
	ops, bytes := int(l.ops.Load()), int(l.bytes.Load())
	depth, size := 0, 0
	for i, p := range parts {
		depth, size = max(depth, p.depth), size+p.size
		if i > 0 && (i+1+depth > ops || size > bytes) {
			return i
		}
	}
	return len(parts)
}

// settleFlat sends parts with all their compares in one place, which is what etcd decides fastest. If one of them fails
// nothing is applied and each part is decided by itself.
func (s *Store) settleFlat(ctx context.Context, parts []part, outcomes []outcome) {
	if len(parts) == 1 && !parts[0].likely {
		s.settleNested(ctx, parts, outcomes, false)
		return
	}
	var all part
	for _, p := range parts {
		all.compares = append(all.compares, p.compares...)
		all.then = append(all.then, p.then...)
		all.size += p.size
	}
	resp, err := s.send(ctx, all.compares, all.then, nil)
	if err == nil && resp.Succeeded {
		responses := resp.Responses
		for i, p := range parts {
			outcomes[i] = outcome{
				TxnResponse: &pb.TxnResponse{Succeeded: true, Responses: responses[:len(p.then)]},
				revision:    resp.Header.Revision,
				repeated:    resp.repeated,
			}
			responses = responses[len(p.then):]
		}
		return
	}
	if err != nil {
		if !spoilt(ctx, err) {
			fail(outcomes, resp.repeated, err)
			return
		}
		s.limits.learn(err, max(len(all.compares), len(all.then)), all.size)
	}
	s.inBatches(s.limits.fitNested, parts, outcomes, func(batch []part, into []outcome) {
		s.settleNested(ctx, batch, into, resp.repeated)
	})
}

// settleNested sends parts as transactions within one, a single one as itself. repeated tells that an earlier request
// with them went unanswered.
func (s *Store) settleNested(ctx context.Context, parts []part, outcomes []outcome, repeated bool) {
	if len(parts) == 0 {
		return
	}
	var resp answer
	var err error
	depth, size := 0, 0
	if len(parts) == 1 {
		resp, err = s.send(ctx, parts[0].compares, parts[0].then, parts[0].instead())
	} else {
		txns := make([]clientv3.Op, len(parts))
		for i, p := range parts {
			txns[i] = clientv3.OpTxn(p.compares, p.then, p.instead())
			depth, size = max(depth, p.depth), size+p.size
		}
		resp, err = s.send(ctx, nil, txns, nil)
	}
	repeated = repeated || resp.repeated
	switch {
	case err == nil && len(parts) == 1:
		decided := (*pb.TxnResponse)(resp.TxnResponse)
		outcomes[0] = outcome{TxnResponse: decided, revision: resp.Header.Revision, repeated: repeated}
	case err == nil:
		for i := range parts {
			decided := resp.Responses[i].GetResponseTxn()
			outcomes[i] = outcome{TxnResponse: decided, revision: resp.Header.Revision, repeated: repeated}
		}
	case len(parts) > 1 && spoilt(ctx, err):
		// What a part was sent with stays the same, so that sending it again still settles it.
		if s.limits.learn(err, len(parts)+depth, size) {
			s.inBatches(s.limits.fitNested, parts, outcomes, func(batch []part, into []outcome) {
				s.settleNested(ctx, batch, into, repeated)
			})
			return
		}
		half := len(parts) / 2
		s.settleNested(ctx, parts[:half], outcomes[:half], repeated)
		s.settleNested(ctx, parts[half:], outcomes[half:], repeated)
	default:
		fail(outcomes, repeated, err)
	}
}

// spoilt reports whether etcd turned a transaction down for a reason that may lie in one part of it: a limit, or a key
// that this user may not touch. A missing lease is missing for all.
func spoilt(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, lease.ErrLeaseGone)
}

func fail(outcomes []outcome, repeated bool, err error) {
	for i := range outcomes {
		outcomes[i] = outcome{repeated: repeated, err: unknownIf(repeated, err)}
	}
}
