package top

import (
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// sampleEvery is how often checkpoints are looked at, and window over how many such looks a rate is taken.
const (
	sampleEvery = time.Second
	window      = 10
)

// rates tells how fast partitions are handled.
type rates struct {
	taken []sample // oldest first, window+1 at the most
}

type sample struct {
	at       time.Time
	position map[string]int64 // by partition
}

// take looks at the checkpoints, unless it has just done so.
func (r *rates) take(s *etcdstore.Snapshot, now time.Time) {
	if n := len(r.taken); n > 0 && now.Sub(r.taken[n-1].at) < sampleEvery {
		return
	}
	taken := sample{now, make(map[string]int64, len(s.Checkpoints))}
	for id, c := range s.Checkpoints {
		if c.SequenceNumber != nil {
			taken.position[id] = *c.SequenceNumber
		}
	}
	r.taken = append(r.taken, taken)
	if len(r.taken) > window+1 {
		r.taken = r.taken[1:]
	}
}

// of returns how many events of a partition were checkpointed each second. A position that went back counts as none.
func (r *rates) of(id string) (perSecond float64, known bool) {
	if len(r.taken) < 2 {
		return 0, false
	}
	first, last := r.taken[0], r.taken[len(r.taken)-1]
	from, hadFrom := first.position[id]
	to, hasTo := last.position[id]
	if !hasTo {
		return 0, false
	}
	if !hadFrom {
		from = to
	}
	return max(0, float64(to-from)/last.at.Sub(first.at).Seconds()), true
}
