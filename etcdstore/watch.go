package etcdstore

import (
	"context"
	"maps"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// WatchOptions changes what a [Mirror] holds.
type WatchOptions struct {
	// Checkpoints puts the group's checkpoints in the mirror. They change all the time, and each change is sent to each
	// mirror. Defaults to false.
	Checkpoints bool
}

// Mirror follows a group's records as etcd changes them. It demands a member with a leader, survives compaction and
// lost connections by listing again, and lists again every ten minutes or so in any case. While etcd cannot be reached
// it shows what was last seen: it is for noticing and for looking, and what is decided on it must be compared in etcd.
type Mirror struct {
	store    *Store
	end      context.CancelCauseFunc
	stopped  chan struct{}
	from, to string // the range of keys that it follows

	mu      sync.Mutex
	current Snapshot      // the maps change in place and are never handed out
	view    *Snapshot     // a copy of current, made when somebody asks
	others  *Snapshot     // a copy of all but the ownerships and the checkpoints, likewise
	changed chan struct{} // closed when view is out of date
	err     error

	// What Changes has not told yet: the partitions whose ownerships have changed, or that all may have.
	moved map[string]bool
	anew  bool
}

// Watch returns a mirror of a group, which follows it until it is closed or the store closes. It returns once the group
// has been read, for which ctx is the limit. Errors: [ErrInvalidArgument]; [ErrClosed]; ctx's error;
// [lease.ErrPermissionDenied].
func (s *Store) Watch(ctx context.Context, group Group, options *WatchOptions) (*Mirror, error) {
	if err := validateGroup(group); err != nil {
		return nil, err
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	lives, end := context.WithCancelCause(s.lives)
	m := &Mirror{
		store:   s,
		end:     end,
		stopped: make(chan struct{}),
		changed: make(chan struct{}),
		anew:    true,
	}
	m.current = Snapshot{Group: group}
	listed := make(chan struct{})
	// Kinds sort so that checkpoints come first: what is wanted is one range with or without them.
	f := feed{from: s.keys.group(group) + string(kindControl) + "/", to: clientv3.GetPrefixRangeEnd(s.keys.group(group))}
	if options != nil && options.Checkpoints {
		f.from = s.keys.group(group)
	}
	withCheckpoints := options != nil && options.Checkpoints
	f.reset = func(kvs []*mvccpb.KeyValue, revision int64) {
		m.reset(kvs, revision, withCheckpoints)
		select {
		case <-listed:
		default:
			close(listed)
		}
	}
	f.apply = m.apply
	m.from, m.to = f.from, f.to
	s.running.Go(func() {
		defer close(m.stopped)
		m.stop(s.follow(lives, f))
	})
	select {
	case <-listed:
		return m, nil
	case <-m.stopped:
		return nil, m.Err()
	case <-ctx.Done():
		m.Close()
		return nil, context.Cause(ctx)
	}
}

// Snapshot returns the group as the mirror sees it now. It reads no etcd.
func (m *Mirror) Snapshot() *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view == nil {
		view := m.copyOthers()
		view.Ownerships = maps.Clone(m.current.Ownerships)
		view.Checkpoints = maps.Clone(m.current.Checkpoints)
		m.view = &view
	}
	return m.view
}

// Changes returns the group as Snapshot does, but without checkpoints, and of the ownerships only those that have
// changed since Changes was last called; gone are the partitions whose ownership was deleted. With anew the ownerships
// are all there are, and nothing that was told before counts. It is for one follower of a large group, which keeps what
// it is told: its cost is what has changed. It reads no etcd.
func (m *Mirror) Changes() (s *Snapshot, gone []string, anew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	view := m.copyOthers()
	if anew = m.anew; anew {
		view.Ownerships = maps.Clone(m.current.Ownerships)
	} else {
		view.Ownerships = make(map[string]Ownership, len(m.moved))
	}
	for id := range m.moved {
		if o, there := m.current.Ownerships[id]; there {
			view.Ownerships[id] = o
		} else if !anew {
			gone = append(gone, id)
		}
	}
	m.anew, m.moved = false, make(map[string]bool)
	return &view, gone, anew
}

// copyOthers returns a snapshot that lacks the ownerships and the checkpoints. The mutex is held.
func (m *Mirror) copyOthers() Snapshot {
	if m.others == nil {
		others := m.current
		others.Ownerships, others.Checkpoints = nil, nil
		others.Members = maps.Clone(others.Members)
		others.Controls = others.Controls.clone()
		others.Reserved = maps.Clone(others.Reserved)
		others.Corrupt = maps.Clone(others.Corrupt)
		m.others = &others
	}
	view := *m.others
	view.Revision, view.changed = m.current.Revision, m.changed
	return view
}

// UpToDate asks etcd whether a snapshot of the mirror still tells what there is. It is for what rests on nothing having
// happened, as snapshots can be late and leave out what was undone soon. That something was deleted does not count.
//
// Errors: [ErrClosed]; ctx's error; [lease.ErrPermissionDenied].
func (m *Mirror) UpToDate(ctx context.Context, s *Snapshot) (bool, error) {
	ctx, leave, err := m.store.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	answer, err := m.store.read(ctx, m.from, clientv3.WithRange(m.to), clientv3.WithMinModRev(s.Revision+1),
		clientv3.WithKeysOnly(), clientv3.WithLimit(1))
	if err != nil {
		return false, err
	}
	return len(answer.Kvs) == 0, nil
}

// Err returns why the mirror follows its group no longer, or nil while it does: [ErrClosed], or
// [lease.ErrPermissionDenied].
func (m *Mirror) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close ends the mirror. Its snapshots stay as they are. Closing again does nothing.
func (m *Mirror) Close() {
	m.end(ErrClosed)
	<-m.stopped
}

func (m *Mirror) stop(err error) {
	m.end(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
	m.view = nil
	close(m.changed) // for good: who looks again must not wait either
	m.store.log.Debug("mirror stopped", zap.Stringer("group", m.current.Group), zap.Error(err))
}

// reset begins anew from a listing.
func (m *Mirror) reset(kvs []*mvccpb.KeyValue, revision int64, withCheckpoints bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = newSnapshot(m.current.Group, revision, withCheckpoints)
	for _, kv := range kvs {
		m.current.set(m.store, kv)
	}
	m.anew, m.others = true, nil
	m.publish()
}

// apply takes in the changes of one or more whole revisions.
func (m *Mirror) apply(events []*clientv3.Event, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		var kd kind
		var name string
		if e.Type == clientv3.EventTypeDelete {
			kd, name = m.current.remove(m.store, string(e.Kv.Key))
		} else {
			kd, name = m.current.set(m.store, e.Kv)
		}
		if kd == kindOwnership && m.moved != nil {
			m.moved[name] = true
		}
		if kd != kindOwnership && kd != kindCheckpoint {
			m.others = nil
		}
	}
	if m.others != nil && !maps.Equal(m.others.Corrupt, m.current.Corrupt) {
		m.others = nil
	}
	m.current.Revision = revision
	m.publish()
}

// publish makes the next Snapshot a new one and tells those who wait for it. The mutex is held.
func (m *Mirror) publish() {
	m.view = nil
	close(m.changed)
	m.changed = make(chan struct{})
}
