package demo

import (
	"cmp"
	"slices"
	"time"
)

// phase is the time in which one change shows what it does.
type phase struct {
	name string // in a word
	what string // as in "dave joins"

	// planned changes must not repeat any event. The others are crashes.
	planned bool

	// fewest is how many partitions have to move. Where counted is false it depends on how soon which process is up.
	fewest  int
	counted bool

	from time.Time     // when the change was made
	took time.Duration // until every partition had the owner and the reader that the plan wants
}

// fewestMoves returns how many partitions have to change hands until the members share them evenly. held is what each
// member has by now; who is not among members has to give up all.
func fewestMoves(held map[string]int, members []string) int {
	total := 0
	for _, n := range held {
		total += n
	}
	if len(members) == 0 {
		return 0
	}
	counts := make([]int, 0, len(members))
	for _, member := range members {
		counts = append(counts, held[member])
	}
	// Who has most keeps one of those that cannot be shared evenly.
	slices.SortFunc(counts, func(a, b int) int { return cmp.Compare(b, a) })
	kept := 0
	for i, n := range counts {
		share := total / len(members)
		if i < total%len(members) {
			share++
		}
		kept += min(n, share)
	}
	return total - kept
}
