package etcdstore

import (
	"context"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/lease"
)

// A claim that asks for "no record" and went unanswered may have a copy on its way that comes true much later, when the
// partition is free again: a record would appear under this store's lease with nobody running it. So the group is watched
// for the rest of the term, and what such a claim still writes is deleted again, by compare. Once the lease is gone no copy
// can be applied.

// strayKey names what is watched: one group, for one term.
type strayKey struct {
	group Group
	term  clientv3.LeaseID
}

// strayWatch looks out for records that claims of one term left behind.
type strayWatch struct {
	mu      sync.Mutex
	claims  map[string]bool             // claim_ids of which a copy may still land
	records map[string]*mvccpb.KeyValue // what stands under the term's lease, by key
}

// watchStray looks out for a claim's record from now on.
func (s *Store) watchStray(group Group, term *lease.Term, claimID string) {
	key := strayKey{group, term.ID()}
	s.mu.Lock()
	w := s.strays[key]
	if w == nil {
		w = &strayWatch{claims: make(map[string]bool), records: make(map[string]*mvccpb.KeyValue)}
		s.strays[key] = w
		s.running.Go(func() {
			s.followStrays(key, term, w)
			s.mu.Lock()
			delete(s.strays, key)
			s.mu.Unlock()
		})
	}
	s.mu.Unlock()

	w.mu.Lock()
	w.claims[claimID] = true
	records := make([]*mvccpb.KeyValue, 0, len(w.records))
	for _, kv := range w.records {
		records = append(records, kv)
	}
	w.mu.Unlock()
	for _, kv := range records {
		s.running.Go(func() { s.releaseStray(s.lives, w, kv) })
	}
}

func (s *Store) followStrays(key strayKey, term *lease.Term, w *strayWatch) {
	ctx, cancel := context.WithCancel(s.lives)
	defer cancel()
	s.running.Go(func() {
		select {
		case <-term.Done():
		case <-ctx.Done():
		}
		cancel()
	})
	prefix := s.keys.key(key.group, kindOwnership, "")
	see := func(kv *mvccpb.KeyValue) {
		w.mu.Lock()
		if clientv3.LeaseID(kv.Lease) != key.term {
			delete(w.records, string(kv.Key))
			w.mu.Unlock()
			return
		}
		w.records[string(kv.Key)] = kv
		w.mu.Unlock()
		s.releaseStray(ctx, w, kv)
	}
	err := s.follow(ctx, feed{
		from: prefix,
		to:   clientv3.GetPrefixRangeEnd(prefix),
		reset: func(kvs []*mvccpb.KeyValue, _ int64) {
			w.mu.Lock()
			clear(w.records)
			w.mu.Unlock()
			for _, kv := range kvs {
				see(kv)
			}
		},
		apply: func(events []*clientv3.Event, _ int64) {
			for _, e := range events {
				see(e.Kv)
			}
		},
	})
	if ctx.Err() == nil {
		s.log.Error("cannot look out for late claims", zap.Stringer("group", key.group), zap.Error(err))
	}
}

// releaseStray deletes a record that a late copy of a claim has written, unless the claim was won and is in use.
func (s *Store) releaseStray(ctx context.Context, w *strayWatch, kv *mvccpb.KeyValue) {
	record, err := decodeOwnership(kv.Value)
	if err != nil {
		return
	}
	w.mu.Lock()
	suspect := w.claims[record.ClaimID]
	w.mu.Unlock()
	s.mu.Lock()
	t := s.tenures[string(kv.Key)]
	held := t != nil && t.held && t.claimID == record.ClaimID
	s.mu.Unlock()
	if !suspect || held {
		return
	}
	s.log.Warn("released a partition that a late copy of a claim had taken", zap.ByteString("key", kv.Key),
		zap.Int64("revision", kv.ModRevision))
	key := string(kv.Key)
	_, err = s.send(ctx, clientv3.OpTxn(
		[]clientv3.Cmp{unchanged(key, kv.ModRevision)}, []clientv3.Op{clientv3.OpDelete(key)}, nil))
	if err != nil && ctx.Err() == nil {
		s.log.Error("could not release it", zap.ByteString("key", kv.Key), zap.Error(err))
	}
}
