package etcdsim

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

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
