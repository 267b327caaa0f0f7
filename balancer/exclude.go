package balancer

import (
	"slices"
	"time"

	"go.uber.org/zap"
)

// exclusion is a record that has a member passed over, to be removed in time.
type exclusion struct {
	owner      string
	partitions []string
	until      time.Time
}

// exclude has this member passed over for a partition that it does not get to run, while there is another.
func (w *worker) exclude(s *slot, reason string) {
	id, t := s.id, w.trust
	if t == nil || len(w.view.Members) < 2 {
		return
	}
	w.running.Go(func() {
		if err := w.store.Exclude(t.owned, w.group, w.options.OwnerID, reason, id); err != nil {
			w.log.Warn("could not have the partition given to another member", zap.String("partition", id), zap.Error(err))
			return
		}
		w.post(func(w *worker) { w.noteExcluded(w.options.OwnerID, reason, []string{id}) })
	})
}

// noteExcluded has records removed again in time that have a member passed over.
func (w *worker) noteExcluded(owner, reason string, partitions []string) {
	until := time.Now().Add(w.pace.excluded)
	w.excluded = append(w.excluded, exclusion{owner, partitions, until})
	w.wakeBy(until)
	for _, id := range partitions {
		w.emit(w.options.Events.Excluded, Event{
			Partition: id, OwnerID: owner, Revision: w.view.Revision, Reason: reason,
		})
		w.log.Warn("a member is passed over for a partition", zap.String("partition", id),
			zap.String("passed_over", owner), zap.String("reason", reason))
	}
}

// readmit removes the records whose time has come. Those that it cannot go with the lease.
func (w *worker) readmit(now time.Time) {
	if w.trust == nil {
		return
	}
	t := w.trust
	w.excluded = slices.DeleteFunc(w.excluded, func(e exclusion) bool {
		if now.Before(e.until) {
			w.wakeBy(e.until)
			return false
		}
		w.running.Go(func() {
			if err := w.store.Readmit(t.owned, w.group, e.owner, e.partitions...); err != nil {
				w.log.Warn("could not readmit a member", zap.String("passed_over", e.owner), zap.Error(err))
			}
		})
		return true
	})
}
