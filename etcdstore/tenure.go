package etcdstore

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/lease"
)

// tenure is what the store knows of a partition that it holds or once held. Guarded by Store.mu.
type tenure struct {
	group     Group
	partition string
	owner     string
	held      bool   // false once the partition was relinquished, released or found lost
	etag      int64  // the ModRevision that the store last got, which stays known after the end
	claimID   string // of the claim that got it
	term      *lease.Term
	gained    int64 // revision of the claim that began the tenure

	previousOwner, reason string

	// start is the checkpoint that was read by the claim that began the tenure.
	start    Checkpoint
	hasStart bool
	startErr error

	// chain is the ModRevision that the partition's checkpoint must have for the owner to write it: the one read by the
	// claim that began the tenure, or left by the owner's last write. Renewals never touch it, or a checkpoint that a
	// renewal happened to read would be overwritten unseen.
	chain int64

	wrote     bool   // a checkpoint was sent under this tenure
	lastWrite int64  // ModRevision of the store's latest checkpoint, over all its tenures of the partition
	floor     *int64 // see Holder: lower sequence numbers come from a reader left over from an earlier tenure
}

// seenOwner is who was listed as a partition's owner, so that the next claim can name its predecessor.
type seenOwner struct {
	etag  int64
	owner string
}

// noteWon records a claim that has won and returns it as the caller sees it.
func (s *Store) noteWon(c *claim, term *lease.Term, revision int64, created bool, resp *pb.TxnResponse) Ownership {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.won.ETag = formatETag(revision)
	delete(s.owners, c.key)
	last := s.tenures[c.key]
	if last == nil {
		last = &tenure{}
	}
	if revision < last.etag {
		return c.won // a later claim of this store has been answered first
	}
	t := *last
	t.group, t.partition, t.owner = c.won.Group, c.won.PartitionID, c.won.OwnerID
	t.etag, t.claimID, t.term = revision, c.record.ClaimID, term
	t.held = c.won.OwnerID != ""
	if c.takesOver && !last.held {
		t.held, c.stray = false, true // it was released meanwhile
	}
	t.previousOwner, t.reason = c.record.PreviousOwner, c.record.Reason
	if t.held && (!c.renews || created) {
		t.gained, t.wrote, t.floor = revision, false, nil
		s.begin(&t, checkpointIn(resp), last.etag != 0)
		s.log.Info("partition claimed", zap.Stringer("group", t.group), zap.String("partition", t.partition),
			zap.String("owner", t.owner), zap.Int64("revision", revision),
			zap.String("previous_owner", t.previousOwner), zap.String("reason", t.reason))
	} else if t.owner == "" {
		s.log.Info("partition relinquished", zap.Stringer("group", t.group), zap.String("partition", t.partition),
			zap.Int64("revision", revision))
	}
	s.tenures[c.key] = &t
	return c.won
}

// begin sets where a tenure starts: at the checkpoint that its claim read.
func (s *Store) begin(t *tenure, kv *mvccpb.KeyValue, heldBefore bool) {
	t.start, t.hasStart, t.startErr, t.chain = Checkpoint{}, false, nil, 0
	if kv == nil {
		return
	}
	t.chain = kv.ModRevision
	record, err := decodeCheckpoint(kv.Value)
	if err != nil {
		t.startErr = newRecordError(string(kv.Key), kv.ModRevision, err)
		return
	}
	t.start, t.hasStart = record.checkpoint(t.group, t.partition), true
	if heldBefore && kv.ModRevision != t.lastWrite {
		t.floor = record.SequenceNumber
	}
}

// noteLost ends a tenure that a lost claim shows to be over: its record is no longer the one that the store got.
func (s *Store) noteLost(c *claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenures[c.key]; t != nil && t.held && t.etag == c.etag && !c.foundOwn {
		s.endTenure(t, "a renewal found another record")
	}
}

// endTenure marks a tenure as over. Store.mu is held.
func (s *Store) endTenure(t *tenure, why string) {
	if !t.held {
		return
	}
	t.held = false
	s.log.Warn("partition lost", zap.Stringer("group", t.group), zap.String("partition", t.partition),
		zap.String("owner", t.owner), zap.Int64("revision", t.etag), zap.String("reason", why))
}

// current returns the tenure of the partition with that ownership key, if it is the one that the etag stands for, or
// ErrOwnershipLost. Store.mu is held.
func (s *Store) current(key, etag string) (*tenure, error) {
	t := s.tenures[key]
	switch {
	case t == nil:
		return nil, fmt.Errorf("%w: %s was not claimed through this store", ErrOwnershipLost, quote(key))
	case !t.held:
		return nil, fmt.Errorf("%w: partition %s is no longer held", ErrOwnershipLost, quote(t.partition))
	case formatETag(t.etag) != etag:
		return nil, fmt.Errorf("%w: partition %s has been claimed anew, with etag %d instead of %s",
			ErrOwnershipLost, quote(t.partition), t.etag, quote(etag))
	}
	return t, nil
}

// Fence returns the etcd compare that holds exactly as long as the ownership does, for transactions of one's own. It
// must be made from what the latest claim returned: a renewal rotates the etag, and the older fence fails. An ownership
// without a well-formed etag gives a compare that never holds.
func (s *Store) Fence(o Ownership) clientv3.Cmp {
	etag, ok := parseETag(o.ETag)
	if !ok || etag == 0 {
		etag = -1
	}
	return unchanged(s.keys.key(o.Group, kindOwnership, o.PartitionID), etag)
}

// Start returns the checkpoint from which the partition's events have to be handled, as it was read in the transaction
// of the claim that began the tenure, and whether there was one. Errors: [ErrOwnershipLost] if o is not what the
// store's latest claim of the partition returned; [ErrCorruptRecord] if the checkpoint cannot be read: starting anyway
// would lose data.
func (s *Store) Start(o Ownership) (Checkpoint, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.current(s.keys.key(o.Group, kindOwnership, o.PartitionID), o.ETag)
	if err != nil {
		return Checkpoint{}, false, err
	}
	return t.start, t.hasStart, t.startErr
}

// Term returns the term under whose lease a partition was claimed: how long it can be believed to be held. Errors:
// [ErrOwnershipLost] if o is not what the store's latest claim of the partition returned.
func (s *Store) Term(o Ownership) (*lease.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.current(s.keys.key(o.Group, kindOwnership, o.PartitionID), o.ETag)
	if err != nil {
		return nil, err
	}
	return t.term, nil
}

// Keeper returns the keeper that the store was made with, nil if there is none.
func (s *Store) Keeper() *lease.Keeper { return s.keeper }
