package member

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
)

// tenure is one run of a partition's handler.
type tenure struct {
	*actor

	p        *balancer.Partition
	fence    int64
	next     int64           // event
	draining <-chan struct{} // nil where the handler does not drain
}

// handler handles a partition.
func (a *actor) handler(ctx context.Context, p *balancer.Partition) error {
	fence, err := strconv.ParseInt(p.Ownership().ETag, 10, 64)
	if err != nil {
		return err
	}
	r := &tenure{actor: a, p: p, fence: fence, draining: p.Draining()}
	if a.config.StubbornOneIn > 0 && a.chance(a.config.StubbornOneIn) == 0 {
		r.draining = nil
	}
	if start, found := p.Start(); found {
		r.next = *start.SequenceNumber + 1
	}
	r.report(Report{Kind: Started, Sequence: r.next})
	err = r.handle(ctx)
	r.report(Report{Kind: Returned, Sequence: r.next - 1, Outcome: outcome(err)})
	return err
}

func (r *tenure) report(report Report) {
	report.Partition, report.Fence = r.p.ID(), r.fence
	r.actor.report(report)
}

// handle handles events until it is to stop.
func (r *tenure) handle(ctx context.Context) error {
	first := r.next
	for r.await(ctx) {
		began, trusted := r.Now(), r.trustedUntil()
		if !r.config.Disobedient && ctx.Err() != nil {
			break
		}
		if err := r.fail(); err != nil {
			return err
		}
		trusted = max(trusted, r.trustedUntil()) // a renewal may have been confirmed in between
		wait(r.config.Stream.Work)
		trusted = max(trusted, r.trustedUntil())
		r.report(Report{Kind: Handled, Sequence: r.next, Began: began, Trusted: trusted})
		r.next++
		if r.next%r.config.CheckpointEvery == 0 {
			if err := r.checkpoint(ctx); err != nil && !r.config.Disobedient {
				break
			}
		}
	}
	switch {
	case r.next == first:
		return nil
	case ctx.Err() != nil:
		return r.tryLate(ctx)
	}
	r.p.Finish(r.last(), nil)
	r.report(Report{Kind: Finished, Sequence: *r.last()})
	return nil
}

// checkpoint writes how far the partition is handled, and now and then reads what etcd has then.
func (r *tenure) checkpoint(ctx context.Context) error {
	began := r.Now()
	err := r.p.Checkpoint(ctx, r.last(), nil)
	r.report(Report{Kind: Checkpointed, Sequence: *r.last(), Began: began, Outcome: outcome(err)})
	if err != nil || r.config.ReadBackOneIn == 0 || r.chance(r.config.ReadBackOneIn) > 0 {
		return err
	}
	began = r.Now()
	ctx, cancel := context.WithTimeout(ctx, lateTimeout)
	defer cancel()
	if found, err := r.read(ctx, r.p.ID()); err == nil {
		r.report(Report{Kind: ReadBack, Sequence: *r.last(), Began: began, Found: found})
	}
	return nil
}

var errFailed = errors.New("failed, as this handler does now and then")

// fail fails now and then, and panics as often.
func (r *tenure) fail() error {
	switch n := r.config.FailOneIn; {
	case n == 0 || r.chance(n) > 0:
		return nil
	case r.chance(2) == 0:
		panic(errFailed)
	}
	return errFailed
}

func (r *tenure) last() *int64 {
	last := r.next - 1
	return &last
}

// await waits until the next event is there. It reports false if there is to be none any more.
func (r *tenure) await(ctx context.Context) bool {
	select {
	case <-r.draining:
		return false
	default:
	}
	ended := ctx.Done()
	if r.config.Disobedient {
		ended = nil
	}
	var due <-chan time.Time
	if stream := r.config.Stream; stream.Every > 0 {
		timer := time.NewTimer(stream.at(r.p.ID(), r.next) - r.Now())
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-r.rests:
		due = nil
	default:
	}
	select {
	case <-due:
		return true
	case <-r.draining:
		return false
	case <-ended:
		return false
	}
}

// lateTimeout leaves a handler time to return within the stop grace.
const lateTimeout = 100 * time.Millisecond

// tryLate tries a checkpoint although the handler's context has ended, as one does that was paused on its way to it.
func (r *tenure) tryLate(ctx context.Context) error {
	cause := context.Cause(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateTimeout)
	defer cancel()
	err := r.p.Checkpoint(ctx, r.last(), nil)
	r.report(Report{Kind: Late, Sequence: *r.last(), Outcome: outcome(err)})
	return cause
}

// What a checkpoint's outcome is called in reports, beside errors that are not expected.
const (
	OutcomeLost     = "ownership lost"
	OutcomeConflict = "conflict"
	OutcomeUnknown  = "unknown"
)

func outcome(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, etcdstore.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errTold):
		return OutcomeUnknown
	case errors.Is(err, etcdstore.ErrOwnershipLost):
		return OutcomeLost
	case errors.Is(err, etcdstore.ErrCheckpointConflict):
		return OutcomeConflict
	}
	return err.Error()
}

// errTold is the cause with which contexts end when the actor is told to stop.
var errTold = errors.New("told to stop")

// readTogether is within how long two clocks must be read to count as read at once.
const readTogether = 100 * time.Microsecond

// trustedUntil returns until when the lease can be trusted, by Now. Being paused between the two readings must not
// shift it.
func (r *tenure) trustedUntil() time.Duration {
	for {
		before := r.Now()
		remaining := r.p.Remaining()
		if r.Now()-before < readTogether {
			return before + time.Duration(float64(remaining)/r.config.clockRate())
		}
	}
}

// wait takes its time, as an event's handling does that does not look at a context.
func wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
