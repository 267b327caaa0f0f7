package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrOwned means that a checkpoint was not rewritten since somebody owns the partition, who would go on from where it
// is and write it back. The detail is an [OwnedError].
var ErrOwned = errors.New("partition is owned")

// OwnedError names the partitions that are owned. It is an [ErrOwned].
type OwnedError struct{ Ownerships []Ownership }

func (e *OwnedError) Error() string {
	all := make([]string, 0, len(e.Ownerships))
	for _, o := range e.Ownerships {
		all = append(all, quote(o.PartitionID)+" by "+quote(o.OwnerID))
	}
	const most = 8
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("and %d more", len(all)-most))
	}
	return ErrOwned.Error() + ": " + strings.Join(all, ", ")
}

// Is reports whether target is [ErrOwned].
func (e *OwnedError) Is(target error) bool { return target == ErrOwned }

// RewriteOptions changes how checkpoints are rewritten.
type RewriteOptions struct {
	// TakeAway takes partitions away from their owners, in the transaction that rewrites their checkpoints: what the
	// owner does then is refused, and whoever claims the partition next begins at the new one. Defaults to false: the
	// checkpoints of partitions that are owned are not rewritten.
	TakeAway bool

	// Progress is told after each batch how many have been rewritten. Defaults to nil.
	Progress func(done int)
}

