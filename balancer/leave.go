package balancer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// leave gives everything up and closes the keeper. It takes at most the drain time-out, the stop grace, and what etcd
// takes to answer, for which the lease's own time is the bound.
func (w *worker) leave(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	w.leaving = true
	if w.mirror != nil {
		w.log.Info("leaving the group")
		w.announce()
		w.mirror.Close() // what the others do from now on is no business of this member
		w.drainAll()
	}
	w.working.Store(false)
	w.endChange()
	closing, cancel := context.WithTimeout(ctx, w.leaseTime())
	defer cancel()
	var problems []error
	if w.presence != nil && w.trust != nil {
		if err := w.presence.Leave(closing); err != nil {
			w.log.Warn("the member's record was not removed; it goes with the lease", zap.Error(err))
		}
	}
	w.closeStore(closing)
	if err := w.store.Keeper().Close(closing); err != nil {
		problems = append(problems, fmt.Errorf("balancer: leave: %w", err))
	}
	w.end()
	close(w.ended)
	w.running.Wait()
	if len(w.handlersLeft) > 0 {
		slices.Sort(w.handlersLeft)
		problems = append(problems, fmt.Errorf("balancer: the handlers of partitions %s have not returned",
			strings.Join(w.handlersLeft, ", ")))
	}
	return errors.Join(problems...)
}

// closeStore waits for checkpoints that etcd has not answered, but not for so long that no time is left to revoke the
// lease.
func (w *worker) closeStore(ctx context.Context) {
	patience := w.leaseTime() / 2
	if w.deletesOnly {
		patience = 0 // they wait for space
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.store.Close(ctx); err != nil {
		w.log.Warn("checkpoints that etcd has not confirmed are given up", zap.Error(err))
	}
}

// announce lets the others plan without this member. With a grace they are to leave its partitions alone instead: the
// record goes first, so that the reservation binds from the first release on.
func (w *worker) announce() {
	if w.trust == nil {
		return
	}
	w.running.Go(func() {
		var err error
		if w.reservation != nil {
			err = w.presence.Leave(w.changing)
		} else {
			err = w.presence.Update(w.changing, func(m *etcdstore.Member) { m.Leaving = true })
		}
		if err != nil && w.changing.Err() == nil {
			w.log.Warn("could not tell the others of leaving", zap.Error(err))
		}
	})
}

// drainAll works on until nothing is left to be given up.
func (w *worker) drainAll() {
	w.deletesOnly = w.trust != nil && w.store.NoSpace(w.lives)
	var late <-chan time.Time
	for {
		w.step()
		handlers, releases := w.left()
		switch {
		case handlers == 0 && releases == 0:
			return
		case handlers > 0:
			late = nil
		case late == nil:
			late = time.After(w.leaseTime())
		}
		select {
		case <-late:
			w.log.Warn("etcd does not confirm the releases; what is left is free when the lease is gone")
			return
		case happened := <-w.inbox:
			w.takeIn(happened)
		case <-w.wake.C:
			w.wakeAt = time.Time{}
		}
	}
}

// left counts the handlers that are waited for and the requests that are under way.
func (w *worker) left() (handlers, requests int) {
	w.handlersLeft = nil
	for _, s := range w.slots {
		switch {
		case s.running && !s.overdue:
			handlers++
		case s.running:
			w.handlersLeft = append(w.handlersLeft, s.id)
		}
		if s.phase == claiming || s.phase == releasing {
			requests++
		}
	}
	return handlers, requests
}

// leaseTime is how long etcd may take to confirm what only its leases would settle otherwise.
func (w *worker) leaseTime() time.Duration {
	const unknown = 10 * time.Second // there never was a term
	if w.ttl == 0 {
		return unknown
	}
	return w.ttl
}
