package balancer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// errGoexit is what a handler returns that ends its goroutine.
var errGoexit = errors.New("the handler ended its goroutine")

// tend runs a partition's handler and sees to it that it ends when it is to: it is cut off when it does not drain in
// time or gets nowhere, and given up on when it ignores that.
func (m *Member) tend(p *Partition) {
	returned := make(chan error, 1)
	go func() { // not waited for if it does not return
		err := errGoexit
		defer func() {
			if panicked := recover(); panicked != nil {
				err = fmt.Errorf("the handler panicked: %v\n%s", panicked, debug.Stack())
			}
			returned <- err
		}()
		err = m.handler(p.ctx, p)
	}()

	var cutOff, giveUp, stalled <-chan time.Time
	if m.options.StallLimit > 0 {
		stalled = time.After(m.options.StallLimit)
	}
	drain, ended := p.draining, p.ctx.Done()
	for {
		select {
		case err := <-returned:
			m.post(func(w *worker) { w.returned(p, err) })
			return
		case <-drain:
			drain, stalled = nil, nil
			cutOff = time.After(m.options.DrainTimeout)
		case <-cutOff:
			p.end(ErrDrainTimeout)
		case <-stalled:
			last, _ := p.progress()
			if left := time.Until(last.Add(m.options.StallLimit)); left > 0 {
				stalled = time.After(left)
				continue
			}
			p.end(ErrStalled)
		case <-ended:
			ended, stalled = nil, nil
			giveUp = time.After(p.trust.grace)
		case <-giveUp:
			m.post(func(w *worker) { w.overran(p) })
		case <-m.ended:
			return
		}
	}
}

// returned takes in that a handler has returned.
func (w *worker) returned(p *Partition, err error) {
	s := w.slot(p.ID())
	if s.p != p {
		return // not reached: a handler is started when the one before has returned
	}
	s.running = false
	cause := context.Cause(p.ctx)
	p.end(context.Canceled) // what it may have left running ends too
	if s.phase != handling && s.phase != draining {
		return // released, lost or resting already
	}
	asked := s.phase == draining
	if asked {
		w.drained(p)
	}
	switch {
	case errors.Is(cause, etcdstore.ErrOwnershipLost):
		w.lose(s, "a checkpoint was rejected", cause)
	case asked:
		if err != nil && cause == nil {
			w.log.Error("the handler failed while it drained; what came after its last checkpoint will be repeated",
				append(w.fields(s, "failed"), zap.Error(err))...)
		}
		w.release(s, w.finalOf(p, err))
	case errors.Is(cause, ErrTrustEnded), errors.Is(cause, etcdstore.ErrCheckpointConflict):
		s.rest(time.Now())
	case err == nil && cause == nil:
		w.finish(s)
	default:
		if cause != nil {
			err = errors.Join(cause, err)
		}
		w.handlerFailed(s, err)
	}
}

// drained takes in that a handler that was asked to finish has, or is not waited for any longer.
func (w *worker) drained(p *Partition) { w.meters.drains.Observe(time.Since(p.drainedAt).Seconds()) }

// finalOf returns the position that a handler has left, if it is right to write it.
func (w *worker) finalOf(p *Partition, err error) *position {
	if err != nil || p.trust.owned.Err() != nil {
		return nil
	}
	return p.finalPosition()
}

// overran takes in that a handler has not returned although its context has ended. Where that was to move the
// partition, it is given up now: the handler's later checkpoints fail.
func (w *worker) overran(p *Partition) {
	s := w.slot(p.ID())
	if s.p != p || !s.running {
		return
	}
	s.overdue = true
	w.log.Error("the handler has not returned although its context has ended; it is not waited for any longer",
		append(w.fields(s, "handler overdue"), zap.Error(context.Cause(p.ctx)))...)
	switch {
	case w.trust == nil:
	case s.phase == draining && !w.leaving: // when leaving the lease's end frees it
		w.drained(p)
		w.release(s, nil)
	case s.phase == handling:
		w.handlerFailed(s, context.Cause(p.ctx))
	}
}

// finish keeps a partition whose handler has nothing more to do.
func (w *worker) finish(s *slot) {
	s.enter(finished)
	w.log.Info("the handler has finished; the partition is kept", w.fields(s, "finished")...)
	final := s.p.finalPosition()
	if final == nil {
		return
	}
	p := s.p
	w.running.Go(func() {
		err := p.write(p.trust.owned, *final, false)
		if err != nil {
			w.log.Error("the last position of a finished partition was not written",
				zap.String("partition", p.ID()), zap.Error(err))
		}
	})
}

// failuresInRow is after how many a member takes itself for the wrong one for a partition.
const failuresInRow = 5

// handlerFailed has the handler started again after a while, or by another member.
func (w *worker) handlerFailed(s *slot, err error) {
	if s.p != nil {
		if _, progressed := s.p.progress(); progressed && !s.unknown {
			s.failures = 0
			s.retry.Reset()
		}
	}
	s.failures++
	w.restAfterFailure(s, err)
	if s.failures%failuresInRow == 0 {
		w.exclude(s, fmt.Sprintf("its handler failed %d times in a row: %v", s.failures, err))
	}
}

// restAfterFailure keeps a partition without a handler for a while.
func (w *worker) restAfterFailure(s *slot, err error) {
	w.meters.countFailure(err)
	wait := s.retry.Next()
	s.rest(time.Now().Add(wait))
	w.wakeBy(s.retryAt)
	w.emit(w.options.Events.Failed, w.about(s, "starting again in "+wait.Round(time.Millisecond).String(), err))
	w.log.Error("handler failed", append(w.fields(s, "failed"), zap.Int("failures", s.failures),
		zap.Duration("again_in", wait), zap.Error(err))...)
}

// rejected takes in that etcd has refused a checkpoint.
func (w *worker) rejected(p *Partition, err error) {
	s := w.slot(p.ID())
	e := Event{
		Partition: p.ID(), OwnerID: w.options.OwnerID, Revision: revisionOf(p.ownership),
		Reason: "rejected by etcd", Err: err,
	}
	w.emit(w.options.Events.CheckpointRejected, e)
	w.log.Warn("checkpoint rejected", zap.String("partition", p.ID()), zap.Int64("revision", e.Revision), zap.Error(err))
	if s.p == p && errors.Is(err, etcdstore.ErrOwnershipLost) && s.phase.held() && s.ownership == p.ownership {
		w.lose(s, "a checkpoint was rejected", err)
	}
}
