package balancer

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// claimAgain is when a claim that was lost or failed is tried again, unless the group has changed before.
const claimAgain = time.Second

// batch is claims that go to etcd together, because what is to be said with them is the same.
type batch struct {
	slots   []*slot
	claims  []etcdstore.Ownership // as they are sent
	options etcdstore.ClaimOptions
}

// batches are the claims of one step.
type batches []*batch

func (b *batches) add(s *slot, etag string, options etcdstore.ClaimOptions) {
	var into *batch
	for _, other := range *b {
		o := other.options
		if o.Anew == options.Anew && o.Avoid == options.Avoid && o.Reason == options.Reason {
			into = other
		}
	}
	if into == nil {
		into = &batch{options: options}
		*b = append(*b, into)
	}
	into.slots = append(into.slots, s)
	into.claims = append(into.claims, etcdstore.Ownership{PartitionID: s.id, ETag: etag})
}

func (b *batches) size() int {
	n := 0
	for _, one := range *b {
		n += len(one.slots)
	}
	return n
}

// claim sends claims.
func (w *worker) claim(all *batches) {
	for _, b := range *all {
		for i, s := range b.slots {
			b.claims[i].Group, b.claims[i].OwnerID = w.group, w.options.OwnerID
			s.anew, s.freeSince = b.options.Anew, time.Time{}
			if s.place >= 0 {
				s.freeSince = w.view.holdings.freeSince[s.place]
			}
			s.enter(claiming)
		}
	}
	t := w.trust
	for _, b := range *all {
		if w.reservation != nil {
			b.options.Ops = w.reservation.Ops(w.reserved(func(*slot) bool { return true }))
		}
		w.running.Go(func() {
			won, err := w.store.ClaimOwnership(t.owned, b.claims, &b.options)
			w.post(func(w *worker) { w.claimed(t, b, won, err) })
		})
	}
}

// claimed takes in what has become of claims.
func (w *worker) claimed(t *trust, b *batch, won []etcdstore.Ownership, err error) {
	if err != nil && t.owned.Err() == nil {
		w.log.Warn("claims failed; they are tried again", zap.Int("claims", len(b.slots)), zap.Int("won", len(won)),
			zap.Error(err))
		if errors.Is(err, lease.ErrPermissionDenied) || errors.Is(err, etcdstore.ErrInvalidArgument) {
			w.fail(err)
		}
	}
	wins := make(map[string]etcdstore.Ownership, len(won))
	for _, o := range won {
		wins[o.PartitionID] = o
	}
	var passed []string
	for _, s := range b.slots {
		o, ok := wins[s.id]
		if !ok {
			w.claimLost(s)
			continue
		}
		passed = append(passed, s.id)
		s.ownership = o
		w.begin(s, t, b.options.Reason)
	}
	if b.options.Avoid != "" && len(passed) > 0 {
		w.noteExcluded(b.options.Avoid, b.options.Reason, passed)
	}
}

func (w *worker) claimLost(s *slot) {
	s.enter(idle)
	s.seenAt, s.retryAt = w.view.Revision, time.Now().Add(claimAgain)
	w.wakeBy(s.retryAt)
	if !s.anew {
		return // somebody else was faster
	}
	// A take-over may have been in between, and have claimed it again for this member.
	if o, kept := w.held()[s.id]; kept {
		s.ownership = o
		s.rest(time.Now())
		return
	}
	w.lose(s, "it was found to be another's", etcdstore.ErrOwnershipLost)
}

// begin starts the handler of a partition that was just claimed, if all that it needs is there.
func (w *worker) begin(s *slot, t *trust, reason string) {
	delete(w.watched, s.id)
	now := time.Now()
	if w.leaving || w.trust != t || t.lapsed() {
		s.rest(now)
		return
	}
	start, found, err := w.store.Start(s.ownership)
	switch {
	case errors.Is(err, etcdstore.ErrCorruptRecord):
		// Starting it at the stream's beginning or end would repeat or lose events.
		w.log.Error("the partition's checkpoint cannot be read: it is not handled until that is mended or deleted",
			append(w.fields(s, "corrupt checkpoint"), zap.Error(err))...)
		w.restAfterFailure(s, err)
		return
	case err != nil:
		w.lose(s, "lost as soon as it was claimed", err)
		return
	case !w.known[s.id]:
		s.rest(now)
		s.unknown = true
		w.askSource()
		return
	}
	s.running, s.overdue = true, false
	s.enter(handling)
	s.p = newPartition(w.Member, t, s.ownership, start, found)
	if !s.freeSince.IsZero() {
		w.meters.handoff.Observe(now.Sub(s.freeSince).Seconds())
		s.freeSince = time.Time{}
	}
	w.emit(w.options.Events.Claimed, w.about(s, reason, nil))
	w.log.Info("handling", append(w.fields(s, reason), startFields(start, found)...)...)
	p := s.p
	w.running.Go(func() { w.tend(p) })
}

func startFields(start etcdstore.Checkpoint, found bool) []zap.Field {
	if !found {
		return []zap.Field{zap.String("start", "no checkpoint")}
	}
	return position{sequenceNumber: start.SequenceNumber, offset: start.Offset}.fields()
}
