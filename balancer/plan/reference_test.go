package plan

import (
	"cmp"
	"iter"
	"slices"
)

// verdict is how good an assignment is, in order of importance. It is worked out from the rules alone, without any of
// the planner's code, and only for instances small enough to try all assignments.
type verdict struct {
	unbound    int      // pins that do not bind though they could
	unassigned int      // partitions without an owner that could have one
	avoided    int      // partitions with a member that they are to avoid
	loads      [][2]int // every seat's count and weight, the highest load first
	moved      int      // partitions that leave the member that holds them
}

func (v verdict) compare(w verdict) int {
	return cmp.Or(
		cmp.Compare(v.unbound, w.unbound),
		cmp.Compare(v.unassigned, w.unassigned),
		cmp.Compare(v.avoided, w.avoided),
		slices.CompareFunc(v.loads, w.loads, byLoad),
		cmp.Compare(v.moved, w.moved),
	)
}

func byLoad(x, y [2]int) int { return cmp.Compare(x[0]*y[1], y[0]*x[1]) }

// judge returns how good an assignment is and whether it is allowed at all.
func judge(in Input, to []int32) (verdict, bool) {
	var v verdict
	counts, bound := make([]int, len(in.Members)), boundPins(in)
	for p, m := range to {
		holder, settled := situation(in, p)
		if settled != nil {
			if *settled != m {
				return v, false
			}
			continue
		}
		if holder != None && holder != m {
			v.moved++
		}
		if bound[p] != None && bound[p] != m {
			v.unbound++
		}
		if m == None {
			v.unassigned++
			continue
		}
		if !mayHave(in, p, m) {
			return v, false
		}
		if avoids(in, p, m) && bound[p] != m {
			v.avoided++
		}
		counts[m]++
	}
	for m, n := range counts {
		if limit := in.Members[m].Capacity; limit > 0 && n > limit {
			return v, false
		}
		for seat := 1; seat <= n; seat++ {
			v.loads = append(v.loads, [2]int{seat, max(in.Members[m].Weight, 1)})
		}
	}
	slices.SortFunc(v.loads, func(x, y [2]int) int { return byLoad(y, x) })
	return v, true
}

// situation returns who holds a partition and, if that is no question, who is to own it.
func situation(in Input, p int) (holder int32, settled *int32) {
	owner, reserved, nobody := entry(in.Owner, p), entry(in.Reserved, p), None
	switch {
	case owner != None && in.Members[owner].Foreign:
		return owner, &owner
	case in.Paused != nil && in.Paused[p]:
		return None, &nobody
	case owner != None:
		return owner, nil
	case reserved == Away || reserved != None && in.Members[reserved].Foreign:
		return None, &nobody
	}
	return reserved, nil
}

func entry(slice []int32, p int) int32 {
	if slice == nil {
		return None
	}
	return slice[p]
}

// boundPins returns where pins bind. Of more pins than its capacity a member has those that are there already, then the
// first.
func boundPins(in Input) []int32 {
	bound, counts := make([]int32, len(in.Partitions)), make([]int, len(in.Members))
	for p := range bound {
		bound[p] = None
	}
	for _, there := range []bool{true, false} {
		for p := range bound {
			pin := entry(in.Pin, p)
			holder, settled := situation(in, p)
			if settled != nil || pin == None || there != (holder == pin) || !mayHave(in, p, pin) || passedOver(in, p, pin) {
				continue
			}
			if limit := in.Members[pin].Capacity; limit == 0 || counts[pin] < limit {
				bound[p] = pin
				counts[pin]++
			}
		}
	}
	return bound
}

// mayHave reports whether a partition may be with a member, capacities aside.
func mayHave(in Input, p int, m int32) bool {
	holder, _ := situation(in, p)
	return takes(in.Members[m]) || in.Members[m].Cordoned && !in.Members[m].Draining && holder == m
}

func takes(m Member) bool { return !m.Foreign && !m.Draining && !m.Cordoned }

func avoids(in Input, p int, m int32) bool {
	return slices.ContainsFunc(in.Avoid, func(pair [2]int32) bool { return int(pair[0]) == p && pair[1] == m })
}

// passedOver reports whether a pin to a member gives way to its being avoided.
func passedOver(in Input, p int, m int32) bool {
	if !avoids(in, p, m) {
		return false
	}
	for other, member := range in.Members {
		if takes(member) && !avoids(in, p, int32(other)) {
			return true
		}
	}
	return false
}

// best tries all assignments.
func best(in Input) verdict {
	var found *verdict
	for to := range vectors(len(in.Partitions), len(in.Members)) {
		if v, allowed := judge(in, to); allowed && (found == nil || v.compare(*found) < 0) {
			found = &v
		}
	}
	return *found
}

// vectors are all of a length with None and the indices below high in them. They share their memory.
func vectors(length, high int) iter.Seq[[]int32] {
	return func(yield func([]int32) bool) {
		vector := slices.Repeat([]int32{None}, length)
		for yield(vector) {
			i := 0
			for ; i < length; i++ {
				if vector[i]++; int(vector[i]) < high {
					break
				}
				vector[i] = None
			}
			if i == length {
				return
			}
		}
	}
}
