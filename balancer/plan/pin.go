package plan

// bindPins gives pinned partitions to their members, as far as those may have them. Of more pins than a member's
// capacity those bind that are there already, then the first ones.
func (a *assignment) bindPins() {
	if a.Pin == nil {
		return
	}
	for _, there := range []bool{true, false} {
		for p, to := range a.to {
			if to != open && to != choosy {
				continue
			}
			m := a.indexOf(a.Pin, p)
			if m == None || there != (a.holder[p] == m) || to == choosy && a.passedOver(p, m) {
				continue
			}
			if s := &a.seats[m]; s.bound < s.capacity && (there || s.takes()) {
				a.bind(p, m)
			}
		}
	}
}