// RewriteCheckpoints sets checkpoints by hand, also back, as long as nothing has become of their partitions since the
// snapshot by which that was decided: nobody has claimed them or written their checkpoints, and those that are taken
// away are still under the same claim, whatever its owner has written since. One with neither a sequence number nor an
// offset is deleted. They are rewritten in batches, each as a whole or not at all, in the order given: those before the
// first that failed are done.
//
// Errors: [ErrInvalidArgument] and [ErrOwned] before anything is sent; [ErrCheckpointConflict] if something has become
// of a partition since the snapshot: its batch has changed nothing; [ErrClosed]; ctx's error, with [ErrOutcomeUnknown]
// if a batch may have been or may yet be applied; [lease.ErrPermissionDenied].
func (s *Store) RewriteCheckpoints(
	ctx context.Context, since *Snapshot, checkpoints []Checkpoint, options *RewriteOptions,
) error {
	if options == nil {
		options = &RewriteOptions{}
	}
	if err := s.checkRewrites(since, checkpoints, options); err != nil {
		return err
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for done := 0; done < len(checkpoints); {
		batch, size := s.limits.fitRewrites(checkpoints[done:])
		err := s.rewriteBatch(ctx, since, batch)
		if err != nil && len(batch) > 1 && s.limits.learn(err, 2*len(batch), size) {
			continue // this server takes less at a time
		}
		if err != nil {
			return fmt.Errorf("etcdstore: %d of %d checkpoints were rewritten: %w", done, len(checkpoints), err)
		}
		done += len(batch)
		if options.Progress != nil {
			options.Progress(done)
		}
	}
	return nil
}

// fitRewrites returns those of the checkpoints that go into one transaction, at least one, and how large it is,
// roughly. Each is two operations beside two compares.
func (l *limits) fitRewrites(checkpoints []Checkpoint) (batch []Checkpoint, size int) {
	ops, bytes := int(l.ops.Load()), int(l.bytes.Load())
	for i, c := range checkpoints {
		own := 6*(len(c.String())+len(c.PartitionID)) + len(c.OwnerID) + 512
		if c.Offset != nil {
			own += len(*c.Offset)
		}
		if i > 0 && (2*(i+1) > ops || size+own > bytes) {
			return checkpoints[:i], size
		}
		size += own
	}
	return checkpoints, size
}

func (s *Store) checkRewrites(since *Snapshot, checkpoints []Checkpoint, options *RewriteOptions) error {
	var p problems
	owned := &OwnedError{}
	seen := make(map[string]bool, len(checkpoints))
	for i, c := range checkpoints {
		p.path, p.index = "checkpoints", i+1
		if c.Group != since.Group {
			p.add("Group", c.String(), since.Group.String()+", the snapshot's")
		}
		p.name("PartitionID", c.PartitionID)
		if seen[c.PartitionID] {
			p.add("PartitionID", c.PartitionID, "each partition once")
		}
		seen[c.PartitionID] = true
		p.text("OwnerID", c.OwnerID)
		if c.Offset != nil {
			p.text("Offset", *c.Offset)
		}
		record := checkpointRecord{Offset: c.Offset, OwnerID: c.OwnerID}
		p.size(s.keys.key(c.Group, kindCheckpoint, c.PartitionID), record.encode())
		if o := since.Ownerships[c.PartitionID]; o.OwnerID != "" && !options.TakeAway {
			owned.Ownerships = append(owned.Ownerships, o)
		}
	}
	if len(p.all) > 0 {
		return errors.Join(p.all...)
	}
	if len(owned.Ownerships) > 0 {
		return owned
	}
	return nil
}

// rewriteBatch rewrites checkpoints in one transaction. Where somebody owns the partition the ownership must be the one
// that was seen, and it is deleted: that alone keeps its owner from writing, and a late copy of this from being applied
// again. Elsewhere the records must be no newer than the snapshot; that they have gone does no harm.
func (s *Store) rewriteBatch(ctx context.Context, since *Snapshot, batch []Checkpoint) error {
	var compares []clientv3.Cmp
	var then, otherwise []clientv3.Op
	ids := make([]string, len(batch)) // of the writes
	for i, c := range batch {
		ownership := s.keys.key(c.Group, kindOwnership, c.PartitionID)
		checkpoint := s.keys.key(c.Group, kindCheckpoint, c.PartitionID)
		otherwise = append(otherwise, clientv3.OpGet(ownership), clientv3.OpGet(checkpoint))
		if o := since.Ownerships[c.PartitionID]; o.OwnerID != "" {
			etag, _ := parseETag(o.ETag)
			compares = append(compares, unchanged(ownership, etag))
		} else {
			for _, key := range []string{ownership, checkpoint} {
				compares = append(compares, clientv3.Compare(clientv3.ModRevision(key), "<", since.Revision+1))
			}
		}
		then = append(then, clientv3.OpDelete(ownership))
		if c.SequenceNumber == nil && c.Offset == nil {
			then = append(then, clientv3.OpDelete(checkpoint))
			continue
		}
		ids[i] = s.newID()
		record := checkpointRecord{c.SequenceNumber, c.Offset, c.OwnerID, time.Now(), ids[i]}
		then = append(then, clientv3.OpPut(checkpoint, string(record.encode())))
	}
	answer, err := s.send(ctx, compares, then, otherwise)
	if err != nil || answer.Succeeded {
		return err
	}
	err = ErrCheckpointConflict // if what was there has gone since
	for i, c := range batch {
		ownership, checkpoint := rangeOne(answer.Responses[2*i]), rangeOne(answer.Responses[2*i+1])
		if checkpoint != nil && ids[i] != "" {
			if found, bad := decodeCheckpoint(checkpoint.Value); bad == nil && found.WriteID == ids[i] {
				return nil // an earlier copy of this batch has been applied
			}
		}
		conflict := func(what string, revision int64) {
			err = fmt.Errorf("%w: partition %s %s at revision %d", ErrCheckpointConflict, quote(c.PartitionID), what, revision)
		}
		switch owned := since.Ownerships[c.PartitionID].OwnerID != ""; {
		case ownership != nil && ownership.ModRevision > since.Revision:
			conflict("was claimed", ownership.ModRevision)
		case owned && ownership == nil:
			conflict("is owned no longer, as was found", answer.Header.Revision)
		case !owned && checkpoint != nil && checkpoint.ModRevision > since.Revision:
			conflict("has another checkpoint", checkpoint.ModRevision)
		}
	}
	return unknownIf(answer.repeated, err)
}
