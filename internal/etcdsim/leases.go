package etcdsim

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/lease"
)

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
