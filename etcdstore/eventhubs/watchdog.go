package eventhubs

import (
	"sync"
	"time"
)

const (
	defaultIdleLimit = time.Minute

	// startLimit is the limit until a second listing has shown how far a consumer's rounds are apart.
	startLimit = 10 * time.Minute

	// gapFactor is how many times the longest gap seen a consumer may be silent.
	gapFactor = 3
)

// watchdog notices a consumer that has stopped using its store while its process lives on and renews the lease: a
// processor whose Run has returned, a program that is stuck. It takes the consumer for dead when no call has begun,
// been under way or ended for the limit. It has no goroutine, only a timer: one that is left over when the store
// closes finds nothing to release.
type watchdog struct {
	idleLimit time.Duration
	dead      func(idle time.Duration)

	mu         sync.Mutex
	calls      int       // under way
	listings   int       // begun
	quietSince time.Time // when the last call ended
	longestGap time.Duration
	timer      *time.Timer
	fires      time.Time // when the timer does; zero if it is not set
}

// newWatchdog returns a watchdog that tells when the consumer is dead, once each time that it falls silent.
func newWatchdog(idleLimit time.Duration, dead func(idle time.Duration)) *watchdog {
	if idleLimit <= 0 {
		idleLimit = defaultIdleLimit
	}
	return &watchdog{idleLimit: idleLimit, dead: dead}
}

// call counts a call that begins. The func that it returns ends the call.
func (w *watchdog) call() (end func()) { return w.begin(0) }

// listing is call for a listing of ownerships, with which a processor's round begins.
func (w *watchdog) listing() (end func()) { return w.begin(1) }

func (w *watchdog) begin(listings int) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls == 0 && !w.quietSince.IsZero() {
		w.longestGap = max(w.longestGap, time.Since(w.quietSince))
	}
	w.calls++
	w.listings += listings
	return w.end
}

func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	w.quietSince = time.Now()
	// The timer is not set back at each call: it looks at the time of the last one when it fires.
	if due := w.quietSince.Add(w.limit()); w.calls == 0 && (w.fires.IsZero() || due.Before(w.fires)) {
		w.set(due)
	}
}

// limit is how long the consumer may be silent. The mutex is held.
func (w *watchdog) limit() time.Duration {
	if w.listings < 2 {
		return max(startLimit, w.idleLimit)
	}
	return max(w.idleLimit, gapFactor*w.longestGap)
}

// set sets the timer. The mutex is held.
func (w *watchdog) set(due time.Time) {
	w.fires = due
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(due), w.look)
		return
	}
	w.timer.Reset(time.Until(due))
}

func (w *watchdog) look() {
	if idle, dead := w.judge(); dead {
		w.dead(idle)
	}
}

func (w *watchdog) judge() (idle time.Duration, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fires = time.Time{}
	if w.calls > 0 {
		return 0, false // the end of the last of them sets the timer again
	}
	idle = time.Since(w.quietSince)
	if due := w.quietSince.Add(w.limit()); idle < w.limit() {
		w.set(due)
		return idle, false
	}
	return idle, true
}
