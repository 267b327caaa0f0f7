package compare_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// figure is something that is measured by itself, beside its bar.
type figure struct {
	name   string
	values []float64 // a round each
	unit   string
	most   float64 // the bar, 0 for none
}

func (f figure) String() string {
	bar := "–"
	if f.most > 0 {
		met := "met"
		if median(f.values) > f.most {
			met = "**missed**"
		}
		bar = fmt.Sprintf("at most %s, %s", counted(f.most, f.unit), met)
	}
	unit := ""
	if f.unit != "" {
		unit = " " + f.unit
	}
	return fmt.Sprintf("| %s | %s%s (%s to %s) | %s |\n", f.name, counted(median(f.values), f.unit), unit,
		counted(slices.Min(f.values), f.unit), counted(slices.Max(f.values), f.unit), bar)
}

// group is members of one group, a client and a lease each, in this process.
type group struct {
	t       *testing.T
	w       *world
	id      etcdstore.Group
	ids     []string
	mirror  *etcdstore.Mirror
	running sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context //nolint:containedctx // The members' own, which end with the group.
}

func (w *world) newGroup(t *testing.T, partitions int) *group {
	t.Helper()
	w.groups++
	g := &group{t: t, w: w, id: groupOf(fmt.Sprintf("group-%d", w.groups))}
	for i := range partitions {
		g.ids = append(g.ids, fmt.Sprint(i))
	}
	var err error
	g.mirror, err = w.store.Watch(t.Context(), g.id, nil)
	require.NoError(t, err)
	g.ctx, g.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	return g
}

// add has more members join.
func (g *group) add(members int) {
	g.t.Helper()
	for range members {
		client := etcdtest.NewClient(g.t, g.w.endpoints)
		keeper, err := lease.NewKeeper(g.t.Context(), client, nil)
		require.NoError(g.t, err)
		store, err := etcdstore.New(client, keeper, nil)
		require.NoError(g.t, err)
		member, err := balancer.New(store, g.id, func(context.Context) ([]string, error) { return g.ids, nil },
			func(ctx context.Context, p *balancer.Partition) error {
				select {
				case <-ctx.Done():
				case <-p.Draining():
				}
				return nil
			}, nil)
		require.NoError(g.t, err)
		g.running.Go(func() { _ = member.Run(g.ctx) }) // It is seen by what it owns.
	}
}

// awaitBalance waits until so many members own all partitions evenly, and returns how long that took.
func (g *group) awaitBalance(members int) float64 {
	g.t.Helper()
	began := time.Now()
	for {
		s := g.mirror.Snapshot()
		counts := make(map[string]int)
		for _, o := range s.Ownerships {
			counts[o.OwnerID]++
		}
		least, most := len(g.ids), 0
		for _, n := range counts {
			least, most = min(least, n), max(most, n)
		}
		if len(s.Ownerships) == len(g.ids) && len(counts) == members && most-least <= 1 {
			return time.Since(began).Seconds()
		}
		select {
		case <-s.Changed():
		case <-time.After(time.Minute):
			g.t.Fatalf("%d partitions are not shared out by %d members: %v", len(g.ids), members, counts)
		}
	}
}

func (g *group) end() {
	g.stop()
	g.running.Wait()
	g.mirror.Close()
}

// convergence measures how long it takes until partitions are shared out, at a cold start and when one more member
// comes, and how many of them move then.
func (w *world) convergence(t *testing.T, partitions, members, rounds int, within float64) []figure {
	t.Helper()
	var cold, joined, moved []float64
	for range rounds {
		g := w.newGroup(t, partitions)
		g.add(members)
		cold = append(cold, g.awaitBalance(members))
		before := g.mirror.Snapshot()
		g.add(1)
		joined = append(joined, g.awaitBalance(members+1))
		moves := 0
		for id, o := range g.mirror.Snapshot().Ownerships {
			if o.OwnerID != before.Ownerships[id].OwnerID {
				moves++
			}
		}
		moved = append(moved, float64(moves))
		g.end()
	}
	what := fmt.Sprintf("%d partitions, %d members: ", partitions, members)
	return []figure{
		{name: what + "from a cold start to an even share", values: cold, unit: "s", most: within},
		{name: what + "the same when one more comes", values: joined, unit: "s"},
		{name: what + "partitions that have moved then", values: moved, most: float64(partitions / (members + 1))},
	}
}
