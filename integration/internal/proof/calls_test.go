package proof

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// told is a caller's call, with when it was made and when it was answered.
func told(id int64, began, ended time.Duration, call member.Call, outcome string) []member.Report {
	call.ID = id
	return []member.Report{
		{Kind: member.Calling, At: began, Call: &call},
		{Kind: member.Called, Began: began, At: ended, Call: &call, Outcome: outcome},
	}
}

// What callers are told that is not true is found, and what is true is not.
func TestLiesAreFound(t *testing.T) {
	t.Parallel()
	// c.1 takes the partition at revision 2 and writes 10; its ownership is gone at 4; d.1 takes it at 5 and writes 20.
	changes := []Change{
		{Kind: Ownership, Partition: "0", Revision: 2, Leased: true, OwnerID: "c.1", Told: 15},
		{Kind: Checkpoint, Partition: "0", Revision: 3, SequenceNumber: 10, Told: 25},
		{Kind: Ownership, Partition: "0", Revision: 4, Deleted: true, Told: 35},
		{Kind: Ownership, Partition: "0", Revision: 5, Leased: true, OwnerID: "d.1", Told: 45},
		{Kind: Checkpoint, Partition: "0", Revision: 6, SequenceNumber: 20, Told: 55},
	}
	first := member.Call{Do: member.Claim, Partition: "0", Owner: "c.1", Won: "2", Start: -1}
	next := member.Call{Do: member.Claim, Partition: "0", Owner: "d.1", Won: "5", Start: 10}
	truth := slices.Concat(
		told(1, 10, 14, first, ""),
		told(2, 20, 24, member.Call{Do: member.Update, Partition: "0", Owner: "c.1", ETag: "2", Sequence: 10}, ""),
		told(3, 40, 44, next, ""),
		told(4, 50, 54, member.Call{Do: member.Update, Partition: "0", Owner: "d.1", ETag: "5", Sequence: 20}, ""),
	)
	update := func(sequence int64) member.Call {
		return member.Call{Do: member.Update, Partition: "0", Owner: "c.1", ETag: "2", Sequence: sequence}
	}
	list := func(listed member.Listed) member.Call {
		return member.Call{Do: member.ListOwnership, Listed: map[string]member.Listed{"0": listed}}
	}
	check := func(more []member.Report) Violations {
		_, violations := CheckCalls(Run{
			Partitions: []string{"0"}, Changes: changes, Reports: map[string][]member.Report{"c": slices.Concat(truth, more)},
		})
		return violations
	}
	claim := func(etag, won string) member.Call {
		return member.Call{Do: member.Claim, Partition: "0", Owner: "c.9", ETag: etag, Won: won}
	}
	lapsed := claim("5", "")
	lapsed.Lapsed = true
	for name, more := range map[string][]member.Report{
		"nothing":                          nil,
		"lost, since another has it":       told(9, 46, 49, claim("2", ""), ""),
		"lost, as the lease was gone":      told(9, 46, 49, lapsed, ""),
		"refused, since another has it":    told(9, 46, 49, update(11), member.OutcomeLost),
		"unknown, and never written":       told(9, 20, 24, update(11), member.OutcomeUnknown),
		"a listing":                        told(9, 46, 49, list(member.Listed{ETag: "5", Owner: "d.1"}), ""),
		"a listing, of what was there yet": told(9, 16, 44, list(member.Listed{ETag: "2", Owner: "c.1"}), ""),
	} {
		require.Empty(t, check(more), name)
	}
	for name, more := range map[string][]member.Report{
		"won, and was not":                  told(9, 46, 49, claim("5", "7"), ""),
		"lost, and nobody had taken it":     told(9, 46, 49, claim("5", ""), ""),
		"refused, and it was its own":       told(9, 16, 19, update(11), member.OutcomeLost),
		"written, and was not":              told(9, 26, 29, update(11), ""),
		"another writer, and there is none": told(9, 20, 24, update(11), member.OutcomeConflict),
		"a listing of what was gone":        told(9, 46, 49, list(member.Listed{ETag: "2", Owner: "c.1"}), ""),
		"a listing of what was to come":     told(9, 16, 19, list(member.Listed{ETag: "5", Owner: "d.1"}), ""),
	} {
		require.NotEmpty(t, check(more), name)
	}
}

// A checkpoint that its caller had given up lands after one that was begun later.
func TestALateCopyIsFound(t *testing.T) {
	t.Parallel()
	changes := []Change{
		{Kind: Ownership, Partition: "0", Revision: 2, Leased: true, OwnerID: "c.1", Told: 15},
		{Kind: Checkpoint, Partition: "0", Revision: 3, SequenceNumber: 20, Told: 45},
		{Kind: Checkpoint, Partition: "0", Revision: 4, SequenceNumber: 10, Told: 55},
	}
	_, violations := CheckCalls(Run{Partitions: []string{"0"}, Changes: changes, Reports: map[string][]member.Report{
		"c": slices.Concat(
			told(1, 10, 14, member.Call{Do: member.Claim, Partition: "0", Owner: "c.1", Won: "2", Start: -1}, ""),
			told(2, 20, 30, member.Call{Do: member.Update, Partition: "0", Owner: "c.1", ETag: "2", Sequence: 10},
				member.OutcomeUnknown),
			told(3, 40, 44, member.Call{Do: member.Update, Partition: "0", Owner: "c.1", ETag: "2", Sequence: 20}, ""),
		),
	}})
	require.Len(t, violations, 1)
	require.Equal(t, LateCopy, violations[0].Check)
}
