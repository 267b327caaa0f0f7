package demo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// good is evidence with which all is well: partition 0 moves from alice to bob as planned, and is taken over from bob
// when it crashes.
func good() evidence {
	e := evidence{
		phases: []phase{
			{name: "START", planned: true},
			{name: "ADD", what: "bob joins", planned: true, counted: true, fewest: 1},
			{name: "KILL", what: "bob is killed", counted: true, fewest: 1},
		},
		claims: []claim{
			{partition: 0, owner: "alice", next: 0, phase: 0},
			{partition: 0, owner: "bob", from: "alice", next: 10, phase: 1},
			{partition: 0, owner: "alice", from: "bob", next: 15, phase: 2},
		},
		runs: []run{
			{partition: 0, member: "alice", first: 0, next: 10, phase: 0},
			{partition: 0, member: "bob", first: 10, next: 18, phase: 1},
			{partition: 0, member: "alice", first: 15, next: 30, phase: 2},
		},
		rejected: 2,
	}
	e.appended[0] = 30
	return e
}

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	v := judge(good())
	require.Empty(t, v.wrong)
	require.Equal(t, 30, v.appended)
	require.Zero(t, v.lost)
	require.Zero(t, v.planned)
	require.Equal(t, 3, v.crashed)
	require.Equal(t, 2, v.rejected)
	require.Equal(t, []int{1, 1, 1}, []int{v.rows[0].moved, v.rows[1].moved, v.rows[2].moved})
	require.Equal(t, []int{0, 0, 3}, []int{v.rows[0].repeated, v.rows[1].repeated, v.rows[2].repeated})
}

// Whatever is not as promised is found, and nothing else.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(e *evidence)
		wrong string
	}{
		"an event is lost at the end": {
			func(e *evidence) { e.appended[0]++ }, "1 event was lost",
		},
		"a partition is never read": {
			func(e *evidence) { e.appended[5] = 1234 }, "1,234 events were lost",
		},
		"events are lost between two owners": {
			func(e *evidence) { e.runs[1].first, e.claims[1].next = 12, 12 }, "2 events were lost",
		},
		"a planned change repeats an event": {
			func(e *evidence) { e.runs[1].first, e.claims[1].next = 9, 9 },
			"bob joins: 1 event was repeated by a planned change",
		},
		"what an owner prints after it gave up is repeated too": {
			func(e *evidence) { e.runs[0].next = 13 }, "bob joins: 3 events were repeated by a planned change",
		},
		"an owner begins again within its tenure": {
			func(e *evidence) {
				e.runs = append(e.runs, run{partition: 0, member: "alice", first: 20, next: 22, phase: 2})
			}, "alice began partition 00 at event 20, and no claim of its own found a checkpoint there",
		},
		"a crash repeats more than what came after the checkpoint": {
			func(e *evidence) { e.runs[2].first = 14 },
			"alice began partition 00 at event 14, and no claim of its own found a checkpoint there",
		},
		"a member prints without a claim": {
			func(e *evidence) { e.claims[1].owner = "carol" },
			"bob began partition 00 at event 10, and no claim of its own found a checkpoint there",
		},
		"a partition moves in vain": {
			func(e *evidence) {
				e.claims = append(e.claims, claim{partition: 1, owner: "bob", from: "alice", phase: 1})
			}, "bob joins: 2 partitions moved, and 1 had to",
		},
		"a late checkpoint is accepted": {
			func(e *evidence) { e.wrong = []string{"bob wrote a checkpoint"} }, "bob wrote a checkpoint",
		},
		"an event was never appended": {
			func(e *evidence) { e.appended[0]-- }, "partition 00 holds 29 events, and event 29 was printed",
		},
		"a line is no event": {
			func(e *evidence) { e.stray = []string{"bob printed rubbish"} }, "bob printed rubbish",
		},
		"a member ends badly": {
			func(e *evidence) { e.exits = []string{"bob ended badly"} }, "bob ended badly",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := good()
			test.spoil(&e)
			v := judge(e)
			require.Equal(t, []string{test.wrong}, v.wrong)
			require.Contains(t, table(v), "WRONG: "+test.wrong)
		})
	}
}

func TestTableFitsIntoATerminal(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(table(judge(good()))) {
		require.LessOrEqual(t, len([]rune(line)), 80, line)
	}
}
