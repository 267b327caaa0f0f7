package etcdstore

import (
	"context"
	"maps"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/lease"
)

// A claim of which the caller does not know that it was won may stand under this store's lease with nobody running the
// partition, for as long as the lease is renewed. Such are claims whose outcome stayed unknown, claims that ask for "no
// record" and went unanswered once, of which a copy may come true much later, when the partition is free again, and
// records whose release failed. So the group is watched for the rest of the term, and what such a claim wrote or still
// writes is deleted, by compare. Once the lease is gone no copy can be applied.

// strayKey names what is watched: one group, for one term.
type strayKey struct {
	group Group
	term  clientv3.LeaseID
}

// strayWatch looks out for records that claims of one term leave behind.
type strayWatch struct {
	mu      sync.Mutex
	claims  map[string]bool             // claim_ids that nobody stands behind unless the store holds them
	records map[string]*mvccpb.KeyValue // what stands under the term's lease, by key
}

// watchStrays looks out from now on for records of those claims that may be won with nobody to know of it.
func (s *Store) watchStrays(term *lease.Term, claims []*claim) {
	strays := make(map[Group][]string)
	for _, c := range claims {
		if c.stray && c.won.OwnerID != "" {
			strays[c.won.Group] = append(strays[c.won.Group], c.record.ClaimID)
		}
	}
	for group, ids := range strays {
		s.watchStray(group, term, ids...)
	}
}

// watchStray has records with those claim_ids deleted, the one that stands there and any that still comes, unless the
// store holds the partition under it.
func (s *Store) watchStray(group Group, term *lease.Term, claimIDs ...string) {
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
	for _, id := range claimIDs {
		w.claims[id] = true
	}
	records := slices.Collect(maps.Values(w.records))
	w.mu.Unlock()
	s.running.Go(func() {
		for _, kv := range records {
			s.releaseStray(s.lives, w, kv)
		}
	})
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

// releaseStray deletes a record of a suspect claim, unless the claim was won and is in use.
func (s *Store) releaseStray(ctx context.Context, w *strayWatch, kv *mvccpb.KeyValue) {
	record, err := decodeOwnership(kv.Value)
	if err != nil {
		return
	}
	w.mu.Lock()
	suspect := w.claims[record.ClaimID]
	w.mu.Unlock()
	if !suspect || !s.disown(kv) {
		return
	}
	s.log.Warn("releasing a partition that nobody handles: a claim or a release of it went unanswered",
		zap.ByteString("key", kv.Key), zap.Int64("revision", kv.ModRevision))
	key := string(kv.Key)
	_, err = s.send(ctx, clientv3.OpTxn(
		[]clientv3.Cmp{unchanged(key, kv.ModRevision)}, []clientv3.Op{clientv3.OpDelete(key)}, nil))
	if err != nil && ctx.Err() == nil {
		s.log.Error("could not release it", zap.ByteString("key", kv.Key), zap.Error(err))
	}
}

// disown reports whether the store holds no partition under a record of its own. If it stands where the record of a
// tenure should be, a renewal has put it there, and the tenure is over.
func (s *Store) disown(kv *mvccpb.KeyValue) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenures[string(kv.Key)]
	switch {
	case t == nil || !t.held:
		return true
	case t.etag >= kv.ModRevision:
		return false
	}
	s.endTenure(t, "a renewal went unanswered and is released")
	return true
}
