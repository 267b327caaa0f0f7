package balancer

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/tenure-go/tenure/balancer/plan"
	"github.com/tenure-go/tenure/etcdstore"
)

// view is a group at one revision as the plan sees it. All members make the same view of the same revision.
type view struct {
	*etcdstore.Snapshot

	input      plan.Input
	holdings   *holdings
	rearranged bool             // the partitions are not those of the view before
	index      map[string]int   // of partitions
	memberAt   map[string]int32 // of members
	unowned    []int            // partitions that nobody owns
	hasForeign bool
	empty      bool // nobody owns anything
}

// newView returns the view of what has changed since the view before, which lends what is still the same, and the
// partitions where their list cannot be read: it can be used no longer. Gone are partitions whose ownership was
// deleted; with anew the ownerships of the snapshot are all there are.
func newView(s *etcdstore.Snapshot, gone []string, anew bool, before *view, now time.Time) *view {
	v := &view{Snapshot: s, holdings: before.holdings}
	v.input.Partitions = s.Controls.Partitions
	if v.input.Partitions == nil {
		v.input.Partitions = before.input.Partitions // deleted or corrupt: no reason to give everything up
	}
	v.index = before.index
	if v.rearranged = !slices.Equal(before.input.Partitions, v.input.Partitions); v.rearranged {
		v.index = make(map[string]int, len(v.input.Partitions))
		for i, id := range v.input.Partitions {
			v.index[id] = i
		}
		v.holdings.arrange(before.input.Partitions, v.input.Partitions, v.index, now)
	}
	v.holdings.takeIn(s.Ownerships, gone, anew, v.input.Partitions, v.index, now)
	v.addMembers()
	v.addOwners(before)
	v.addReserved()
	v.addControls()
	return v
}

// addOwners says who owns what, where the view before has said so.
func (v *view) addOwners(before *view) {
	at := make([]int32, len(v.holdings.ids))
	v.empty = true
	for n, id := range v.holdings.ids {
		at[n] = plan.None
		if n != nobody && v.holdings.owned[n] > 0 {
			at[n], v.empty = v.memberAt[id], false
		}
	}
	partitions := len(v.input.Partitions)
	v.input.Owner = slices.Grow(before.input.Owner[:0], partitions)[:partitions]
	v.unowned = before.unowned[:0]
	for i, n := range v.holdings.of {
		v.input.Owner[i] = at[n]
		if at[n] == plan.None {
			v.unowned = append(v.unowned, i)
		}
	}
}

// addMembers lists the members, and as foreign ones those owners that are none.
func (v *view) addMembers() {
	for id, m := range v.Members {
		_, drained := v.Controls.Drained[id]
		_, cordoned := v.Controls.Cordoned[id]
		v.input.Members = append(v.input.Members, plan.Member{
			ID: id, Weight: m.Weight, Capacity: m.Capacity, Cordoned: cordoned, Draining: drained || m.Leaving,
		})
	}
	for n, id := range v.holdings.ids {
		if _, member := v.Members[id]; member || n == nobody || v.holdings.owned[n] == 0 {
			continue
		}
		v.input.Members = append(v.input.Members, plan.Member{ID: id, Foreign: true})
		if _, away := v.Reserved[id]; !away {
			v.hasForeign = true // and not merely gone for a while
		}
	}
	slices.SortFunc(v.input.Members, func(a, b plan.Member) int { return cmp.Compare(a.ID, b.ID) })
	v.memberAt = make(map[string]int32, len(v.input.Members))
	for i := range v.input.Members {
		v.memberAt[v.input.Members[i].ID] = int32(i)
	}
}

// addReserved says what is kept for whom. Of two reservations of one partition the first in order counts.
func (v *view) addReserved() {
	if len(v.Reserved) == 0 {
		return
	}
	v.input.Reserved = v.none()
	for _, owner := range slices.Sorted(maps.Keys(v.Reserved)) {
		for _, id := range v.Reserved[owner] {
			i, ok := v.index[id]
			if !ok || v.input.Reserved[i] != plan.None {
				continue
			}
			v.input.Reserved[i] = plan.Away
			if _, present := v.Members[owner]; present {
				v.input.Reserved[i] = v.memberAt[owner]
			}
		}
	}
}

