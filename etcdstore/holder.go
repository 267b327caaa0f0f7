package etcdstore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"go.uber.org/zap"
)

// Holder is a store as the Event Hubs SDKs' processors need it: consumers that renew every round, name no owner with a
// checkpoint, read their start positions in a separate listing and do not close the reader of a partition they lost.
// What they leave out the Holder knows from what it has claimed itself.
//
//   - A listing of ownerships is answered once the keeper's term is trusted and partitions held from before a lapse
//     have been taken over, so that it shows them.
//   - A checkpoint is written if the record is the one that the store last got, or if there is none, and if the
//     checkpoint found is the one that the reader started from or the store last wrote. A store that never held the
//     partition writes only where there is no record.
//   - A reader left over from an earlier tenure is told by its lower sequence numbers.
//   - A partition whose checkpoint cannot be read is not granted: starting it at the stream's end would lose data.
//   - Corrupt records are no errors: ownerships are listed as relinquished, checkpoints left out, and both are logged.
type Holder struct {
	store *Store

	mu         sync.Mutex
	unreadable map[string]bool // keys of checkpoints that could not be read
}

var _ CheckpointStore = (*Holder)(nil)

// Holder returns the store as a Holder.
func (s *Store) Holder() *Holder {
	return &Holder{store: s, unreadable: make(map[string]bool)}
}

// ClaimOwnership is [Store.ClaimOwnership], except that a partition whose checkpoint cannot be read is not granted.
func (h *Holder) ClaimOwnership(
	ctx context.Context, ownerships []Ownership, options *ClaimOptions,
) ([]Ownership, error) {
	granted, err := h.withoutUnreadable(ctx, ownerships)
	if err != nil {
		return nil, err
	}
	won, err := h.store.ClaimOwnership(ctx, granted, options)
	var bad []Ownership
	won = slices.DeleteFunc(won, func(o Ownership) bool {
		if o.OwnerID == "" {
			return false
		}
		_, _, startErr := h.store.Start(o)
		if !errors.Is(startErr, ErrCorruptRecord) {
			return false
		}
		h.noteUnreadable(h.checkpointKey(o), startErr)
		bad = append(bad, o)
		return true
	})
	if len(bad) > 0 {
		err = errors.Join(err, h.store.Release(ctx, bad...))
	}
	return won, err
}

// ListOwnership is [Store.ListOwnership], after a take-over if one is due. Corrupt records are listed as relinquished.
func (h *Holder) ListOwnership(ctx context.Context, group Group) ([]Ownership, error) {
	if h.store.keeper != nil {
		if err := h.store.awaitTerm(ctx); err != nil {
			return nil, err
		}
	}
	ownerships, err := h.store.ListOwnership(ctx, group)
	for _, bad := range recordErrors(err) {
		h.store.log.Error("an ownership cannot be read and counts as free", zap.Error(bad))
		if g, _, partition, err := h.store.keys.parse(bad.Key); err == nil {
			ownerships = append(ownerships, Ownership{Group: g, PartitionID: partition, ETag: bad.ETag})
		}
	}
	if err != nil && !errors.Is(err, ErrCorruptRecord) {
		return nil, err
	}
	return ownerships, nil
}

// ListCheckpoints is [Store.ListCheckpoints], and what it returns is taken to be where the readers of partitions that
// the store has claimed and not yet written start from. Corrupt records are left out.
func (h *Holder) ListCheckpoints(ctx context.Context, group Group) ([]Checkpoint, error) {
	s := h.store
	kvs, revision, err := s.list(ctx, group, kindCheckpoint)
	if err != nil {
		return nil, err
	}
	checkpoints := make([]Checkpoint, 0, len(kvs))
	revisions := make(map[string]int64, len(kvs))
	for _, kv := range kvs {
		revisions[string(kv.Key)] = kv.ModRevision
		c, bad := s.checkpointOf(kv)
		if bad != nil {
			h.noteUnreadable(string(kv.Key), bad)
			continue
		}
		checkpoints = append(checkpoints, c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenures {
		// A listing from before the claim is older than what the claim has read.
		if t.group == group && t.held && !t.wrote && revision >= t.gained {
			t.chain = revisions[s.keys.key(group, kindCheckpoint, t.partition)]
		}
	}
	return checkpoints, nil
}

// UpdateCheckpoint writes a checkpoint of a partition that the store holds, or that nobody owns. It behaves as
// [Store.UpdateCheckpoint] does with a fence; after an [ErrCheckpointConflict] the next write goes ahead from what was
// found. With a fence or operations in its options it is [Store.UpdateCheckpoint].
func (h *Holder) UpdateCheckpoint(ctx context.Context, checkpoint Checkpoint, options *UpdateOptions) error {
	if options != nil && options.Fence != nil {
		return h.store.UpdateCheckpoint(ctx, checkpoint, options)
	}
	w := &write{mode: asHolder}
	if options != nil {
		w.ops = options.Ops
	}
	return h.store.update(ctx, checkpoint, w)
}

// ReleaseAll gives up every partition that the store holds, for a consumer that has stopped without saying so, and
// returns them. No take-over brings them back. Errors are those of [Store.Release].
func (h *Holder) ReleaseAll(ctx context.Context) ([]Ownership, error) {
	s := h.store
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if s.takeover.Acquire(ctx, claimsPart) != nil { // a take-over would give what it claims new etags
		return nil, context.Cause(ctx)
	}
	held := s.held()
	for _, o := range held {
		etag, _ := parseETag(o.ETag)
		s.noteReleased(s.keys.key(o.Group, kindOwnership, o.PartitionID), etag)
	}
	s.takeover.Release(claimsPart)
	return held, s.Release(ctx, held...)
}

func (h *Holder) checkpointKey(o Ownership) string {
	return h.store.keys.key(o.Group, kindCheckpoint, o.PartitionID)
}

// withoutUnreadable leaves out the claims of partitions whose checkpoints are known to be unreadable and still are.
func (h *Holder) withoutUnreadable(ctx context.Context, ownerships []Ownership) ([]Ownership, error) {
	granted := make([]Ownership, 0, len(ownerships))
	for _, o := range ownerships {
		key := h.checkpointKey(o)
		h.mu.Lock()
		known := h.unreadable[key]
		h.mu.Unlock()
		if known && o.OwnerID != "" {
			readable, err := h.readAgain(ctx, key)
			if err != nil {
				return nil, err
			}
			if !readable {
				continue
			}
		}
		granted = append(granted, o)
	}
	return granted, nil
}

func (h *Holder) readAgain(ctx context.Context, key string) (bool, error) {
	ctx, leave, err := h.store.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	resp, err := h.store.read(ctx, key)
	if err != nil {
		return false, err
	}
	if len(resp.Kvs) > 0 {
		if _, bad := h.store.checkpointOf(resp.Kvs[0]); bad != nil {
			h.noteUnreadable(key, bad)
			return false, nil
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.unreadable, key)
	return true, nil
}

func (h *Holder) noteUnreadable(key string, err error) {
	h.mu.Lock()
	h.unreadable[key] = true
	h.mu.Unlock()
	h.store.log.Error("a checkpoint cannot be read; its partition is granted to nobody until it is mended or deleted",
		zap.String("key", key), zap.Error(err))
}

// recordErrors returns the corrupt records that an error of a listing names.
func recordErrors(err error) []*RecordError {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var all []*RecordError
	for _, e := range joined.Unwrap() {
		if one, ok := errors.AsType[*RecordError](e); ok {
			all = append(all, one)
		}
	}
	return all
}
