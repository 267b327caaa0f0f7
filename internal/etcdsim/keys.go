package etcdsim

import (
	"context"
	"errors"
	"hash/fnv"

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
