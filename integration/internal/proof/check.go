package proof

import (
	"fmt"
	"slices"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// The checks, by what they look for.
const (
	Gapless      = "the history has no gap"                                // else the others mean nothing
	OneOwner     = "a partition has one owner, on a lease"                 // G1
	NoOverlap    = "handlers do not run beside each other"                 // G2
	Trusted      = "no event begins without trust"                         // G2
	Bounded      = "trust ends before another owns the partition"          // G2
	Fenced       = "a checkpoint is its owner's"                           // G3
	Forward      = "checkpoints do not go back"                            // G3
	Covered      = "a checkpoint covers what its writer has handled"       // G3
	Acknowledged = "what is acknowledged is written"                       // G4
	Continued    = "a tenure begins where the checkpoint is"               // G5
	InOrder      = "a handler handles one event after the other"           // G5
	PlannedMoves = "a planned move repeats nothing"                        // G5
	Drained      = "a handler that does not drain is cut off in time"      // balancer rule 4
	NothingLost  = "every event is handled"                                // G5
	Handled      = "every partition is handled"                            // G6
	Recovered    = "everything is owned soon after all is healed"          // G6
	Rests        = "etcd is at rest when the group is"                     // balancer rule 2
	Ends         = "a run comes to its end"                                //
	Leaks        = "memory and goroutines come back to where they started" //
	Linear       = "claims, checkpoints and reads are linearizable"        // callers
	LateCopy     = "no late copy of a checkpoint lands"                    // callers
	Strays       = "nothing is owned by nobody's doing"                    // callers
)

// partition is what is known of one partition of a run.
type partition struct {
	id          string
	changes     []Change
	checkpoints []written
	tenures     []*Tenure
	run         *Run
	violations  Violations
}

// written is a checkpoint as etcd's history has it.
type written struct {
	Change

	owner string // of the partition at that revision; "" if nobody was
	fence int64  // the revision of the ownership
	first bool   // the first under that fence
}

func (p *partition) foundf(check, format string, args ...any) {
	p.violations = append(p.violations, Violation{check, "partition " + p.id + ": " + fmt.Sprintf(format, args...)})
}

// Check checks a run whose members were obedient, and which ended with all that was handled being checkpointed.
func Check(run Run) (Account, Violations) {
	var total Account
	var all Violations
	for _, gap := range run.Gaps {
		all = append(all, Violation{Gapless, gap})
	}
	changes := make(map[string][]Change)
	for _, c := range run.Changes {
		changes[c.Partition] = append(changes[c.Partition], c)
	}
	tenures := TenuresOf(run.Reports)
	for _, id := range run.Partitions {
		p := &partition{id: id, changes: changes[id], tenures: tenures[id], run: &run}
		p.checkOwners()
		p.checkHandlers()
		p.checkTrust()
		p.checkFences()
		p.checkMoves()
		total.Add(p.checkEvents())
		total.Tenures += len(p.tenures)
		all = append(all, p.violations...)
	}
	if run.Drain > 0 {
		all = append(all, checkDrains(run)...)
	}
	asked, unlinear := checkTransactions(run)
	total.Asked = asked
	all = append(all, unlinear...)
	answers, violations := checkAnswers(run)
	total.Add(answers)
	return total, append(all, violations...)
}

// checkOwners checks that nobody takes what a member owns, and lists the checkpoints with their owners.
func (p *partition) checkOwners() {
	var owner Change
	free, first := true, false
	for _, c := range p.changes {
		switch c.Kind {
		case Ownership:
			if !c.Deleted && !free && owner.OwnerID != "" && owner.OwnerID != c.OwnerID {
				p.foundf(OneOwner, "%s took it at revision %d while %s owned it", c.OwnerID, c.Revision, owner.OwnerID)
			}
			if !c.Deleted && !c.Leased {
				p.foundf(OneOwner, "%s's ownership at revision %d has no lease", c.OwnerID, c.Revision)
			}
			owner, free, first = c, c.Deleted, true
		case Checkpoint:
			if c.Deleted {
				p.foundf(Forward, "its checkpoint was deleted at revision %d", c.Revision)
				continue
			}
			w := written{Change: c, first: first}
			if !free {
				w.owner, w.fence = owner.OwnerID, owner.Revision
			}
			p.checkpoints, first = append(p.checkpoints, w), false
		}
	}
}

// checkHandlers checks that no tenure began before those before it had ended, and no event without trust.
func (p *partition) checkHandlers() {
	for _, overlap := range Overlaps(p.tenures) {
		if !p.wasRevoked(overlap) {
			p.foundf(NoOverlap, "%v", overlap)
		}
	}
	for _, t := range p.tenures {
		if late := t.Late(); len(late) > 0 {
			p.foundf(Trusted, "%d events, of which %d was begun at %v, %v after the end of trust, by %v", len(late),
				late[0].Sequence, late[0].Began, late[0].Began-late[0].Trusted, t)
		}
	}
}

// checkTrust checks that whoever has not given a partition up did not trust in it any more when another owned it,
// whether it handled an event then or not.
func (p *partition) checkTrust() {
	for _, t := range p.tenures {
		next := slices.IndexFunc(p.changes, func(c Change) bool {
			return c.Kind == Ownership && c.Revision > t.Fence && !c.Deleted
		})
		if t.Released != nil || p.run.Left[t.Member] || next < 0 || p.gaveUp(t) {
			continue
		}
		another := p.changes[next]
		if another.OwnerID == t.Member || p.wasRevoked(Overlap{t, &Tenure{Begin: another.Told, Fence: another.Revision}}) {
			continue
		}
		for _, r := range t.Events {
			if r.At < another.Told && r.Trusted > another.Told {
				p.foundf(Bounded, "%v trusted in it until %v, and %s owned it at revision %d, which was told at %v", t, r.Trusted,
					another.OwnerID, another.Revision, another.Told)
				break
			}
		}
	}
}

// gaveUp reports whether a tenure ended with a last checkpoint and a release, which are one transaction, whether its
// member was told so or not: the answer may be lost.
func (p *partition) gaveUp(t *Tenure) bool {
	end := slices.IndexFunc(p.changes, func(c Change) bool { return c.Kind == Ownership && c.Revision > t.Fence })
	if end < 1 || !p.changes[end].Deleted {
		return false
	}
	last := p.changes[end-1]
	return last.Kind == Checkpoint && last.Revision == p.changes[end].Revision && last.OwnerID == t.Member
}

// Overlap is two tenures of which the second began before the first had ended.
type Overlap struct{ Earlier, Later *Tenure }

func (o Overlap) String() string { return fmt.Sprintf("%v, and %v", o.Earlier, o.Later) }

// Overlaps returns those of a partition's tenures.
func Overlaps(tenures []*Tenure) (found []Overlap) {
	for i, t := range tenures {
		for _, earlier := range tenures[:i] {
			if t.Begin < earlier.End {
				found = append(found, Overlap{earlier, t})
			}
		}
	}
	return found
}

// wasRevoked reports whether the lease of whoever had claimed first may just have been revoked although it had been
// renewed, and the member not have noticed yet. It may have been slow, and have begun its first event after the other.
func (p *partition) wasRevoked(o Overlap) bool {
	loser, winner := o.Earlier, o.Later
	if winner.Fence < loser.Fence {
		loser, winner = winner, loser
	}
	just := func(at Interval) bool { return at.From <= winner.Begin && winner.Begin-p.run.TTL <= at.To }
	return slices.ContainsFunc(p.run.Revoked[loser.Member], just) || slices.ContainsFunc(p.run.Woken, just)
}

// Late returns the events that were begun when trust had ended.
func (t Tenure) Late() (found []member.Report) {
	for _, r := range t.Events {
		if r.Began > r.Trusted {
			found = append(found, r)
		}
	}
	return found
}

// checkFences checks that checkpoints never go back, although the last one may be written again with a release, and
// that each was written by who owned the partition then, and covers what that one had handled under the fence.
func (p *partition) checkFences() {
	last := int64(-1)
	for _, w := range p.checkpoints {
		if w.SequenceNumber < last {
			p.foundf(Forward, "from %d to %d at revision %d, by %s", last, w.SequenceNumber, w.Revision, w.OwnerID)
		}
		last = w.SequenceNumber
		if w.owner != w.OwnerID {
			p.foundf(Fenced, "%q wrote %d at revision %d, when %q was the owner",
				w.OwnerID, w.SequenceNumber, w.Revision, w.owner)
			continue
		}
		if !slices.ContainsFunc(p.tenures, func(t *Tenure) bool {
			return t.Member == w.owner && t.Fence == w.fence &&
				t.Events[0].Sequence <= w.SequenceNumber && w.SequenceNumber <= t.last()
		}) {
			p.foundf(Covered, "%q wrote %d at revision %d under fence %d and did not handle it",
				w.owner, w.SequenceNumber, w.Revision, w.fence)
		}
	}
}

// checkMoves checks that what a handler has handed over is written with the release, and so nothing is repeated.
func (p *partition) checkMoves() {
	for i, t := range p.tenures {
		if t.Finished == nil || t.Released == nil || t.Released.Outcome != "" ||
			slices.ContainsFunc(p.run.NoSpace, func(i Interval) bool {
				return t.Finished.At <= i.To && i.From <= t.Released.At
			}) {
			continue
		}
		next := t.Finished.Sequence + 1
		for _, later := range p.tenures[i+1:] {
			if later.Fence < t.Fence {
				continue // it was claimed before, and came late: what it may do then is looked at as an overlap
			}
			if first := later.Events[0].Sequence; first < next {
				p.foundf(PlannedMoves, "%v had handled up to %d, and %v began with %d", t, next-1, later, first)
			}
			break
		}
	}
}

// checkEvents checks that each tenure handles events in order from the checkpoint that its claim has found, and that no
// event is left out.
func (p *partition) checkEvents() Account {
	account := Account{Checkpoints: len(p.checkpoints)}
	handled := make(map[int64]bool)
	for _, t := range p.tenures {
		next := p.startOf(t)
		if first := t.Events[0].Sequence; first != next {
			p.foundf(Continued, "%v began with %d instead of %d", t, first, next)
			next = first
		}
		for _, event := range t.Events {
			if event.Sequence != next {
				p.foundf(InOrder, "%v handled %d when %d was next", t, event.Sequence, next)
			}
			next = event.Sequence + 1
			if handled[event.Sequence] {
				account.Repeated++
			}
			handled[event.Sequence] = true
		}
	}
	for sequence := range int64(len(handled)) {
		if !handled[sequence] {
			p.foundf(NothingLost, "event %d was left out", sequence)
			break
		}
	}
	account.Events = int64(len(handled))
	if account.Events == 0 {
		p.foundf(Handled, "no event of it was")
		return account
	}
	last := int64(-1)
	if n := len(p.checkpoints); n > 0 {
		last = p.checkpoints[n-1].SequenceNumber
	}
	if last >= account.Events {
		p.foundf(NothingLost, "its last checkpoint is %d, and %d events were handled", last, account.Events)
	}
	account.Unsaved = account.Events - 1 - last
	return account
}

// startOf returns the event that a tenure has to begin with: the one after the checkpoint that etcd had at its claim.
func (p *partition) startOf(t *Tenure) int64 {
	next := int64(0)
	for _, w := range p.checkpoints {
		if w.Revision < t.Fence {
			next = w.SequenceNumber + 1
		}
	}
	return next
}
