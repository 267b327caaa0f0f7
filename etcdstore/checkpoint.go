package etcdstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/lease"
)

// UpdateCheckpoint writes a checkpoint and returns when it is durable. Concurrent callers share requests, and of
// several writes to one partition that wait under one fence only the newest is written, since it covers the others; a
// lone caller waits for nobody. Writes to one partition are applied in the order of the calls.
//
// With a fence the write is rejected once the ownership is lost, and also if the checkpoint is not the one that the
// owner's claim read or its last write left: then somebody wrote without a fence, or this is a late copy. Without a
// fence the last write wins.
//
// It retries what may pass until ctx ends. Errors: [ErrInvalidArgument] before anything is sent; [ErrOwnershipLost] and
// [ErrCheckpointConflict], with which nothing is written, unless they come with [ErrOutcomeUnknown]: then an earlier
// copy may have been, and been replaced by another writer since; [ErrClosed]; ctx's error, with [ErrOutcomeUnknown] if
// the write may have been or may yet be applied; [lease.ErrPermissionDenied]; etcd's own errors for Ops that it does
// not take.
func (s *Store) UpdateCheckpoint(ctx context.Context, checkpoint Checkpoint, options *UpdateOptions) error {
	if options == nil {
		options = &UpdateOptions{}
	}
	w := &write{mode: unfenced, ops: options.Ops}
	if options.Release && options.Fence == nil {
		return &ArgumentError{
			Field: "UpdateOptions.Fence", Value: "nil", Want: "the ownership that UpdateOptions.Release gives up",
		}
	}
	if options.Fence != nil {
		w.mode, w.fence, w.release = fenced, *options.Fence, options.Release
		if checkpoint.OwnerID == "" {
			checkpoint.OwnerID = options.Fence.OwnerID
		}
	}
	return s.update(ctx, checkpoint, w)
}

func (s *Store) update(ctx context.Context, checkpoint Checkpoint, w *write) error {
	if err := s.keys.validateCheckpoint(checkpoint); err != nil {
		return err
	}
	if w.mode == fenced && (w.fence.Group != checkpoint.Group || w.fence.PartitionID != checkpoint.PartitionID) {
		return &ArgumentError{
			Field: "UpdateOptions.Fence", Value: w.fence.String() + "/" + w.fence.PartitionID,
			Want: "the ownership of the checkpoint's own partition",
		}
	}
	if err := s.join(ctx); err != nil {
		return err
	}
	defer s.running.Done()
	began := time.Now()
	w.sequence = checkpoint.SequenceNumber
	w.record = checkpointRecord{
		SequenceNumber:   checkpoint.SequenceNumber,
		Offset:           checkpoint.Offset,
		OwnerID:          checkpoint.OwnerID,
		LastModifiedTime: began.UTC(),
		WriteID:          s.newID(),
	}
	w.value = string(w.record.encode())
	w.done = make(chan error, 1)
	err := s.writer.write(ctx, checkpoint.Group, checkpoint.PartitionID, w)
	s.meters.countCheckpoint(began, err)
	return err
}

// writeMode is what a checkpoint is compared with before it is put.
type writeMode int

const (
	unfenced writeMode = iota // nothing
	fenced                    // the ownership that the caller names, and the chain
	asHolder                  // the ownership that the store has or had, and the chain: see Holder
)

// write is one call of UpdateCheckpoint.
type write struct {
	mode     writeMode
	fence    Ownership
	sequence *int64
	record   checkpointRecord
	value    string
	ops      []clientv3.Op
	release  bool // gives the partition up
	done     chan error
}

// foldsInto reports whether w need not be written if next, which comes after it, is.
func (w *write) foldsInto(next *write) bool {
	return w.mode == next.mode && w.fence.ETag == next.fence.ETag && !w.release && len(w.ops) == 0 && len(next.ops) == 0
}

// flight is what one partition contributes to a transaction: writes of which the last is sent.
type flight struct {
	*write // the last

	lane   *lane
	writes []*write
	etag   int64 // the ownership that is compared, 0 for none
	chain  int64 // the checkpoint that is compared
	ever   bool  // asHolder: the store has held the partition

	// Of a release: what stands there if it fails.
	term    *lease.Term
	claimID string
}

// aim fixes what a flight is compared with, as the store knows it now. The error is one with which nothing need be
// sent.
func (s *Store) aim(f *flight) error {
	if f.mode == unfenced {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.mode == fenced {
		t, err := s.current(f.lane.ownership, f.fence.ETag)
		if err != nil {
			return err
		}
		t.wrote = true
		f.etag, f.chain = t.etag, t.chain
		if f.release {
			t.held = false // whatever becomes of the write: a take-over must not bring the partition back
			f.term, f.claimID = t.term, t.claimID
		}
		return nil
	}
	t := s.tenures[f.lane.ownership]
	if t == nil {
		return nil
	}
	f.refuse(func(w *write) error {
		if t.floor == nil || w.sequence == nil || *w.sequence >= *t.floor {
			return nil
		}
		return fmt.Errorf("%w: sequence number %d is below %d, where another owner has left partition %s: "+
			"it comes from a reader of an earlier ownership", ErrOwnershipLost, *w.sequence, *t.floor, quote(f.lane.partition))
	})
	if len(f.writes) == 0 {
		return ErrOwnershipLost // each has been told why
	}
	t.wrote = true
	f.ever, f.etag, f.chain = true, t.etag, t.chain
	return nil
}

// refuse answers those writes to which no says why and leaves the flight with the others.
func (f *flight) refuse(no func(*write) error) {
	var left []*write
	for _, w := range f.writes {
		if err := no(w); err != nil {
			w.done <- err
			continue
		}
		left = append(left, w)
	}
	if f.writes = left; len(left) > 0 {
		f.write = left[len(left)-1]
	}
}

// compares are what must hold, as far as it is known, for the write to be right.
func (f *flight) compares() []clientv3.Cmp {
	switch {
	case f.mode == unfenced:
		return nil
	case f.mode == asHolder && !f.ever:
		return []clientv3.Cmp{unchanged(f.lane.ownership, 0)}
	default:
		return []clientv3.Cmp{unchanged(f.lane.ownership, f.etag), unchanged(f.lane.checkpoint, f.chain)}
	}
}

// then is what is applied together, or not at all.
func (f *flight) then() []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpPut(f.lane.checkpoint, f.value)}
	if f.release {
		ops = append(ops, clientv3.OpDelete(f.lane.ownership))
	}
	return append(ops, f.ops...)
}

