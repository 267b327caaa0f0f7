package compare_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tenure-go/tenure/balancer/plan"
)

// Both planners get the same group in the same form, each member with the partitions that it owns, and return the same:
// each member's partitions. What they make of it in between, strings and maps or indices, is their own and is timed.
// Only what belongs to Kafka's protocol is not: encoding and decoding the members' metadata around the balancer.

const topic = "events"

// owned has, by member, the numbers of the partitions that it owns.
type owned [][]int32

func memberID(m int) string { return fmt.Sprintf("member-%06d", m) }

// tenure plans with balancer/plan. The ids of partitions and members are there as they would be in records.
type tenure struct {
	partitions []string
	members    []plan.Member
}

func newTenure(partitions, members int) *tenure {
	t := &tenure{partitions: make([]string, partitions), members: make([]plan.Member, members)}
	for p := range t.partitions {
		t.partitions[p] = fmt.Sprintf("%07d", p)
	}
	for m := range t.members {
		t.members[m].ID = memberID(m)
	}
	return t
}

func (t *tenure) balance(now owned) owned {
	in := plan.Input{Partitions: t.partitions, Members: t.members, Owner: make([]int32, len(t.partitions))}
	for p := range in.Owner {
		in.Owner[p] = plan.None
	}
	for m, partitions := range now {
		for _, p := range partitions {
			in.Owner[p] = int32(m)
		}
	}
	planned := make(owned, len(now))
	for p, m := range plan.Assign(in) {
		planned[m] = append(planned[m], int32(p))
	}
	return planned
}

// franz plans with a balancer of franz-go, as the leader of a Kafka group does.
type franz struct {
	balancer kgo.GroupBalancer
	topics   map[string]int32
}

// prepare has the members join, and returns what the leader does then.
func (f *franz) prepare(tb testing.TB, now owned) (balance func() owned) {
	tb.Helper()
	members := make([]kmsg.JoinGroupResponseMember, len(now))
	for m, partitions := range now {
		current := map[string][]int32{}
		if len(partitions) > 0 {
			current[topic] = partitions
		}
		members[m] = kmsg.NewJoinGroupResponseMember()
		members[m].MemberID = memberID(m)
		members[m].ProtocolMetadata = f.balancer.JoinGroupMetadata([]string{topic}, current, 1)
	}
	balancer, _, err := f.balancer.MemberBalancer(members)
	require.NoError(tb, err)
	fallible, ok := balancer.(kgo.GroupMemberBalancerOrError)
	require.True(tb, ok)
	return func() owned {
		assignment, err := fallible.BalanceOrError(f.topics)
		require.NoError(tb, err)
		result, ok := assignment.(*kgo.BalancePlan)
		require.True(tb, ok)
		planned := make(owned, len(now))
		for m, byTopic := 0, result.AsMemberIDMap(); m < len(planned); m++ {
			planned[m] = byTopic[memberID(m)][topic]
		}
		return planned
	}
}

// requireBalanced fails unless each partition is planned once, counts differ by one at most, and nothing has moved.
func requireBalanced(tb testing.TB, partitions int, now, planned owned) {
	tb.Helper()
	to := make([]int, partitions)
	least, most, twice, moved := partitions, 0, 0, 0
	for m, mine := range planned {
		least, most = min(least, len(mine)), max(most, len(mine))
		for _, p := range mine {
			if to[p] != 0 {
				twice++
			}
			to[p] = m + 1
		}
	}
	for m, mine := range now {
		for _, p := range mine {
			if to[p] != m+1 {
				moved++
			}
		}
	}
	require.NotContains(tb, to, 0, "not planned")
	require.Zero(tb, twice, "planned twice")
	require.LessOrEqual(tb, most-least, 1)
	require.Zero(tb, moved, "moved")
}

// compare has both plan in turn and returns how long each took.
func compare(tb testing.TB, partitions int, now owned, other *franz) (ours, theirs time.Duration) {
	tb.Helper()
	t := newTenure(partitions, len(now))
	ours = timed(tb, partitions, now, func() owned { return t.balance(now) })
	theirs = timed(tb, partitions, now, other.prepare(tb, now))
	return ours, theirs
}

// timed returns how long it takes to plan, and checks the plan.
func timed(tb testing.TB, partitions int, now owned, balance func() owned) time.Duration {
	tb.Helper()
	runtime.GC() // not what others left behind
	began := time.Now()
	planned := balance()
	took := time.Since(began)
	requireBalanced(tb, partitions, now, planned)
	return took
}

// compareAll calls f for all groups, each with both of franz-go's sticky balancers. The cooperative one plans like the
// other one and then takes partitions out that must be released first.
func compareAll(partitions int32, members int, f func(name string, now owned, other *franz)) {
	nothing := make(owned, members)
	others := newTenure(int(partitions), members).balance(nothing)[1:]
	for _, balancer := range []kgo.GroupBalancer{kgo.CooperativeStickyBalancer(), kgo.StickyBalancer()} {
		other := &franz{balancer: balancer, topics: map[string]int32{topic: partitions}}
		f("from nothing/"+balancer.ProtocolName(), nothing, other)
		f("one left/"+balancer.ProtocolName(), others, other)
	}
}

// TestPlans: all balance the same groups, without a move.
func TestPlans(t *testing.T) {
	const partitions, members = 1_000, 30
	compareAll(partitions, members, func(name string, now owned, other *franz) {
		t.Run(name, func(t *testing.T) { compare(t, partitions, now, other) })
	})
}

// BenchmarkPlan plans a million partitions for 2,000 members, in turns with franz-go.
func BenchmarkPlan(b *testing.B) {
	const partitions, members = 1_000_000, 2_000
	compareAll(partitions, members, func(name string, now owned, other *franz) {
		b.Run(name, func(b *testing.B) {
			var ours, theirs, ratios []float64
			for b.Loop() {
				o, t := compare(b, partitions, now, other)
				ours, theirs = append(ours, o.Seconds()*1e3), append(theirs, t.Seconds()*1e3)
				ratios = append(ratios, float64(t)/float64(o))
			}
			b.ReportMetric(0, "ns/op") // which would be of both, and of checking them
			b.ReportMetric(median(ours), "plan-ms")
			b.ReportMetric(median(theirs), "franz-go-ms")
			b.ReportMetric(median(ratios), "franz-go/plan")
		})
	})
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
