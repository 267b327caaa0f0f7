package balancer

import (
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// holdings is who owns which partition. It is kept from one look at the group to the next and takes in what has changed
// meanwhile, so that a look costs what has changed and not what there is: a large group has many members that look.
type holdings struct {
	me string

	ids    []string         // of owners, once each; the first is nobody's
	number map[string]int32 // of an owner, in ids
	owned  []int            // how many partitions each has

	// By the place of a partition among the group's.
	of        []int32     // its owner
	etags     []string    // of its record, empty where there is none
	last      []int32     // who was last seen to own it
	freeSince []time.Time // when it was first seen to be free, zero if it is not

	elsewhere map[string]holding // of partitions that are not among the group's

	takenAt time.Time // when somebody else was last seen to have taken what was free
}

type holding struct {
	owner int32
	etag  string
}

const nobody = 0

func newHoldings(me string) *holdings {
	return &holdings{
		me: me, ids: []string{""}, number: map[string]int32{"": nobody}, owned: []int{0},
		elsewhere: make(map[string]holding),
	}
}

// arrange gives partitions their places, which have had others before.
func (h *holdings) arrange(before, after []string, index map[string]int, now time.Time) {
	was := *h
	h.of, h.last = make([]int32, len(after)), make([]int32, len(after))
	h.etags, h.freeSince = make([]string, len(after)), make([]time.Time, len(after))
	for i, id := range before {
		if to, listed := index[id]; listed {
			h.of[to], h.last[to], h.etags[to], h.freeSince[to] = was.of[i], was.last[i], was.etags[i], was.freeSince[i]
		} else if was.etags[i] != "" {
			h.elsewhere[id] = holding{was.of[i], was.etags[i]}
		}
	}
	for id, stands := range h.elsewhere {
		if i, listed := index[id]; listed {
			h.owned[stands.owner]-- // which see adds
			h.see(i, stands.owner, stands.etag, now)
			delete(h.elsewhere, id)
		}
	}
	for i, since := range h.freeSince {
		if h.of[i] == nobody && since.IsZero() {
			h.freeSince[i] = now
		}
	}
}

// takeIn takes in the records that have changed and those that are gone. With anew the changed ones are all there are.
func (h *holdings) takeIn(
	changed map[string]etcdstore.Ownership, gone []string, anew bool,
	partitions []string, index map[string]int, now time.Time,
) {
	if anew {
		for _, id := range partitions {
			if _, stands := changed[id]; !stands {
				h.put(id, etcdstore.Ownership{}, index, now)
			}
		}
		for id := range h.elsewhere {
			if _, stands := changed[id]; !stands {
				h.put(id, etcdstore.Ownership{}, index, now)
			}
		}
	}
	for id, r := range changed {
		h.put(id, r, index, now)
	}
	for _, id := range gone {
		h.put(id, etcdstore.Ownership{}, index, now)
	}
	if len(h.ids) > 2*len(partitions)+100 {
		h.renumber()
	}
}

// put takes in a partition's record, or with an empty etag that there is none.
func (h *holdings) put(id string, r etcdstore.Ownership, index map[string]int, now time.Time) {
	owner := h.numberOf(r.OwnerID)
	if i, listed := index[id]; listed {
		if h.etags[i] != "" {
			h.owned[h.of[i]]--
		}
		h.see(i, owner, r.ETag, now)
		return
	}
	if before, stands := h.elsewhere[id]; stands {
		h.owned[before.owner]--
		delete(h.elsewhere, id)
	}
	if r.ETag != "" {
		h.owned[owner]++
		h.elsewhere[id] = holding{owner, r.ETag}
	}
}

// see notes who owns the partition at a place, or since when nobody does.
func (h *holdings) see(i int, owner int32, etag string, now time.Time) {
	if etag != "" {
		h.owned[owner]++
	}
	if h.of[i] == nobody && owner != nobody && h.ids[owner] != h.me {
		h.takenAt = now
	}
	h.of[i], h.etags[i] = owner, etag
	switch {
	case owner != nobody:
		h.last[i], h.freeSince[i] = owner, time.Time{}
	case h.freeSince[i].IsZero():
		h.freeSince[i] = now
	}
}

// etag returns the etag of a partition's record, empty if there is none, and who owns it.
func (h *holdings) etag(s *slot) (etag, owner string) {
	if s.place >= 0 {
		return h.etags[s.place], h.ids[h.of[s.place]]
	}
	stands := h.elsewhere[s.id]
	return stands.etag, h.ids[stands.owner]
}

func (h *holdings) numberOf(id string) int32 {
	n, known := h.number[id]
	if !known {
		n = int32(len(h.ids)) //nolint:gosec // There are fewer.
		h.ids, h.owned, h.number[id] = append(h.ids, id), append(h.owned, 0), n
	}
	return n
}

// renumber forgets owners that have had nothing for long.
func (h *holdings) renumber() {
	was := *h
	h.ids, h.number, h.owned = []string{""}, map[string]int32{"": nobody}, []int{0}
	again := func(owner int32) int32 {
		n := h.numberOf(was.ids[owner])
		h.owned[n] = was.owned[owner]
		return n
	}
	for i := range h.of {
		h.of[i], h.last[i] = again(h.of[i]), again(h.last[i])
	}
	for id, stands := range h.elsewhere {
		h.elsewhere[id] = holding{again(stands.owner), stands.etag}
	}
}