func (v *view) addControls() {
	if len(v.Controls.Pinned) > 0 {
		v.input.Pin = v.none()
	}
	for id, pin := range v.Controls.Pinned {
		i, ok := v.index[id]
		if at, present := v.memberAt[pin.OwnerID]; ok && present {
			v.input.Pin[i] = at
		}
	}
	if len(v.Controls.Paused) > 0 {
		v.input.Paused = make([]bool, len(v.input.Partitions))
	}
	for id := range v.Controls.Paused {
		if i, ok := v.index[id]; ok {
			v.input.Paused[i] = true
		}
	}
	for id, owners := range v.Controls.Avoid {
		for owner := range owners {
			v.avoid(id, owner)
		}
	}
	v.sortAvoid()
}

func (v *view) avoid(partition, owner string) {
	i, known := v.index[partition]
	if at, present := v.memberAt[owner]; known && present {
		v.input.Avoid = append(v.input.Avoid, [2]int32{int32(i), at}) //nolint:gosec // There are fewer.
	}
}

func (v *view) sortAvoid() {
	slices.SortFunc(v.input.Avoid, func(a, b [2]int32) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
}

func (v *view) none() []int32 {
	all := make([]int32, len(v.input.Partitions))
	for i := range all {
		all[i] = plan.None
	}
	return all
}

// without returns the plan if those members were passed over for those partitions as well.
func (v *view) without(suspects map[string][]string) []int32 {
	more := *v
	more.input.Avoid = slices.Clone(v.input.Avoid)
	for partition, owners := range suspects {
		for _, owner := range owners {
			more.avoid(partition, owner)
		}
	}
	more.sortAvoid()
	return plan.Assign(more.input)
}

// free reports whether nobody owns a partition.
func (v *view) free(partition int) bool { return v.input.Owner[partition] == plan.None }

// difference is something that planning rests on and that is not as it was: what, as a label, and in a few words.
type difference struct{ kind, text string }

// What may change, as labels.
const (
	changeJoined        = "joined"
	changeMemberJoined  = "member_joined"
	changeMemberLeaving = "member_leaving"
	changeMemberGone    = "member_gone"
	changeMemberShare   = "member_share"
	changePartitions    = "partitions"
	changeControls      = "controls"
	changeAvoided       = "avoided"
)

func changeKinds() []string {
	return []string{
		changeJoined, changeMemberJoined, changeMemberLeaving, changeMemberGone, changeMemberShare, changePartitions,
		changeControls, changeAvoided,
	}
}

// differs tells what planning rests on in v and did not in before. It is empty if nothing has changed but owners.
func (v *view) differs(before *view) difference {
	if before.Snapshot == nil {
		return difference{changeJoined, "joined"}
	}
	for id, m := range v.Members {
		switch was, there := before.Members[id]; {
		case !there:
			return difference{changeMemberJoined, "member " + id + " has joined"}
		case m.Leaving && !was.Leaving:
			return difference{changeMemberLeaving, "member " + id + " is leaving"}
		case m.Weight != was.Weight || m.Capacity != was.Capacity:
			return difference{changeMemberShare, "member " + id + " has another weight or capacity"}
		}
	}
	for id := range before.Members {
		if _, there := v.Members[id]; !there {
			return difference{changeMemberGone, "member " + id + " is gone"}
		}
	}
	now, was := v.Controls, before.Controls
	switch {
	case v.rearranged:
		return difference{changePartitions, "the partitions have changed"}
	case !maps.EqualFunc(now.Pinned, was.Pinned, sameOwner):
		return difference{changeControls, "pins have changed"}
	case !maps.EqualFunc(now.Paused, was.Paused, sameOwner):
		return difference{changeControls, "pauses have changed"}
	case !maps.EqualFunc(now.Cordoned, was.Cordoned, sameOwner), !maps.EqualFunc(now.Drained, was.Drained, sameOwner):
		return difference{changeControls, "cordons or drains have changed"}
	case !maps.EqualFunc(now.Avoid, was.Avoid, sameOwners):
		return difference{changeAvoided, "members to be passed over have changed"}
	}
	return difference{}
}

// sameOwner reports whether two controls mean the same to a plan.
func sameOwner(a, b etcdstore.Control) bool { return a.OwnerID == b.OwnerID }

func sameOwners(a, b map[string]etcdstore.Control) bool { return maps.EqualFunc(a, b, sameOwner) }
