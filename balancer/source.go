package balancer

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// followSource asks the source at intervals, and whenever the worker wants to know.
func (w *worker) followSource(ctx context.Context) {
	timer := time.NewTimer(w.options.SourceInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.askNow:
		}
		ids, err := w.source(ctx)
		if ctx.Err() != nil {
			return
		}
		w.post(func(w *worker) { w.sourced(ids, err) })
		timer.Reset(w.options.SourceInterval)
	}
}

// askSource has the source asked soon.
func (w *worker) askSource() {
	select {
	case w.askNow <- struct{}{}:
	default: // it will be
	}
}

// sourced takes in what the source has named.
func (w *worker) sourced(ids []string, err error) {
	if err != nil {
		w.log.Warn("the source of the partitions failed; it is asked again", zap.Error(err))
	} else {
		w.know(ids)
		w.growBy(ids)
	}
	now := time.Now()
	for _, s := range w.slots {
		if !s.unknown {
			continue
		}
		if w.known[s.id] {
			s.unknown = false
			if s.phase == resting {
				s.rest(now)
			}
		} else if s.phase == resting {
			w.handlerFailed(s, errUnknownPartition)
			s.unknown = false // it is asked for again when its time has come
		}
	}
}

// growBy adds to the group's partitions what they lack.
func (w *worker) growBy(ids []string) {
	t := w.trust
	if t == nil || w.adding || w.leaving || !lacks(w.view.Snapshot, ids) {
		return
	}
	w.adding = true
	w.running.Go(func() {
		err := w.store.AddPartitions(t.owned, w.group, ids)
		if err != nil && !errors.Is(err, etcdstore.ErrCorruptRecord) { // which was told when it was seen
			w.log.Error("the group's partitions could not be added to", zap.Error(err))
		}
		w.post(func(w *worker) { w.adding = false })
	})
}

// lacks reports whether some of the ids are not among the group's partitions.
func lacks(s *etcdstore.Snapshot, ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		_, found := slices.BinarySearch(s.Controls.Partitions, id)
		return !found
	})
}
