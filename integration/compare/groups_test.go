package compare_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

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
	most   *float64 // the bar, nil for none
}

func (f figure) String() string {
	bar := "–"
	if f.most != nil {
		met := "met"
		if median(f.values) > *f.most {
			met = "**missed**"
		}
		bar = fmt.Sprintf("at most %s, %s", counted(*f.most, f.unit), met)
	}
	unit := ""
	if f.unit != "" {
		unit = " " + f.unit
	}
	return fmt.Sprintf("| %s | %s%s (%s to %s) | %s |\n", f.name, counted(median(f.values), f.unit), unit,
		counted(slices.Min(f.values), f.unit), counted(slices.Max(f.values), f.unit), bar)
}

// figures is a table of them in Markdown.
func figures(about string, all ...figure) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n\n| | median (least to most) | bar |\n|---|--:|--:|\n", about)
	for _, f := range all {
		text.WriteString(f.String())
	}
	return text.String() + "\n"
}

// group is members of one group, a client and a lease each, in this process.
type group struct {
	t         *testing.T
	endpoints []string
	spec      memberSpec // of all its members
	mirror    *etcdstore.Mirror
	running   sync.WaitGroup
	stop      context.CancelFunc
	ctx       context.Context //nolint:containedctx // The members' own, which end with the group.
}

// memberSpec is what a member needs to know.
type memberSpec struct {
	Endpoints  []string
	Group      etcdstore.Group
	Partitions []string
	TTL        time.Duration // 0 for the default
}

// member makes a member whose handlers do nothing but wait for their end.
func (m memberSpec) member(ctx context.Context, client *clientv3.Client) (*balancer.Member, error) {
	keeper, err := lease.NewKeeper(ctx, client, &lease.Options{TTL: m.TTL})
	if err != nil {
		return nil, err
	}
	store, err := etcdstore.New(client, keeper, nil)
	if err != nil {
		return nil, err
	}
	return balancer.New(store, m.Group, func(context.Context) ([]string, error) { return m.Partitions, nil },
		func(ctx context.Context, p *balancer.Partition) error {
			select {
			case <-ctx.Done():
			case <-p.Draining():
			}
			return nil
		}, nil)
}

// newGroup returns a group without members, which store watches.
func newGroup(
	t *testing.T, store *etcdstore.Store, endpoints []string, id etcdstore.Group, partitions int, ttl time.Duration,
) *group {
	t.Helper()
	g := &group{t: t, endpoints: endpoints, spec: memberSpec{Endpoints: endpoints, Group: id, TTL: ttl}}
	for i := range partitions {
		g.spec.Partitions = append(g.spec.Partitions, fmt.Sprint(i))
	}
	var err error
	g.mirror, err = store.Watch(t.Context(), g.spec.Group, nil)
	require.NoError(t, err)
	g.ctx, g.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	return g
}

// add has more members join at once.
func (g *group) add(members int) {
	g.t.Helper()
	joining := make([]*balancer.Member, members)
	for i := range joining {
		var err error
		joining[i], err = g.spec.member(g.t.Context(), etcdtest.NewClient(g.t, g.endpoints))
		require.NoError(g.t, err)
	}
	for _, member := range joining {
		g.running.Go(func() { _ = member.Run(g.ctx) }) // It is seen by what it owns.
	}
}

// awaitBalance waits until so many members own all partitions evenly, and returns how long that took. It looks no more
// often than a large group can stand.
func (g *group) awaitBalance(members int) float64 {
	g.t.Helper()
	began := time.Now()
	partitions := len(g.spec.Partitions)
	for {
		s := g.mirror.Snapshot()
		counts := make(map[string]int)
		for _, o := range s.Ownerships {
			counts[o.OwnerID]++
		}
		least, most := partitions, 0
		for _, n := range counts {
			least, most = min(least, n), max(most, n)
		}
		if len(s.Ownerships) == partitions && len(counts) == members && most-least <= 1 {
			return time.Since(began).Seconds()
		}
		select {
		case <-s.Changed():
			// Changes that come close together are looked at together: there is nothing to wait for but that time passes.
			time.Sleep(time.Duration(partitions) * 10 * time.Microsecond)
		case <-time.After(time.Minute):
			g.t.Fatalf("%d partitions are not shared out by %d members: %v", partitions, members, counts)
		}
	}
}

// awaitRest waits until nothing has changed in the group for a second.
func (g *group) awaitRest() {
	for {
		select {
		case <-g.mirror.Snapshot().Changed():
		case <-time.After(time.Second):
			return
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
func (w *world) convergence(t *testing.T, partitions, members, rounds int, within *float64) []figure {
	t.Helper()
	var cold, joined, moved []float64
	for range rounds {
		w.groups++
		g := newGroup(t, w.store, w.endpoints, groupOf(fmt.Sprintf("group-%d", w.groups)), partitions, 0)
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
		{name: what + "partitions that have moved then", values: moved, most: new(float64(partitions / (members + 1)))},
	}
}
