package etcdstore

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ListOwnership returns the group's ownerships, one for each partition that has a record. One that nobody can lose,
// since it has no lease (a mirrored or restored etcd), is listed as owned by nobody: it can be claimed with its etag.
//
// Errors: [ErrInvalidArgument]; [ErrClosed]; ctx's error; [lease.ErrPermissionDenied]. Beside an [ErrCorruptRecord],
// whose [RecordError]s name the keys and their etags, the good records are returned.
func (s *Store) ListOwnership(ctx context.Context, group Group) ([]Ownership, error) {
	kvs, _, err := s.list(ctx, group, kindOwnership)
	if err != nil {
		return nil, err
	}
	ownerships := make([]Ownership, 0, len(kvs))
	var corrupt []error
	readable := kvs[:0]
	for _, kv := range kvs {
		o, bad := s.ownershipOf(kv)
		if bad != nil {
			corrupt = append(corrupt, bad)
			continue
		}
		ownerships, readable = append(ownerships, o), append(readable, kv)
	}
	s.noteListed(readable, ownerships)
	return ownerships, errors.Join(corrupt...)
}

// ListCheckpoints returns the group's checkpoints.
//
// Errors: [ErrInvalidArgument]; [ErrClosed]; ctx's error; [lease.ErrPermissionDenied]. Beside an [ErrCorruptRecord],
// whose [RecordError]s name the keys, the good records are returned.
func (s *Store) ListCheckpoints(ctx context.Context, group Group) ([]Checkpoint, error) {
	kvs, _, err := s.list(ctx, group, kindCheckpoint)
	if err != nil {
		return nil, err
	}
	checkpoints := make([]Checkpoint, 0, len(kvs))
	var corrupt []error
	for _, kv := range kvs {
		c, bad := s.checkpointOf(kv)
		if bad != nil {
			corrupt = append(corrupt, bad)
			continue
		}
		checkpoints = append(checkpoints, c)
	}
	return checkpoints, errors.Join(corrupt...)
}

// list reads all records of one kind, and the revision at which it did.
func (s *Store) list(ctx context.Context, group Group, kd kind) ([]*mvccpb.KeyValue, int64, error) {
	if err := validateGroup(group); err != nil {
		return nil, 0, err
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	resp, err := s.read(ctx, s.keys.key(group, kd, ""), clientv3.WithPrefix())
	if err != nil {
		return nil, 0, err
	}
	return resp.Kvs, resp.Header.Revision, nil
}

// ownershipOf decodes an ownership record.
func (s *Store) ownershipOf(kv *mvccpb.KeyValue) (Ownership, *RecordError) {
	group, _, partition, err := s.keys.parse(string(kv.Key))
	if err != nil {
		return Ownership{}, newRecordError(string(kv.Key), kv.ModRevision, err)
	}
	return readOwnership(group, partition, kv)
}

// readOwnership decodes the ownership record of a partition whose key has been read.
func readOwnership(group Group, partition string, kv *mvccpb.KeyValue) (Ownership, *RecordError) {
	record, err := decodeOwnership(kv.Value)
	if err != nil {
		return Ownership{}, newRecordError(string(kv.Key), kv.ModRevision, err)
	}
	if kv.Lease == 0 {
		record.OwnerID = ""
	}
	return Ownership{
		Group:            group,
		PartitionID:      partition,
		OwnerID:          record.OwnerID,
		ETag:             formatETag(kv.ModRevision),
		LastModifiedTime: record.LastModifiedTime,
		PreviousOwner:    record.PreviousOwner,
		Reason:           record.Reason,
	}, nil
}

// checkpointOf decodes a checkpoint record.
func (s *Store) checkpointOf(kv *mvccpb.KeyValue) (Checkpoint, *RecordError) {
	group, _, partition, err := s.keys.parse(string(kv.Key))
	if err != nil {
		return Checkpoint{}, newRecordError(string(kv.Key), kv.ModRevision, err)
	}
	return readCheckpoint(group, partition, kv)
}

// readCheckpoint decodes the checkpoint record of a partition whose key has been read.
func readCheckpoint(group Group, partition string, kv *mvccpb.KeyValue) (Checkpoint, *RecordError) {
	record, err := decodeCheckpoint(kv.Value)
	if err != nil {
		return Checkpoint{}, newRecordError(string(kv.Key), kv.ModRevision, err)
	}
	return record.checkpoint(group, partition), nil
}

func (r checkpointRecord) checkpoint(group Group, partition string) Checkpoint {
	return Checkpoint{
		Group:            group,
		PartitionID:      partition,
		OwnerID:          r.OwnerID,
		SequenceNumber:   r.SequenceNumber,
		Offset:           r.Offset,
		LastModifiedTime: r.LastModifiedTime,
	}
}

// noteListed remembers who owned what, so that the next claim can name its predecessor in the record.
func (s *Store) noteListed(kvs []*mvccpb.KeyValue, ownerships []Ownership) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, kv := range kvs {
		seen := seenOwner{etag: kv.ModRevision, owner: ownerships[i].OwnerID}
		if s.owners[string(kv.Key)] != seen { // mostly it is known from the listing before
			s.owners[string(kv.Key)] = seen
		}
	}
}
