package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// print has a member print events, the first of them in the second of that number.
func (l *ledger) print(member string, partition, first, next, phase, second int) {
	for n := first; n < next; n++ {
		l.add(member, event{partitionID(partition), n, body(partition, n)}, phase, time.Duration(second)*time.Second)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.print("alice", 3, 0, 5, 0, 0)
	l.print("alice", 4, 0, 2, 0, 0)
	l.print("bob", 3, 4, 7, 1, 1)
	l.print("alice", 3, 5, 6, 1, 2) // what it had in hand belongs to the run that it is of
	l.print("alice", 3, 7, 9, 2, 4)
	require.Equal(t, []*run{
		{partition: 3, member: "alice", first: 0, next: 6, phase: 0},
		{partition: 4, member: "alice", first: 0, next: 2, phase: 0},
		{partition: 3, member: "bob", first: 4, next: 7, phase: 1},
		{partition: 3, member: "alice", first: 7, next: 9, phase: 2},
	}, l.runs)
	require.Equal(t, 9, l.upTo[3])
	require.Equal(t, []string{"alice", "bob", "", "", "alice"}, l.strips[3])
	require.Empty(t, l.stray)
}

func TestGapsAreNotPassedOver(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.print("alice", 0, 0, 3, 0, 0)
	l.print("bob", 0, 5, 8, 0, 0)
	require.Equal(t, 3, l.upTo[0])
	l.print("alice", 0, 3, 5, 0, 0)
	require.Equal(t, 8, l.upTo[0])
}

func TestLinesThatAreNoEvents(t *testing.T) {
	t.Parallel()
	for _, e := range []event{
		{"00", 5, body(0, 6)}, // another's body
		{"12", 0, body(12, 0)},
		{"-1", 0, body(-1, 0)},
		{"0", 0, body(0, 0)},
		{"00", -1, body(0, -1)},
		{"", -1, "no JSON"},
	} {
		l := newLedger()
		l.add("alice", e, 0, 0)
		require.Len(t, l.stray, 1, "%+v", e)
		require.Empty(t, l.runs)
	}
}
