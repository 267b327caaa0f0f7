package plan

import (
	"cmp"
	"slices"
)

// exchange finds the best places for the choosy partitions: so that as many partitions as possible have an owner, the
// choosy and the open ones together, then as few as possible one that they are to avoid, then the load is as even as
// possible, then the moves are the fewest. Among plans that are equal in all this, the rank decides.
//
// It is a flow of least cost. It starts with the open partitions shared out among themselves; as they are alike but for
// who holds them, numbers stand for them. Then the choosy ones are added, one at a time, each by the cheapest chain: it
// goes to a member, which has a seat left for it or hands something else on to the next. With each chain the cheapest
// there is, the whole is the best there is for the partitions so far.
type exchange struct {
	*assignment

	places []place // by member, then nobody and the pool
	trade  bool    // choosy partitions may be handed on too, not only open ones
}

// place is a member, or one of two more: nobody, which has what fits nowhere, and the pool, through which all open
// partitions go that are handed on.
type place struct {
	seats  int   // how many it has been given
	choosy []int // the choosy partitions that it has

	// Of the open partitions:
	kept int // it holds and has
	gone int // it holds and has not
	came int // it has and does not hold

	// The cheapest chain that ends here and leaves it with one too many:
	cost    cost
	from    int // the place before
	what    int // what came from there: a choosy partition, or anyOpen
	updated bool
}

const (
	start   = -1 // in place.from: no place, the chain begins here
	anyOpen = -1 // in place.what: one of the open partitions
)

func newExchange(a *assignment) *exchange {
	x := &exchange{assignment: a, places: make([]place, len(a.seats)+2), trade: a.tradable()}
	for i := range a.seats {
		s, here := &a.seats[i], &x.places[i]
		here.seats = s.quota
		here.kept = min(s.held, s.quota) - s.bound
		here.gone = s.held - s.bound - here.kept
		here.came = s.quota - s.bound - here.kept
	}
	return x
}

func (x *exchange) nobody() int { return len(x.seats) }
func (x *exchange) pool() int   { return len(x.seats) + 1 }

// member returns the member at a place.
func (x *exchange) member(n int) int32 {
	if n >= len(x.seats) {
		return None
	}
	return int32(n) //nolint:gosec // members are indexed by int32
}

// add finds a place for choosy partition i. Some steps of a chain lower its cost, a partition coming home for instance,
// so places are looked at again until nothing gets cheaper (Bellman and Ford's way).
func (x *exchange) add(i int) {
	for n := range x.places {
		x.places[n].cost, x.places[n].updated = unreached, false
	}
	x.offer(i, start, cost{})
	for again := true; again; {
		again = false
		for n := range x.places {
			if x.places[n].updated {
				x.places[n].updated, again = false, true
				x.handOn(n)
			}
		}
	}
	x.follow(x.end())
}

// offer extends a chain by choosy partition i going from its end to wherever it can. The cost is what the chain's would
// be without the partition.
func (x *exchange) offer(i, from int, c cost) {
	w := &x.choosy[i]
	avoid := w.avoid
	for m := range x.seats {
		avoided := len(avoid) > 0 && int(avoid[0]) == m
		if avoided {
			avoid = avoid[1:]
		}
		if s := &x.seats[m]; s.takes() || s.capacity > 0 && int(x.holder[w.partition]) == m {
			x.reach(m, from, i, c.plus(x.price(w, m, avoided)))
		}
	}
	x.reach(x.nobody(), from, i, c.plus(x.price(w, x.nobody(), false)))
}

// price is what it costs that a choosy partition is at a place.
func (x *exchange) price(w *wish, place int, avoided bool) cost {
	c := cost{rank: rank(w.partition, place)}
	if avoided {
		c.avoided = 1
	}
	if h := x.holder[w.partition]; h != None && int(h) != place {
		c.moved = 1
	}
	return c
}

// handOn extends the chain that ends at a place by everything that can go on from there.
func (x *exchange) handOn(n int) {
	here := &x.places[n]
	switch {
	case n == x.nobody():
		return // there is room for everything
	case n == x.pool():
		x.handOut(here.cost)
		return
	case here.came > 0:
		x.reach(x.pool(), n, anyOpen, here.cost)
	case here.kept > 0:
		x.reach(x.pool(), n, anyOpen, here.cost.plus(cost{moved: 1}))
	}
	if !x.trade {
		return
	}
	for _, i := range here.choosy {
		w := &x.choosy[i]
		x.offer(i, n, here.cost.minus(x.price(w, n, w.avoids(x.member(n)))))
	}
}

// handOut extends the chain that ends at the pool, by an open partition that comes home or goes to somebody else.
func (x *exchange) handOut(c cost) {
	for m := range x.seats {
		switch s := &x.seats[m]; {
		case x.places[m].gone > 0 && s.capacity > 0:
			x.reach(m, x.pool(), anyOpen, c.minus(cost{moved: 1}))
		case s.takes():
			x.reach(m, x.pool(), anyOpen, c)
		}
	}
	x.reach(x.nobody(), x.pool(), anyOpen, c)
}

func (x *exchange) reach(n, from, what int, c cost) {
	if there := &x.places[n]; c.compare(there.cost) < 0 {
		there.cost, there.from, there.what, there.updated = c, from, what, true
	}
}

// end returns where the cheapest chain ends: at a member that has a seat left, or else at nobody.
func (x *exchange) end() int {
	best := x.nobody()
	for m := range x.seats {
		if x.places[m].cost == unreached || x.places[m].seats >= x.seats[m].capacity {
			continue
		}
		if best == x.nobody() || x.compareEnds(m, best) < 0 {
			best = m
		}
	}
	return best
}

func (x *exchange) compareEnds(m, n int) int {
	a, b := &x.places[m], &x.places[n]
	v, w := x.seats[m].weight, x.seats[n].weight
	return cmp.Or(
		cmp.Compare(a.cost.avoided, b.cost.avoided),
		compareLoads(a.seats+1, v, b.seats+1, w),
		a.cost.compare(b.cost),
	)
}

// follow carries out the chain that ends at a place.
func (x *exchange) follow(end int) {
	x.places[end].seats++
	for n := end; n != start; n = x.places[n].from {
		here := &x.places[n]
		switch {
		case here.what != anyOpen:
			x.put(here.what, n)
		case n == x.pool():
			if before := &x.places[here.from]; before.came > 0 {
				before.came--
			} else {
				before.kept--
				before.gone++
			}
		case here.gone > 0:
			here.gone--
			here.kept++
		default:
			here.came++
		}
	}
}

// put has choosy partition i at place n, and no longer at the place before.
func (x *exchange) put(i, n int) {
	here := &x.places[n]
	if here.from != start {
		before := &x.places[here.from]
		before.choosy = slices.DeleteFunc(before.choosy, func(other int) bool { return other == i })
	}
	here.choosy = append(here.choosy, i)
	x.choosy[i].at = x.member(n)
}
