package etcdstore

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Release gives partitions up: it deletes their records, as long as they are those that the claims returned, so that
// anybody can claim them at once. An ownership that is held no longer is passed over: that it is gone is what was
// wanted.
//
// Errors: [ErrInvalidArgument] before anything is sent; [ErrClosed]; ctx's error; [lease.ErrPermissionDenied]. A
// partition whose release failed counts as given up by this store, which goes on trying, and frees itself with the
// lease at the latest.
func (s *Store) Release(ctx context.Context, ownerships ...Ownership) error {
	if err := s.keys.validateOwnerships(ownerships, ""); err != nil {
		return err
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	parts := make([]part, 0, len(ownerships))
	tenures := make([]tenure, 0, len(ownerships))
	for _, o := range ownerships {
		etag, ok := parseETag(o.ETag)
		if !ok || etag == 0 {
			continue
		}
		key := s.keys.key(o.Group, kindOwnership, o.PartitionID)
		tenures = append(tenures, s.noteReleased(key, etag))
		parts = append(parts, releasePart(key, etag))
	}
	var failures []error
	for i, out := range s.settle(ctx, parts) {
		if out.err == nil {
			continue
		}
		failures = append(failures, out.err)
		if t := tenures[i]; t.term != nil {
			s.watchStray(t.group, t.term, t.claimID)
		}
	}
	if len(failures) > 0 {
		return fmt.Errorf("etcdstore: %d of %d releases failed: %w", len(failures), len(parts), joinDistinct(failures))
	}
	return nil
}

// releasePart deletes an ownership as long as it is that one.
func releasePart(key string, etag int64) part {
	return part{
		compares: []clientv3.Cmp{unchanged(key, etag)},
		then:     []clientv3.Op{clientv3.OpDelete(key)},
		depth:    1,
		size:     2*len(key) + 32,
	}
}

// noteReleased ends a tenure before its record is deleted: a take-over must not bring it back. It returns what was
// known of it.
func (s *Store) noteReleased(key string, etag int64) tenure {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenures[key]
	if t == nil || t.etag != etag {
		return tenure{}
	}
	if t.held {
		t.held = false
		s.log.Info("partition released", zap.Stringer("group", t.group), zap.String("partition", t.partition),
			zap.String("owner", t.owner), zap.Int64("revision", etag))
	}
	return *t
}
