package integration_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// chaosFor is how long things go wrong. TENURE_CHAOS sets it, as a duration.
const chaosFor = 90 * time.Second

// Whatever happens to members, callers, etcd and all that is between them, in an order that the seed decides: no
// handlers run beside each other, no event begins without trust or is left out, no checkpoint goes back or is lost,
// claims, checkpoints and reads are linearizable, and each time that all is healed everything is owned again soon. In
// the end the group is at rest, and so is etcd.
func TestWhateverHappens(t *testing.T) {
	t.Parallel()
	lasts := chaosFor
	if set := os.Getenv("TENURE_CHAOS"); set != "" {
		var err error
		lasts, err = time.ParseDuration(set)
		require.NoError(t, err)
	}
	seed := rand.Uint64()
	if set := os.Getenv("TENURE_CHAOS_SEED"); set != "" {
		_, err := fmt.Sscan(set, &seed)
		require.NoError(t, err)
	}
	t.Logf("TENURE_CHAOS_SEED=%d", seed)
	newWorld(t, seed).suffer(lasts)
}

// suffer lets things go wrong for a while, and checks what was recorded.
func (w *world) suffer(lasts time.Duration) {
	w.t.Helper()
	for range 3 {
		w.join()
		w.joinCaller()
	}
	w.calm()
	first := w.vitals(w.anchor)
	for began := member.Now(); member.Now()-began < lasts; {
		w.storm()
		w.calm()
	}
	w.conclude(first)
}

// stormLasts is how many things happen, on average, before all is healed.
const stormLasts = 12

// storm has things go wrong.
func (w *world) storm() {
	for range 1 + w.random.IntN(2*stormLasts) {
		for happened := false; !happened; {
			happened = w.something()
		}
		hold(w.t, time.Duration(w.random.ExpFloat64()*float64(ttl)/2)) // often soon, sometimes after a lease's time
	}
}

// something has one thing go wrong, or ends one that has, and reports whether that could be. At least two members stay
// well.
func (w *world) something() bool {
	present, callers := w.present(), w.living(w.calls)
	switch n := w.random.IntN(100); {
	case n < 8 && len(present) < 6:
		w.join()
	case n < 12 && len(callers) < 4:
		w.joinCaller()
	case n < 30 && len(w.active) > 0:
		w.heal(w.anyOf(w.actives()))
	case n < 42:
		return w.happen("etcd's members", "etcd", "", memberFaults())
	case n < 54:
		return w.happen("etcd", "etcd", "", etcdFaults())
	case n < 64:
		return w.happen("", "an operator", w.anyOf(present), operatorActs())
	default:
		name := w.anyOf(slices.Concat(present, callers))
		return w.happen(name, name, name, clientFaults())
	}
	return true
}

// happen has one of the faults happen, unless one of them is active.
func (w *world) happen(key, about, victim string, faults []fault) bool {
	f := faults[w.random.IntN(len(faults))]
	ends := f.name == "is killed" || f.name == "leaves"
	switch {
	case w.active[key] != nil, w.lacks(f.name),
		about == victim && w.members[victim] != nil && len(w.well()) <= 2,
		f.name == leaseRevoked && w.members[victim] == nil, // a caller has no record that tells its lease
		ends && (victim == w.anchor || w.calls.members[victim] != nil && len(w.living(w.calls)) <= 2):
		return false
	}
	if about == victim {
		w.story.counts["somebody "+f.name]++
	} else {
		w.story.counts[about+" "+f.name]++
	}
	heal, detail := f.inject(w, victim)
	w.story.tellf("%s %s: %s", about, f.name, detail)
	if heal != nil {
		w.active[key] = &active{fault: f, about: about, heal: heal}
	}
	return true
}

func (w *world) anyOf(names []string) string { return names[w.random.IntN(len(names))] }
