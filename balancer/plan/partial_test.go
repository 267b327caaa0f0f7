package plan

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A partition that is to move is, while a plan is being carried out, in one of these stages.
const (
	notYet int = iota
	released
	arrived
	stages
)

// carryOut carries a plan out in part: stage is asked for each partition that is to move.
func carryOut(in Input, to []int32, stage func() int) Input {
	in.Owner = slices.Clone(in.Owner)
	for p, m := range to {
		if in.Owner[p] == m {
			continue
		}
		switch stage() {
		case released:
			in.Owner[p] = None
		case arrived:
			in.Owner[p] = m
		}
	}
	return in
}

// requireKeptInAllParts fails unless the plan stays the same in all states in which it is carried out in part.
func requireKeptInAllParts(t *testing.T, in Input) {
	t.Helper()
	to := Assign(in)
	moves := 0
	for p, m := range to {
		if in.Owner[p] != m {
			moves++
		}
	}
	for drawn := range vectors(moves, stages-1) {
		next := 0
		part := carryOut(in, to, func() int {
			next++
			return int(drawn[next-1]) + 1
		})
		if again := Assign(part); !slices.Equal(to, again) {
			require.Equal(t, to, again, "%+v\n%+v", in, part)
		}
	}
}

// TestRandomParts carries plans for groups of all kinds out in random parts, one after the other.
func TestRandomParts(t *testing.T) {
	d := random(t)
	for range *instances {
		in := d.group(d(0, 20), d(0, 8))
		to := Assign(in)
		for range 3 {
			in = carryOut(in, to, func() int { return d(notYet, stages-1) })
			require.Equal(t, to, Assign(in), "%+v", in)
		}
	}
}
