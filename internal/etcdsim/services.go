package etcdsim

import (
	"context"
	"errors"
	"hash/fnv"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/etcdserver/txn"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"
)

// failure returns an error as etcd's clients get it.
func failure(err error) error {
	switch {
	case errors.Is(err, lease.ErrLeaseNotFound):
		return rpctypes.ErrGRPCLeaseNotFound
	case errors.Is(err, lease.ErrLeaseTTLTooLarge):
		return rpctypes.ErrGRPCLeaseTTLTooLarge
	case errors.Is(err, mvcc.ErrCompacted):
		return rpctypes.ErrGRPCCompacted
	case errors.Is(err, mvcc.ErrFutureRev):
		return rpctypes.ErrGRPCFutureRev
	}
	return err
}

// keys serves keys and values.
type keys struct {
	pb.UnimplementedKVServer

	etcd *Etcd
}

// about tells requests apart by their keys, which a run with the same seed has again, unlike what is put there.
func about(keys ...[]byte) uint64 {
	h := fnv.New64a()
	for _, k := range keys {
		_, _ = h.Write(k)
	}
	return h.Sum64()
}

func (k *keys) Range(ctx context.Context, r *pb.RangeRequest) (resp *pb.RangeResponse, err error) {
	header, err := k.etcd.serve(about(r.GetKey()), func(*pb.ResponseHeader) (err error) {
		resp, _, err = txn.Range(context.WithoutCancel(ctx), zap.NewNop(), k.etcd.kv, r, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	header.Revision = resp.GetHeader().GetRevision()
	resp.Header = header
	return resp, nil
}

func (k *keys) Put(ctx context.Context, r *pb.PutRequest) (resp *pb.PutResponse, err error) {
	header, err := k.etcd.serve(about(r.GetKey()), func(*pb.ResponseHeader) (err error) {
		if k.etcd.noSpace {
			return rpctypes.ErrGRPCNoSpace
		}
		resp, _, err = txn.Put(context.WithoutCancel(ctx), zap.NewNop(), k.etcd.lessor, k.etcd.kv, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	resp.Header = header
	return resp, nil
}

func (k *keys) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (resp *pb.DeleteRangeResponse, err error) {
	header, err := k.etcd.serve(about(r.GetKey()), func(*pb.ResponseHeader) (err error) {
		resp, _, err = txn.DeleteRange(context.WithoutCancel(ctx), zap.NewNop(), k.etcd.kv, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	resp.Header = header
	return resp, nil
}

// Txn applies what arrives, although the caller may have given up since.
func (k *keys) Txn(ctx context.Context, r *pb.TxnRequest) (resp *pb.TxnResponse, err error) {
	if err := check(r, maxOps); err != nil {
		return nil, err
	}
	puts := make(map[string]bool)
	if err := checkPuts(r, puts); err != nil {
		return nil, err
	}
	header, err := k.etcd.serve(about(keysOf(r)...), func(*pb.ResponseHeader) (err error) {
		if k.etcd.noSpace && len(puts) > 0 {
			return rpctypes.ErrGRPCNoSpace
		}
		resp, _, err = txn.Txn(context.WithoutCancel(ctx), zap.NewNop(), r, false, k.etcd.kv, k.etcd.lessor, false)
		return err
	})
	if err != nil {
		return nil, err
	}
	header.Revision = resp.GetHeader().GetRevision()
	resp.Header = header
	return resp, nil
}

// maxOps is etcd's own limit of operations on a path.
const maxOps = 128

func check(r *pb.TxnRequest, left int) error {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		used := max(len(r.GetCompare()), len(r.GetSuccess()), len(r.GetFailure()))
		if used > left {
			return rpctypes.ErrGRPCTooManyOps
		}
		for _, op := range ops {
			if inner := op.GetRequestTxn(); inner != nil {
				if err := check(inner, left-used); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkPuts refuses a key that is put twice, in branches of which both may be taken.
func checkPuts(r *pb.TxnRequest, puts map[string]bool) error {
	of := func(ops []*pb.RequestOp) (map[string]bool, error) {
		own := make(map[string]bool)
		for _, op := range ops {
			inner := make(map[string]bool)
			if put := op.GetRequestPut(); put != nil {
				inner[string(put.GetKey())] = true
			} else if nested := op.GetRequestTxn(); nested != nil {
				if err := checkPuts(nested, inner); err != nil {
					return nil, err
				}
			}
			for key := range inner {
				if own[key] {
					return nil, rpctypes.ErrGRPCDuplicateKey
				}
				own[key] = true
			}
		}
		return own, nil
	}
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		own, err := of(ops)
		if err != nil {
			return err
		}
		for key := range own {
			puts[key] = true
		}
	}
	return nil
}

func keysOf(r *pb.TxnRequest) [][]byte {
	var all [][]byte
	for _, c := range r.GetCompare() {
		all = append(all, c.GetKey())
	}
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			switch {
			case op.GetRequestPut() != nil:
				all = append(all, op.GetRequestPut().GetKey())
			case op.GetRequestDeleteRange() != nil:
				all = append(all, op.GetRequestDeleteRange().GetKey())
			case op.GetRequestRange() != nil:
				all = append(all, op.GetRequestRange().GetKey())
			case op.GetRequestTxn() != nil:
				all = append(all, keysOf(op.GetRequestTxn())...)
			}
		}
	}
	return all
}

func (k *keys) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	header, err := k.etcd.serve(0, func(*pb.ResponseHeader) error {
		_, err := k.etcd.kv.Compact(traceutil.TODO(), r.GetRevision())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &pb.CompactionResponse{Header: header}, nil
}

// leases serves leases.
type leases struct {
	pb.UnimplementedLeaseServer

	etcd *Etcd
}

func (l *leases) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	var granted *lease.Lease
	header, err := l.etcd.serve(uint64(r.GetTTL()), func(*pb.ResponseHeader) (err error) {
		if l.etcd.noSpace {
			return rpctypes.ErrGRPCNoSpace
		}
		id := r.GetID()
		if id == 0 {
			l.etcd.leases++
			id = 0x1000 + l.etcd.leases
		}
		granted, err = l.etcd.lessor.Grant(lease.LeaseID(id), r.GetTTL())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &pb.LeaseGrantResponse{Header: header, ID: int64(granted.ID), TTL: granted.TTL()}, nil
}

func (l *leases) LeaseRevoke(_ context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	header, err := l.etcd.serve(uint64(r.GetID()), func(*pb.ResponseHeader) error {
		return l.etcd.lessor.Revoke(lease.LeaseID(r.GetID()))
	})
	if err != nil {
		return nil, err
	}
	return &pb.LeaseRevokeResponse{Header: header}, nil
}

func (l *leases) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		answer, err := l.renew(stream.Context(), r.GetID())
		if err != nil {
			return err
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// renew renews a lease. A leader of the past believes that it does.
func (l *leases) renew(ctx context.Context, id int64) (*pb.LeaseKeepAliveResponse, error) {
	if link := linkOf(ctx); link != nil && link.deceived() {
		l.etcd.mu.Lock()
		defer l.etcd.mu.Unlock()
		header := &pb.ResponseHeader{ClusterId: 1, MemberId: 1, RaftTerm: l.etcd.staleTerm, Revision: l.etcd.kv.Rev()}
		answer := &pb.LeaseKeepAliveResponse{Header: header, ID: id}
		if known := l.etcd.lessor.Lookup(lease.LeaseID(id)); known != nil {
			answer.TTL = known.TTL()
		}
		return answer, nil
	}
	answer := &pb.LeaseKeepAliveResponse{ID: id}
	header, err := l.etcd.serve(uint64(id), func(*pb.ResponseHeader) error {
		known := l.etcd.lessor.Lookup(lease.LeaseID(id))
		if known == nil || known.Remaining() <= 0 {
			return nil // or about to be revoked
		}
		ttl, err := l.etcd.lessor.Renew(lease.LeaseID(id))
		answer.TTL = ttl
		return err
	})
	answer.Header = header
	return answer, err
}

func (l *Link) deceived() bool {
	l.mu.Lock()
	stale := l.stale
	l.mu.Unlock()
	return stale != nil && stale()
}

func (l *leases) LeaseLeases(context.Context, *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	resp := &pb.LeaseLeasesResponse{}
	header, err := l.etcd.serve(0, func(*pb.ResponseHeader) error {
		for _, granted := range l.etcd.lessor.Leases() {
			resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: int64(granted.ID)})
		}
		return nil
	})
	resp.Header = header
	return resp, err
}

func (l *leases) LeaseTimeToLive(_ context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	resp := &pb.LeaseTimeToLiveResponse{ID: r.GetID(), TTL: -1}
	header, err := l.etcd.serve(uint64(r.GetID()), func(*pb.ResponseHeader) error {
		known := l.etcd.lessor.Lookup(lease.LeaseID(r.GetID()))
		if known == nil {
			return nil
		}
		resp.TTL, resp.GrantedTTL = int64(known.Remaining().Seconds()), known.TTL()
		if r.GetKeys() {
			for _, key := range known.Keys() {
				resp.Keys = append(resp.Keys, []byte(key))
			}
		}
		return nil
	})
	resp.Header = header
	return resp, err
}

// watches serves watches.
type watches struct {
	pb.UnimplementedWatchServer

	etcd *Etcd
}

func (w *watches) Watch(stream pb.Watch_WatchServer) error {
	watching := w.etcd.kv.NewWatchStream()
	requests := make(chan *pb.WatchRequest)
	w.etcd.running.Go(func() {
		defer close(requests)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				return
			}
		}
	})
	defer watching.Close()
	for {
		select {
		case r, ok := <-requests:
			if !ok {
				return nil
			}
			if err := w.answer(stream, watching, r); err != nil {
				return err
			}
		case told := <-watching.Chan():
			if err := stream.Send(w.response(told)); err != nil {
				return err
			}
		case <-w.etcd.stopped:
			return rpctypes.ErrGRPCStopped
		}
	}
}

func (w *watches) answer(stream pb.Watch_WatchServer, watching mvcc.WatchStream, r *pb.WatchRequest) error {
	header := &pb.ResponseHeader{ClusterId: 1, MemberId: 1, Revision: watching.Rev()}
	if create := r.GetCreateRequest(); create != nil {
		end := create.GetRangeEnd()
		if len(end) == 1 && end[0] == 0 {
			end = []byte{} // all from the key on
		}
		if len(end) == 0 && create.GetRangeEnd() == nil {
			end = nil
		}
		id, err := watching.Watch(stream.Context(), mvcc.WatchID(create.GetWatchId()), create.GetKey(), end,
			create.GetStartRevision())
		if err != nil {
			return stream.Send(&pb.WatchResponse{
				Header: header, WatchId: -1, Canceled: true, CancelReason: err.Error(), Created: true,
			})
		}
		return stream.Send(&pb.WatchResponse{Header: header, WatchId: int64(id), Created: true})
	}
	if cancel := r.GetCancelRequest(); cancel != nil {
		if watching.Cancel(mvcc.WatchID(cancel.GetWatchId())) == nil {
			return stream.Send(&pb.WatchResponse{Header: header, WatchId: cancel.GetWatchId(), Canceled: true})
		}
	}
	if r.GetProgressRequest() != nil {
		watching.RequestProgressAll()
	}
	return nil
}

func (w *watches) response(told mvcc.WatchResponse) *pb.WatchResponse {
	resp := &pb.WatchResponse{
		Header:  &pb.ResponseHeader{ClusterId: 1, MemberId: 1, Revision: told.Revision},
		WatchId: int64(told.WatchID), CompactRevision: told.CompactRevision, Canceled: told.CompactRevision != 0,
	}
	resp.Events = append(resp.Events, told.Events...)
	return resp
}

// maintenance serves the status, as far as it is asked for.
type maintenance struct {
	pb.UnimplementedMaintenanceServer

	etcd *Etcd
}

func (m *maintenance) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	resp := &pb.StatusResponse{Version: version{}.Version().String(), Leader: 1}
	header, err := m.etcd.serve(0, func(*pb.ResponseHeader) error {
		if m.etcd.noSpace {
			resp.Errors = append(resp.Errors, "memberID:1 alarm:NOSPACE")
		}
		return nil
	})
	resp.Header = header
	return resp, err
}
