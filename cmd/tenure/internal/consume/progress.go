package consume

import "time"

// progress says when a partition's position is due to be checkpointed: after so many events, or so long after the
// first event that is not yet covered.
type progress struct {
	count    int
	interval time.Duration

	last    position
	unsaved int
	since   time.Time
}

// add takes in events that have been written to standard output.
func (p *progress) add(events []event, now time.Time) {
	if p.unsaved == 0 {
		p.since = now
	}
	p.unsaved += len(events)
	p.last = events[len(events)-1].position()
}

func (p *progress) due(now time.Time) bool {
	return p.unsaved >= p.count || p.unsaved > 0 && now.Sub(p.since) >= p.interval
}

// wait returns how long may be waited for more events before the position is due; ok is false where nothing is unsaved
// and so nothing limits the wait.
func (p *progress) wait(now time.Time) (limit time.Duration, ok bool) {
	return max(p.interval-now.Sub(p.since), 0), p.unsaved > 0
}

func (p *progress) saved() { p.unsaved = 0 }

// postpone makes the position due again an interval from now.
func (p *progress) postpone(now time.Time) { p.since = now }
