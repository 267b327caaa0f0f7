package plan

import (
	"cmp"
	"slices"
)

// wish is what a choosy partition wants.
type wish struct {
	partition int
	avoid     []int32 // in order
	at        int32   // who has it so far
}

func (w *wish) avoids(m int32) bool {
	_, found := slices.BinarySearch(w.avoid, m)
	return found
}

// markChoosy finds the partitions that are open and have members to avoid, whatever order the pairs are in.
func (a *assignment) markChoosy() {
	pairs := make([][2]int32, 0, len(a.Avoid))
	for _, pair := range a.Avoid {
		p, m := pair[0], pair[1]
		if p >= 0 && int(p) < len(a.to) && a.to[p] == open && m >= 0 && int(m) < len(a.seats) {
			pairs = append(pairs, pair)
		}
	}
	slices.SortFunc(pairs, func(x, y [2]int32) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
	for _, pair := range slices.Compact(pairs) {
		p, m := int(pair[0]), pair[1]
		if a.to[p] == open {
			a.to[p] = choosy
			a.choosy = append(a.choosy, wish{partition: p, at: None})
		}
		w := &a.choosy[len(a.choosy)-1]
		w.avoid = append(w.avoid, m)
	}
}

// passedOver reports whether a choosy partition is to avoid a member while there is another one to take it.
func (a *assignment) passedOver(p int, m int32) bool {
	i, _ := slices.BinarySearchFunc(a.choosy, p, func(w wish, p int) int { return cmp.Compare(w.partition, p) })
	w := &a.choosy[i]
	if !w.avoids(m) {
		return false
	}
	for other := range a.seats {
		if a.seats[other].takes() && !w.avoids(int32(other)) {
			return true
		}
	}
	return false
}

// bindChoosy decides who owns the choosy partitions, so that the whole plan is the best there is, see [exchange].
func (a *assignment) bindChoosy() {
	a.forgetBound()
	if !a.tradable() {
		a.bindStaying()
		a.forgetBound()
	}
	if len(a.choosy) == 0 {
		return
	}
	a.share()
	x := newExchange(a)
	for i := range a.choosy {
		x.add(i)
	}
	for _, w := range a.choosy {
		a.bind(w.partition, w.at)
	}
}

func (a *assignment) forgetBound() {
	a.choosy = slices.DeleteFunc(a.choosy, func(w wish) bool { return a.to[w.partition] != choosy })
}

// tradable reports whether the choosy partitions are few enough to be exchanged with each other, which takes a time
// that grows with the square of their number, times the members.
func (a *assignment) tradable() bool {
	const limit = 1 << 22
	return len(a.choosy) == 0 || len(a.choosy) <= limit/(len(a.seats)+1)/len(a.choosy)
}

// bindStaying leaves choosy partitions where they are, if they need not avoid that, up to each member's fair share. It
// is for when there are too many of them to find the best plan.
func (a *assignment) bindStaying() {
	var staying []wish
	for _, w := range a.choosy {
		if h := a.holder[w.partition]; h != None && !w.avoids(h) {
			staying = append(staying, w)
		}
	}
	count := func(times int) {
		a.open += times * (len(a.choosy) - len(staying))
		for _, w := range staying {
			a.count(w.partition, times)
		}
	}
	count(1)
	a.share()
	count(-1)
	for _, w := range staying {
		if h := a.holder[w.partition]; a.seats[h].bound < a.seats[h].quota {
			a.bind(w.partition, h)
		}
	}
}