func (f *flight) size() int {
	return 2*len(f.lane.ownership) + 4*len(f.lane.checkpoint) + len(f.value) + 64
}

// part is the write as a transaction of its own, which on failure reads what stands there instead.
func (f *flight) part() part {
	p := part{
		compares: f.compares(),
		then:     f.then(),
		otherwise: func() []clientv3.Op {
			return []clientv3.Op{clientv3.OpGet(f.lane.ownership), clientv3.OpGet(f.lane.checkpoint)}
		},
		likely: len(f.ops) == 0,
		depth:  3 + len(f.ops),
		size:   f.size(),
	}
	if f.mode == asHolder && f.ever {
		// A partition that nobody owns may be written as well, by whoever has held it.
		reads := p.otherwise
		p.otherwise = func() []clientv3.Op {
			free := []clientv3.Cmp{unchanged(f.lane.ownership, 0), unchanged(f.lane.checkpoint, f.chain)}
			return []clientv3.Op{clientv3.OpTxn(free, p.then, reads())}
		}
		p.depth, p.size = p.depth+2, 2*p.size
	}
	return p
}

// errAgain asks for a flight to be sent again, compared with what its answer showed.
var errAgain = fmt.Errorf("%w: overtaken by a renewal of its own", ErrOwnershipLost)

// land reads from an answer what became of a flight and keeps what the store learns from it.
func (s *Store) land(f *flight, out outcome) error {
	if out.err != nil {
		return out.err
	}
	inner := out.TxnResponse
	if !inner.Succeeded && f.mode == asHolder && f.ever {
		inner = inner.Responses[0].GetResponseTxn()
	}
	if inner.Succeeded {
		s.noteWritten(f, out.revision)
		return nil
	}
	owner, found := rangeOne(inner.Responses[0]), rangeOne(inner.Responses[1])
	if found != nil {
		if record, err := decodeCheckpoint(found.Value); err == nil && record.WriteID == f.record.WriteID {
			s.noteWritten(f, found.ModRevision)
			return nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenures[f.lane.ownership]
	var revision int64
	if found != nil {
		revision = found.ModRevision
	}
	// An earlier copy may have been applied, and what it wrote replaced since. If nothing was written since, it was not.
	unknown := out.repeated && revision != f.chain
	holds := owner != nil && owner.ModRevision == f.etag
	own := owner != nil && s.isOwnRecord(owner)
	if f.mode == asHolder && f.ever && !holds {
		if own {
			f.etag = owner.ModRevision
			return errAgain
		}
		holds = owner == nil // nobody owns it: the chain has failed
	}
	if !holds {
		if t != nil && t.etag == f.etag && !own {
			s.endTenure(t, "a checkpoint found another owner")
		}
		return unknownIf(unknown, fmt.Errorf("%w: the checkpoint of partition %s was rejected",
			ErrOwnershipLost, quote(f.lane.partition)))
	}
	if f.mode == asHolder && t != nil && t.chain == f.chain {
		t.chain = revision
		if owner == nil && found != nil {
			// Another owner has come and gone: what this reader still has may lie behind what that one left.
			if record, err := decodeCheckpoint(found.Value); err == nil {
				t.floor = record.SequenceNumber
			}
		}
	}
	return unknownIf(unknown, fmt.Errorf("%w: partition %s, at revision %d instead of %d",
		ErrCheckpointConflict, quote(f.lane.partition), revision, f.chain))
}

// isOwnRecord reports whether a claim of this store put an ownership there.
func (s *Store) isOwnRecord(kv *mvccpb.KeyValue) bool {
	record, err := decodeOwnership(kv.Value)
	return err == nil && s.isOwnID(record.ClaimID)
}

// noteWritten keeps the revision of an owner's checkpoint, which its next one is chained to.
func (s *Store) noteWritten(f *flight, revision int64) {
	if f.mode == unfenced {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenures[f.lane.ownership]
	if t == nil {
		return
	}
	if f.release {
		s.log.Info("partition released", zap.Stringer("group", t.group), zap.String("partition", t.partition),
			zap.String("owner", t.owner), zap.Int64("revision", t.etag))
	}
	t.lastWrite = max(t.lastWrite, revision)
	if revision > t.gained { // an earlier one is what the tenure's claim has read
		t.chain = max(t.chain, revision)
	}
}

// fold takes from a queue the longest run of writes that the last of them covers.
func fold(queue []*write) (folded, rest []*write) {
	n := 1
	for n < len(queue) && queue[n-1].foldsInto(queue[n]) {
		n++
	}
	return slices.Clone(queue[:n]), queue[n:]
}
