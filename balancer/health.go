package balancer

import (
	"context"
	"errors"
	"fmt"
)

// Ready returns nil while the member has joined its group and its lease can be trusted, so that it handles whatever
// partitions it is given. Otherwise it says why not. It asks nobody.
func (m *Member) Ready() error {
	if !m.working.Load() {
		return errors.New("the member has not joined its group, or has left it")
	}
	if err := m.store.Keeper().Err(); err != nil {
		return fmt.Errorf("there is no lease that can be trusted: %w", err)
	}
	return nil
}

// Alive returns nil if the member is at work and looks at what happens, or is not at work. It returns an error if the
// member does not get to that before ctx ends: it is stuck, in a function of [Events] most likely, and only a restart
// helps. That etcd cannot be reached does not make it so.
func (m *Member) Alive(ctx context.Context) error {
	if _, err := m.ask(ctx); err != nil && !errors.Is(err, errNotWorking) {
		return fmt.Errorf("the member does not look at what happens: %w", err)
	}
	return nil
}

// errNotWorking says that there is no worker to ask.
var errNotWorking = errors.New("the member is not at work")

// state is how things stand with a member's partitions, and with its group as it knows it.
type state struct {
	phases  [releasing + 1]int
	overdue int
	handled []*Partition

	members, partitions, unowned int // unowned: those that nobody owns although they are not paused
}

// ask asks the worker how things stand.
func (m *Member) ask(ctx context.Context) (state, error) {
	if !m.working.Load() {
		return state{}, errNotWorking
	}
	answer := make(chan state, 1)
	select {
	case m.inbox <- func(w *worker) { answer <- w.state() }:
	case <-m.ended:
		return state{}, errNotWorking
	case <-ctx.Done():
		return state{}, context.Cause(ctx)
	}
	select {
	case s := <-answer:
		return s, nil
	case <-m.ended:
		return state{}, errNotWorking
	case <-ctx.Done():
		return state{}, context.Cause(ctx)
	}
}

func (w *worker) state() state {
	found := state{members: len(w.view.Members), partitions: len(w.view.input.Partitions)}
	for _, i := range w.view.unowned {
		if w.view.input.Paused == nil || !w.view.input.Paused[i] {
			found.unowned++
		}
	}
	for _, s := range w.slots {
		found.phases[s.phase]++
		if s.running && s.overdue {
			found.overdue++
		}
		if s.phase == handling || s.phase == draining {
			found.handled = append(found.handled, s.p)
		}
	}
	return found
}
