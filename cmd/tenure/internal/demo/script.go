package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

const (
	// pace is how long there is to look at what has come of a change before the next one.
	pace = 5 * time.Second

	// checkpointInterval is how often members checkpoint, which bounds what a crash repeats.
	checkpointInterval = time.Second

	// patience is how long anything may take. It is not waited for unless something is wrong.
	patience = 30 * time.Second
)

// director has the script played.
type director struct {
	stage
}

// memberNames are all that take part.
func memberNames() []string { return []string{"alice", "bob", "carol", "dave"} }

// play does one thing after the other and shows what comes of it.
func (d *director) play(ctx context.Context) error {
	for i, act := range []func(context.Context) error{d.join, d.add, d.drain, d.kill, d.pause, d.wake, d.end} {
		if i > 0 {
			if err := d.scene.rest(ctx, pace); err != nil {
				return err
			}
		}
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *director) join(ctx context.Context) error {
	members := memberNames()[:3]
	d.beginf(phase{name: "START", what: list(members) + " start", planned: true},
		"%s are started, to share %d partitions", list(members), partitions)
	if err := d.start(members...); err != nil {
		return err
	}
	took, err := d.settle(ctx, members...)
	if err != nil {
		return err
	}
	d.scene.tellf("", "each has %d after %s", partitions/len(members), seconds(took))
	return nil
}

func (d *director) add(ctx context.Context) error {
	members := memberNames()
	d.beginf(phase{name: "ADD", what: "dave joins", planned: true, counted: true, fewest: d.fewest(members...)},
		"dave is started as a fourth")
	if err := d.start("dave"); err != nil {
		return err
	}
	return d.settlePlanned(ctx, members...)
}

func (d *director) drain(ctx context.Context) error {
	members := []string{"alice", "carol", "dave"}
	fewest := d.fewest(members...)
	d.beginf(phase{name: "DRAIN", what: "bob finishes (SIGTERM)", planned: true, counted: true, fewest: fewest},
		"bob is told to finish (SIGTERM)")
	if err := d.signal("bob", finishing, finish); err != nil {
		return err
	}
	if err := d.settlePlanned(ctx, members...); err != nil {
		return err
	}
	return d.ended(ctx, "bob")
}

func (d *director) kill(ctx context.Context) error {
	members := []string{"alice", "dave"}
	d.beginf(phase{name: "KILL", what: "carol is killed (SIGKILL)", counted: true, fewest: d.fewest(members...)},
		"carol is killed (SIGKILL); its lease of %s has to run out", seconds(ttl))
	d.scene.enter("carol", killed)
	d.member("carol").kill()
	return d.settleCrashed(ctx, members...)
}

// pause stops a member while checkpoints of it are on their way, which arrive when others have its partitions.
func (d *director) pause(ctx context.Context) error {
	members := []string{"alice"}
	d.beginf(phase{name: "PAUSE", what: "dave is paused (SIGSTOP)", counted: true, fewest: d.fewest(members...)},
		"dave's next checkpoints are held up on their way to etcd")
	d.wire.hold("dave")
	if err := d.scene.rest(ctx, checkpointInterval*3/2); err != nil {
		return err
	}
	d.scene.change(func() { d.scene.phases[d.scene.phase()].from = time.Now() })
	d.scene.tellf("", "dave is paused (SIGSTOP) for longer than its lease of %s", seconds(ttl))
	if err := d.signal("dave", paused, stop); err != nil {
		return err
	}
	if err := d.settleCrashed(ctx, members...); err != nil {
		return err
	}
	d.wire.release()
	err := d.scene.await(ctx, patience, "dave's checkpoints arrive", func() bool { return d.wire.onTheWay() == 0 })
	if err != nil {
		return err
	}
	e := d.scene.evidence()
	d.scene.tellf("", "%s rejected by etcd, %d accepted", screen.Count(e.rejected, "late checkpoint", "late checkpoints"),
		len(e.wrong))
	return nil
}

func (d *director) wake(ctx context.Context) error {
	members := []string{"alice", "dave"}
	d.beginf(phase{name: "WAKE", what: "dave wakes (SIGCONT)", planned: true, counted: true, fewest: d.fewest(members...)},
		"dave wakes (SIGCONT), as if nothing had been")
	if err := d.signal("dave", waking, resume); err != nil {
		return err
	}
	if err := d.settlePlanned(ctx, members...); err != nil {
		return err
	}
	late := 0
	d.scene.change(func() { late = d.scene.late })
	d.scene.tellf("", "of what it had lost it printed %s more", screen.Count(late, "event", "events"))
	return nil
}

func (d *director) end(ctx context.Context) error {
	members := []string{"alice", "dave"}
	d.stopAppending()
	total := 0
	for _, n := range d.stream.appended {
		total += n
	}
	d.beginf(phase{name: "END", what: list(members) + " finish (SIGTERM)", planned: true},
		"the stream ends; %s are told to finish (SIGTERM)", list(members))
	late := d.scene.await(ctx, patience, "all was printed", func() bool { return d.scene.ledger.upTo == d.scene.appended })
	if late != nil && ctx.Err() != nil {
		return late
	} // else the judge says what is lost
	from := time.Now()
	for _, name := range members {
		if err := d.signal(name, finishing, finish); err != nil {
			return err
		}
	}
	if err := d.ended(ctx, members...); err != nil {
		return err
	}
	d.scene.change(func() { d.scene.phases[d.scene.phase()].took = time.Since(from) })
	return nil
}

// begin begins a phase and announces it.
func (d *director) beginf(p phase, format string, values ...any) {
	p.from = time.Now()
	d.scene.begin(p)
	d.scene.tellf(p.name, format, values...)
}

// fewest is how many partitions must move now until the members share them.
func (d *director) fewest(members ...string) (moves int) {
	d.scene.change(func() { moves = fewestMoves(d.scene.history.shares(), members) })
	return moves
}

// settle waits until the members own all partitions in even shares, and then until they print what they own. It returns
// how long the first took from the beginning of the phase on.
func (d *director) settle(ctx context.Context, members ...string) (took time.Duration, err error) {
	owned := func() bool { return d.scene.owned(members) }
	err = d.scene.await(ctx, patience, list(members)+" share the partitions", owned)
	if err != nil {
		return 0, err
	}
	var mark [partitions]int
	d.scene.change(func() {
		now := &d.scene.phases[d.scene.phase()]
		now.took = time.Since(now.from)
		took = now.took
		mark = d.scene.appended
	})
	read := func() bool { return d.scene.read(mark) }
	return took, d.scene.await(ctx, patience, "each partition is read by its owner", read)
}

func (d *director) settlePlanned(ctx context.Context, members ...string) error {
	if _, err := d.settle(ctx, members...); err != nil {
		return err
	}
	r, rested := d.outcome()
	d.scene.tellf("", "%s, %d repeated; none was without an owner for over %d ms", moved(r), r.repeated,
		rested.Milliseconds()+1)
	return nil
}

func (d *director) settleCrashed(ctx context.Context, members ...string) error {
	took, err := d.settle(ctx, members...)
	if err != nil {
		return err
	}
	r, _ := d.outcome()
	d.scene.tellf("", "recovered in %s: %s, %d repeated since their checkpoints", seconds(took), moved(r), r.repeated)
	return nil
}

// outcome is what the phase has come to by now, and the longest that a partition was without an owner in it.
func (d *director) outcome() (row, time.Duration) {
	e := d.scene.evidence()
	now := len(e.phases) - 1
	return judge(e).rows[now], longest(e.claims, now)
}

func moved(r row) string {
	if r.moved == r.fewest {
		return fmt.Sprintf("%d moved", r.moved)
	}
	return fmt.Sprintf("%d moved (%d had to)", r.moved, r.fewest)
}

// ended waits until members that were told to finish have.
func (d *director) ended(ctx context.Context, members ...string) error {
	return d.scene.await(ctx, patience, list(members)+" have finished", func() bool {
		return !slices.ContainsFunc(members, func(name string) bool { return d.scene.states[name] != finished })
	})
}
