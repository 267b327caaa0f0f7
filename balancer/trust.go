package balancer

import (
	"context"
	"fmt"
	"time"

	"github.com/tenure-go/tenure/lease"
)

// trust is a stretch of time in which a term can be relied on for long enough to handle events: its context ends a stop
// grace before the term's trust does, so that an obedient handler has returned by then. A renewal that comes after that
// and before the term ends begins another stretch.
type trust struct {
	term  *lease.Term
	grace time.Duration // how long a handler has to return

	ctx context.Context // ends with ErrTrustEnded
	end context.CancelCauseFunc

	owned context.Context // ends with the term
}

// A handler's stop grace is a part of the TTL, and at least the rest: what it takes a process to notice.
const (
	stopGracePart    = 10
	minimumStopGrace = 200 * time.Millisecond
)

func stopGrace(ttl time.Duration) time.Duration { return max(ttl/stopGracePart, minimumStopGrace) }

// lapsed looks at the clock: timers fire late after a pause.
func (t *trust) lapsed() bool { return t.term.Remaining() <= t.grace }

// context returns a context that ends with the trust, and looks at the clock when it is asked.
func (t *trust) context() (context.Context, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(t.ctx)
	return &trustContext{Context: ctx, trust: t, end: end}, end
}

type trustContext struct {
	context.Context

	trust *trust
	end   context.CancelCauseFunc
}

// Err is that of the context, or ends it if trust has ended unnoticed.
func (c *trustContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if c.trust.lapsed() {
		c.end(ErrTrustEnded)
	}
	return c.Context.Err()
}

// followTrust tells of each stretch of trust when it begins and when it has ended, until ctx ends or the keeper closes.
// The error is why.
func followTrust(ctx context.Context, keeper *lease.Keeper, begun, ended func(*trust)) error {
	for {
		term, err := keeper.Term(ctx)
		if err != nil {
			return fmt.Errorf("waiting for a lease: %w", err)
		}
		followTerm(ctx, term, begun, ended)
	}
}

func followTerm(ctx context.Context, term *lease.Term, begun, ended func(*trust)) {
	owned, disown := context.WithCancelCause(ctx)
	defer disown(ErrTrustEnded)
	grace := stopGrace(term.TTL())
	for {
		// Twice the grace: a stretch that ends at once would start handlers for nothing.
		wait := func() time.Duration { return min(2*grace-term.Remaining(), grace/4) }
		if !pass(ctx, term, wait) {
			return
		}
		t := &trust{term: term, grace: grace, owned: owned}
		t.ctx, t.end = context.WithCancelCause(owned) //nolint:fatcontext // Each stretch has its own, none the one before.
		begun(t)
		lasts := pass(ctx, term, func() time.Duration { return term.Remaining() - grace })
		t.end(ErrTrustEnded)
		ended(t)
		if !lasts {
			return
		}
	}
}

// pass waits for as long as wait says that there is something to wait for. It reports false if the term or ctx ends
// before.
func pass(ctx context.Context, term *lease.Term, wait func() time.Duration) bool {
	for term.Err() == nil {
		left := wait()
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-term.Done():
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return false
		}
	}
	return false
}
