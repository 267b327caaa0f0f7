package compare_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

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

// timed returns how long it takes to plan, and checks the plan.
func timed(tb testing.TB, partitions int, now owned, balance func() owned) measures {
	tb.Helper()
	runtime.GC() // not what others left behind
	var planned owned
	took := howLong(func() { planned = balance() })
	requireBalanced(tb, partitions, now, planned)
	return measures{time_: took}
}

// planning is the contests of sharing out all partitions, and those of a member that has left, with both of franz-go's
// sticky balancers. The cooperative one plans like the other one and then takes partitions out that must be released
// first.
func planning(partitions, members int) []contest {
	ours := newTenure(partitions, members)
	nothing := make(owned, members)
	left := ours.balance(nothing)[1:]
	var contests []contest
	for _, group := range []struct {
		name string
		now  owned
	}{{"from nothing", nothing}, {"one has left", left}} {
		c := contest{
			name:  fmt.Sprintf("Plan %d partitions for %d members, %s", partitions, len(group.now), group.name),
			about: "All share evenly and move nothing without need. Only what belongs to Kafka's protocol is not timed.",
		}
		// The members of a group without one are fewer.
		planner := &tenure{partitions: ours.partitions, members: ours.members[:len(group.now)]}
		c.contenders = append(c.contenders, contender{"Tenure", func(t *testing.T) measures {
			return timed(t, partitions, group.now, func() owned { return planner.balance(group.now) })
		}})
		for _, balancer := range []kgo.GroupBalancer{kgo.CooperativeStickyBalancer(), kgo.StickyBalancer()} {
			name := "franz-go, " + balancer.ProtocolName()
			other := &franz{balancer: balancer, topics: map[string]int32{topic: int32(partitions)}}
			c.contenders = append(c.contenders, contender{name, func(t *testing.T) measures {
				return timed(t, partitions, group.now, other.prepare(t, group.now))
			}})
			c.rows = append(c.rows, row{measure: time_, unit: "ms", scale: 1e3, less: true, peer: name, bar: 1})
		}
		contests = append(contests, c)
	}
	return contests
}

// TestPlans: all balance the same groups, without a move.
func TestPlans(t *testing.T) {
	for _, c := range planning(1_000, 30) {
		c.hold(t, 1)
	}
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
