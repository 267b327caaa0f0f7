package proof

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Recorder keeps etcd's history, from its first revision on, as it happens: what is compacted later stays known.
type Recorder struct {
	stop    context.CancelFunc
	stopped chan struct{}

	mu       sync.Mutex
	changes  []Change
	revision int64 // up to which it was told
	missed   []string
	changed  chan struct{}
}

// everything is the first key of all.
const everything = "\x00"

// Record records what etcd holds under a prefix; under "" all, and then no revision may be missing. now tells the time,
// and see is called with what is new.
func Record(client *clientv3.Client, prefix string, now func() time.Duration, see func([]Change)) *Recorder {
	return RecordFrom(client, prefix, 1, now, see)
}

// RecordFrom is [Record] from after a revision on.
func RecordFrom(
	client *clientv3.Client, prefix string, revision int64, now func() time.Duration, see func([]Change),
) *Recorder {
	ctx, stop := context.WithCancel(context.Background())
	r := &Recorder{stop: stop, stopped: make(chan struct{}), changed: make(chan struct{}), revision: revision}
	from, to := prefix, clientv3.WithPrefix()
	if prefix == "" {
		from, to = everything, clientv3.WithFromKey()
	}
	go func() {
		defer close(r.stopped)
		for lost := error(nil); ctx.Err() == nil && !errors.Is(lost, rpctypes.ErrCompacted); {
			// It ends where the member that is watched has no leader.
			events := client.Watch(clientv3.WithRequireLeader(ctx), from, to, clientv3.WithRev(max(r.Told()+1, 1)))
			for response := range events {
				if lost = response.Err(); lost != nil {
					break
				}
				changes := Changes(response.Events)
				for i := range changes {
					changes[i].Told = now()
				}
				r.take(changes, prefix == "")
				see(changes)
			}
			if errors.Is(lost, rpctypes.ErrCompacted) {
				r.mu.Lock()
				r.missed = append(r.missed, fmt.Sprintf("after revision %d: %v", r.revision, lost))
				r.mu.Unlock()
			}
		}
	}()
	return r
}

func (r *Recorder) take(changes []Change, gapless bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		if gapless && c.Revision > r.revision+1 || c.Revision < r.revision {
			r.missed = append(r.missed, fmt.Sprintf("revision %d was told after %d", c.Revision, r.revision))
		}
		r.revision = c.Revision
	}
	r.changes = append(r.changes, changes...)
	close(r.changed)
	r.changed = make(chan struct{})
}

// Told returns the revision up to which all is recorded.
func (r *Recorder) Told() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revision
}

// Await waits until a change at that revision or a later one is recorded.
func (r *Recorder) Await(ctx context.Context, revision int64) error {
	for {
		r.mu.Lock()
		told, changed, missed := r.revision, r.changed, r.missed
		r.mu.Unlock()
		switch {
		case len(missed) > 0:
			return fmt.Errorf("proof: the history has a gap: %s", missed[0])
		case told >= revision:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("proof: waiting for revision %d, told up to %d: %w", revision, told, ctx.Err())
		}
	}
}

// Changes returns what is recorded of a group, and the gaps in the recording.
func (r *Recorder) Changes(group string) (of []Change, gaps []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.changes {
		if c.Group == group {
			of = append(of, c)
		}
	}
	return of, r.missed
}

// Since returns what is recorded after a revision, of all groups.
func (r *Recorder) Since(revision int64) (after []Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.changes {
		if c.Revision > revision {
			after = append(after, c)
		}
	}
	return after
}

// Stop ends the recording and waits for its goroutine.
func (r *Recorder) Stop() {
	r.stop()
	<-r.stopped
}
