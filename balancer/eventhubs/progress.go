package eventhubs

import "time"

// progress says when what has been handled is due to be checkpointed: after so many events, or so long after the first
// that is not covered.
type progress struct {
	count    int
	interval time.Duration

	end     position // of what has been handled
	unsaved int      // events
	timer   *time.Timer
}

func newProgress(count int, interval time.Duration) *progress {
	timer := time.NewTimer(interval)
	timer.Stop()
	return &progress{count: count, interval: interval, timer: timer}
}

// add takes in handled events, and reports whether their number makes them due.
func (p *progress) add(events int, end position) (due bool) {
	if p.unsaved == 0 {
		p.timer.Reset(p.interval)
	}
	p.unsaved += events
	p.end = end
	return p.unsaved >= p.count
}

// due ticks when the first event that is not covered has waited long enough.
func (p *progress) due() <-chan time.Time { return p.timer.C }

func (p *progress) saved() {
	p.unsaved = 0
	p.timer.Stop()
}
