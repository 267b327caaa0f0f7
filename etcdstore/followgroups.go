package etcdstore

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// lookPause is how long after a look at groups that have changed the next one is: checkpoints change all the time.
const lookPause = 100 * time.Millisecond

// FollowGroups tells of the groups under the store's prefix: of all that there are, in no order, and then of those that
// have changed, at most ten times a second and each once, until ctx ends or the store closes. A group of which nothing
// is left is told of once more, as an empty one. The snapshot, checkpoints included, is only lent: it changes once tell
// has returned.
//
// Errors: ctx's, at its end; [ErrClosed]; [lease.ErrPermissionDenied].
func (s *Store) FollowGroups(ctx context.Context, tell func(*Snapshot)) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	g := &groups{store: s, all: make(map[Group]*Snapshot), changed: make(map[Group]bool), wake: make(chan struct{}, 1)}
	followed := make(chan error, 1)
	go func() { // it ends with ctx, and this waits for it
		followed <- s.follow(ctx, feed{
			from: s.keys.prefix + "/", to: clientv3.GetPrefixRangeEnd(s.keys.prefix + "/"), reset: g.reset, apply: g.apply,
		})
	}()
	for {
		select {
		case err := <-followed:
			return err
		case <-g.wake:
		}
		g.tell(tell)
		select {
		case err := <-followed:
			return err
		case <-time.After(lookPause):
		}
	}
}

// groups are all groups under a prefix, as their feed has them.
type groups struct {
	store *Store
	wake  chan struct{}

	mu      sync.Mutex
	all     map[Group]*Snapshot
	changed map[Group]bool // not told of yet
}

// tell tells of the groups that have changed.
func (g *groups) tell(tell func(*Snapshot)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for group := range g.changed {
		s := g.all[group]
		tell(s)
		if s.IsEmpty() {
			delete(g.all, group)
		}
	}
	clear(g.changed)
}

func (g *groups) reset(kvs []*mvccpb.KeyValue, revision int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.all
	g.all = make(map[Group]*Snapshot, len(before))
	for group := range before {
		g.of(group, revision) // to be told that nothing is left of it, if so
	}
	for _, kv := range kvs {
		if group, ok := g.store.keys.groupOf(string(kv.Key)); ok {
			g.of(group, revision).set(g.store, kv)
		}
	}
	g.wakeUp()
}

func (g *groups) apply(events []*clientv3.Event, revision int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range events {
		group, ok := g.store.keys.groupOf(string(e.Kv.Key))
		switch {
		case !ok:
		case e.Type == clientv3.EventTypeDelete:
			g.of(group, revision).remove(g.store, string(e.Kv.Key))
		default:
			g.of(group, revision).set(g.store, e.Kv)
		}
	}
	g.wakeUp()
}

// of returns a group that has changed. The mutex is held.
func (g *groups) of(group Group, revision int64) *Snapshot {
	s := g.all[group]
	if s == nil {
		fresh := newSnapshot(group, revision, true)
		s = &fresh
		g.all[group] = s
	}
	s.Revision = revision
	g.changed[group] = true
	return s
}

func (g *groups) wakeUp() {
	select {
	case g.wake <- struct{}{}:
	default: // it will look
	}
}
