package lease

import (
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcderr"
)

// A margin is kept between the end of trust and the end of the lease: clocks may differ in rate by that much.
const (
	marginPart    = 10
	minimumMargin = 200 * time.Millisecond
)

// Term is one lease's lifetime, as far as it can be trusted. Its methods are safe for concurrent use.
type Term struct {
	id          clientv3.LeaseID
	ttl, margin time.Duration
	now         func() time.Duration
	done        chan struct{}

	mu sync.Mutex
	// begun is false until the term may be handed out. Only then is there trust to lose.
	begun bool
	// until is when trust ends, by now.
	until time.Duration
	// last is why the latest renewal failed, if none was confirmed since.
	last error
	// err is why the term ended.
	err error
}

// newTerm returns the term of a lease granted for ttl by a request sent at that time.
func newTerm(id clientv3.LeaseID, ttl, sent time.Duration, now func() time.Duration) *Term {
	t := &Term{id: id, ttl: ttl, margin: max(ttl/marginPart, minimumMargin), now: now, done: make(chan struct{})}
	t.until = t.horizon(sent)
	return t
}

// ID returns the lease's id. A key put with it goes when the lease does.
func (t *Term) ID() clientv3.LeaseID {
	return t.id
}

// Done is closed when the term ends, which it does for ever. A timer closes it, and timers may be late: a process
// that was paused runs on for a moment before it notices. Where it matters, ask Err.
func (t *Term) Done() <-chan struct{} {
	return t.done
}

// Err returns nil while the term can be trusted, and then why it ended: an error that is [ErrUnreachable],
// [ErrNoLeader], [ErrNoSpace], [ErrPermissionDenied], [ErrLeaseGone], [ErrClusterChanged] or [ErrClosed]. It looks at
// the clock at each call.
func (t *Term) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	return t.err
}

// TrustedUntil returns when trust ends unless a renewal extends it. It is in the past once the term has ended.
// Comparing it with [time.Now] misses the time during which the machine was suspended, which Err does not.
func (t *Term) TrustedUntil() time.Time {
	wall := time.Now() // read first: what passes in between must not count as trusted
	t.mu.Lock()
	defer t.mu.Unlock()
	return wall.Add(t.until - t.now())
}

// Remaining returns for how long the term can be trusted unless a renewal extends it, by the clock by which trust is
// judged. It is not above 0 once the term has ended.
func (t *Term) Remaining() time.Duration {
	now := t.now() // read first: what passes in between must not count as trusted
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until - now
}

// TTL returns how long the lease lives without being renewed, as etcd granted it.
func (t *Term) TTL() time.Duration {
	return t.ttl
}

// horizon returns until when a renewal sent at that time, once confirmed, lets the term be trusted.
func (t *Term) horizon(sent time.Duration) time.Duration {
	return sent + t.ttl - t.margin
}

// begin lets the term be handed out, if trust in it lasts for at least that long. It reports whether the term has
// begun.
func (t *Term) begin(atLeast time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && t.until-t.now() > atLeast {
		t.begun = true
	}
	return t.begun
}

// handedOut reports whether the term has begun.
func (t *Term) handedOut() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.begun
}

// confirm extends trust on a confirmed renewal that was sent at that time, unless the term has ended.
func (t *Term) confirm(sent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	if t.err == nil && t.horizon(sent) > t.until {
		t.until = t.horizon(sent)
		t.last = nil
	}
}

// failed takes note of why a renewal failed, to say so if trust ends. It reports whether it is the first since one was
// confirmed.
func (t *Term) failed(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.last == nil
	t.last = err
	return first
}

// end ends the term, unless it has ended.
func (t *Term) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	t.finish(err)
}

// giveUp ends a term that was never handed out.
func (t *Term) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finish(t.lapsed())
}

// trustedUntil returns when trust ends, by the term's clock.
func (t *Term) trustedUntil() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until
}

// expire ends the term if its trust has. The caller holds mu.
func (t *Term) expire() {
	if t.begun && t.now() >= t.until {
		t.finish(t.lapsed())
	}
}

// finish ends the term, unless it has ended. The caller holds mu.
func (t *Term) finish(err error) {
	if t.err != nil {
		return
	}
	t.err = fmt.Errorf("lease %x: %w", int64(t.id), err)
	t.until = min(t.until, t.now())
	close(t.done)
}

// lapsed returns why no renewal was confirmed in time. The caller holds mu.
func (t *Term) lapsed() error {
	if t.last == nil {
		return fmt.Errorf("%w: no renewal was confirmed in time", ErrUnreachable)
	}
	err := etcderr.Classify(t.last)
	for _, reason := range []error{ErrUnreachable, ErrNoLeader, ErrNoSpace, ErrPermissionDenied} {
		if errors.Is(err, reason) {
			return fmt.Errorf("no renewal was confirmed in time: %w", err)
		}
	}
	return fmt.Errorf("%w: no renewal was confirmed in time: %w", ErrUnreachable, err)
}
