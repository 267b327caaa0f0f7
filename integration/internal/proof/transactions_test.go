package proof

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// TestAnswersThatWereNotTrueAreSeen tells what etcd may have answered to members from what it may not.
func TestAnswersThatWereNotTrueAreSeen(t *testing.T) {
	t.Parallel()
	owned := func(revision int64) member.Record {
		return member.Record{Kind: Ownership, Partition: "0", Revision: revision}
	}
	written := func(revision int64) member.Record {
		return member.Record{Kind: Checkpoint, Partition: "0", Revision: revision}
	}
	gone := member.Record{Kind: Ownership, Partition: "0", Deleted: true}
	changes := []Change{
		{Kind: Ownership, Partition: "0", Revision: 2},
		{Kind: Checkpoint, Partition: "0", Revision: 5},
		{Kind: Ownership, Partition: "0", Revision: 8, Deleted: true},
	}
	answer := func(began time.Duration, revision int64, wrote bool, parts ...member.Part) member.Report {
		return member.Report{
			Kind: member.Asked, Began: began, At: began + 1,
			Transaction: &member.Transaction{Revision: revision, Wrote: wrote, Parts: parts},
		}
	}
	claim := func(held bool) member.Part {
		return member.Part{If: []member.Record{owned(0)}, Held: held, Wants: []member.Record{owned(0)}}
	}
	update := func(chain int64, held bool) member.Part {
		return member.Part{If: []member.Record{owned(2), written(chain)}, Held: held, Wants: []member.Record{written(0)}}
	}
	release := member.Part{If: []member.Record{owned(2)}, Held: true, Wants: []member.Record{gone}}
	check := func(reports ...member.Report) int {
		n, found := checkTransactions(Run{Changes: changes, Reports: map[string][]member.Report{"a": reports}})
		require.Equal(t, len(reports), n)
		return len(found)
	}
	require.Zero(t, check(answer(10, 2, true, claim(true)), answer(20, 5, true, update(0, true)),
		answer(30, 6, false, update(0, false)), answer(40, 7, false, claim(false)), answer(50, 8, true, release)))
	free := member.Part{If: []member.Record{owned(0)}, Held: true}
	for what, reports := range map[string][]member.Report{
		"a claim has won, and is not there":  {answer(10, 4, true, claim(true))},
		"a claim is lost, and nobody had it": {answer(10, 8, false, claim(false))},
		"it was free, and had an owner":      {answer(10, 5, true, free)},
		"a fence held that did not":          {answer(10, 8, false, update(5, true))},
		"a chain held that did not":          {answer(10, 5, true, update(3, true))},
		"a chain did not hold that did":      {answer(10, 6, false, update(5, false))},
		"etcd has gone back":                 {answer(10, 5, true, update(0, true)), answer(20, 4, false, claim(false))},
	} {
		require.Positive(t, check(reports...), what)
	}
	require.Zero(t, check(answer(10, 6, false, member.Part{If: []member.Record{written(5)}, More: true})),
		"what else it compares did not hold")
}
