package etcdstore

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Snapshot is a group as it was at one revision of etcd. Maps are keyed by partition id, or by owner id for members,
// and must not be changed. An ownership that cannot be read is among both the Ownerships, as owned by nobody, and the
// Corrupt: it can be claimed with its etag.
type Snapshot struct {
	Group       Group
	Revision    int64
	Ownerships  map[string]Ownership
	Checkpoints map[string]Checkpoint // nil unless asked for
	Members     map[string]Member
	Controls    Controls
	Reserved    map[string][]string     // partitions that are kept for an owner while it is away, by owner id
	Corrupt     map[string]*RecordError // records that cannot be read, by key

	changed <-chan struct{}
}

// Changed is closed when the group has changed since the snapshot or its mirror has stopped.
func (s *Snapshot) Changed() <-chan struct{} { return s.changed }

// IsEmpty reports whether nothing is kept of the group. Controls alone, which operators may have left, do not make one.
func (s *Snapshot) IsEmpty() bool {
	return len(s.Ownerships)+len(s.Checkpoints)+len(s.Members)+len(s.Corrupt)+len(s.Controls.Partitions) == 0
}

func newSnapshot(group Group, revision int64, withCheckpoints bool) Snapshot {
	s := Snapshot{
		Group:      group,
		Revision:   revision,
		Ownerships: make(map[string]Ownership),
		Members:    make(map[string]Member),
		Controls:   newControls(),
		Reserved:   make(map[string][]string),
		Corrupt:    make(map[string]*RecordError),
	}
	if withCheckpoints {
		s.Checkpoints = make(map[string]Checkpoint)
	}
	return s
}

// ListGroups returns all groups under the store's prefix with all that is kept of them, checkpoints included, as they
// were at one revision, in the order of their names. They do not follow changes: see [Store.Watch] for that. It reads
// everything in one request.
//
// Errors: [ErrClosed]; ctx's error; [lease.ErrPermissionDenied]. What is no group's is passed over.
func (s *Store) ListGroups(ctx context.Context) ([]*Snapshot, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	resp, err := s.read(ctx, s.keys.prefix+"/", clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	var all []*Snapshot
	for _, kv := range resp.Kvs {
		group, ok := s.keys.groupOf(string(kv.Key))
		if !ok {
			continue
		}
		// A group's keys stand together.
		if len(all) == 0 || all[len(all)-1].Group != group {
			snapshot := newSnapshot(group, resp.Header.Revision, true)
			all = append(all, &snapshot)
		}
		all[len(all)-1].set(s, kv)
	}
	return all, nil
}

// set takes in one record and returns whose it is. What cannot be read replaces what could: the old content is gone.
func (s *Snapshot) set(store *Store, kv *mvccpb.KeyValue) (kd kind, name string) {
	key := string(kv.Key)
	_, kd, name, err := store.keys.parse(key)
	if errors.Is(err, errUnknownKind) {
		return kd, name // a later version wrote it
	}
	if err != nil {
		s.Corrupt[key] = newRecordError(key, kv.ModRevision, err)
		return kd, name
	}
	s.drop(key, kd, name)
	var corrupt *RecordError
	switch kd {
	case kindOwnership:
		var o Ownership
		if o, corrupt = readOwnership(s.Group, name, kv); corrupt != nil {
			o = Ownership{Group: s.Group, PartitionID: name, ETag: corrupt.ETag}
		}
		s.Ownerships[name] = o
	case kindCheckpoint:
		var c Checkpoint
		if c, corrupt = readCheckpoint(s.Group, name, kv); corrupt == nil {
			s.Checkpoints[name] = c
		}
	case kindMember:
		var member Member
		member, err = decodeMember(kv.Value)
		switch {
		case err != nil:
		case member.OwnerID != name:
			err = &fieldError{Field: fieldOwnerID, Value: member.OwnerID, Err: errors.New("not the one in the key")}
		default:
			s.Members[name] = member
		}
	case kindControl:
		err = s.Controls.set(name, kv.Value)
	case kindReserved:
		var ids []string
		if ids, err = decodePartitions(kv.Value); err == nil {
			s.Reserved[name] = ids
		}
	}
	if err != nil {
		corrupt = newRecordError(key, kv.ModRevision, err)
	}
	if corrupt != nil {
		s.Corrupt[key] = corrupt
	}
	return kd, name
}

// remove takes one record out and returns whose it was.
func (s *Snapshot) remove(store *Store, key string) (kd kind, name string) {
	delete(s.Corrupt, key)
	_, kd, name, err := store.keys.parse(key)
	if err == nil {
		s.drop(key, kd, name)
	}
	return kd, name
}

func (s *Snapshot) drop(key string, kd kind, name string) {
	delete(s.Corrupt, key)
	switch kd {
	case kindOwnership:
		delete(s.Ownerships, name)
	case kindCheckpoint:
		delete(s.Checkpoints, name)
	case kindMember:
		delete(s.Members, name)
	case kindControl:
		s.Controls.remove(name)
	case kindReserved:
		delete(s.Reserved, name)
	}
}
