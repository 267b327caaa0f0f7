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
	s.releaseStrays(s.lives, w, records)
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
	see := func(kvs []*mvccpb.KeyValue) {
		w.mu.Lock()
		for _, kv := range kvs {
			if clientv3.LeaseID(kv.Lease) == key.term {
				w.records[string(kv.Key)] = kv
			} else {
				delete(w.records, string(kv.Key))
			}
		}
		w.mu.Unlock()
		s.releaseStrays(ctx, w, kvs)
	}
	err := s.follow(ctx, feed{
		from: prefix,
		to:   clientv3.GetPrefixRangeEnd(prefix),
		reset: func(kvs []*mvccpb.KeyValue, _ int64) {
			w.mu.Lock()
			clear(w.records)
			w.mu.Unlock()
			see(kvs)
		},
		apply: func(events []*clientv3.Event, _ int64) {
			kvs := make([]*mvccpb.KeyValue, len(events))
			for i, e := range events {
				kvs[i] = e.Kv
			}
			see(kvs)
		},
	})
	if ctx.Err() == nil {
		s.log.Error("cannot look out for late claims", zap.Stringer("group", key.group), zap.Error(err))
	}
}

// releaseStrays has the records of suspect claims deleted, unless the claim was won and is in use.
func (s *Store) releaseStrays(ctx context.Context, w *strayWatch, kvs []*mvccpb.KeyValue) {
	var parts []part
	for _, kv := range kvs {
		record, err := decodeOwnership(kv.Value)
		if err != nil {
			continue // a deletion, or none of ours
		}
		w.mu.Lock()
		suspect := w.claims[record.ClaimID]
		w.mu.Unlock()
		if !suspect || !s.disown(kv) {
			continue
		}
		s.log.Warn("releasing a partition that nobody handles: a claim or a release of it went unanswered",
			zap.ByteString("key", kv.Key), zap.Int64("revision", kv.ModRevision))
		parts = append(parts, releasePart(string(kv.Key), kv.ModRevision))
	}
	if len(parts) == 0 {
		return
	}
	s.running.Go(func() { // over a slow link the next ones must not wait for these
		for _, out := range s.settle(ctx, parts) {
			if out.err != nil && ctx.Err() == nil {
				s.log.Error("could not release a partition that nobody handles", zap.Error(out.err))
			}
		}
	})
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
