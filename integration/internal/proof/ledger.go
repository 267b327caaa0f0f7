package proof

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// ledger is one partition's calls and changes.
type ledger struct {
	id         string
	calls      []*call
	changes    []Change
	account    *CallAccount
	violations Violations

	operations []porcupine.Operation
	ended      map[int64]time.Duration // by the number of a checkpoint: when its call returned
}

func (l *ledger) foundf(check, format string, args ...any) {
	l.violations = append(l.violations, Violation{check, "partition " + l.id + ": " + fmt.Sprintf(format, args...)})
}

// stand is how a partition stands.
type stand struct {
	revision int64 // of the latest change
	etag     int64 // of the ownership, 0 if there is none
	owner    string
	sequence int64 // of the checkpoint, -1 if there is none
	fence    int64 // under which it was written
}

// step is what happens.
type step struct {
	text string
	do   func(stand) (stand, bool) // it fails if it cannot at that stand
}

var model = porcupine.Model{
	Init: func() any { return stand{sequence: -1} },
	Step: func(state, input, _ any) (bool, any) {
		s, isStep := input.(step)
		at, isStand := state.(stand)
		next, ok := s.do(at)
		return ok && isStep && isStand, next
	},
}

func (l *ledger) add(began, ended time.Duration, text string, do func(stand) (stand, bool)) {
	l.operations = append(l.operations, porcupine.Operation{
		Call: int64(began), Return: int64(ended), Input: step{text, do},
	})
}

// change adds a step that changes etcd, at a revision.
func (l *ledger) change(began, ended time.Duration, c Change, text string, do func(stand) (stand, bool)) {
	l.add(began, ended, fmt.Sprintf("at revision %d %s", c.Revision, text), func(at stand) (stand, bool) {
		next, ok := do(at)
		next.revision = c.Revision
		return next, ok && at.revision < c.Revision
	})
}

func (l *ledger) check() {
	claims, updates := make(map[string]*call), make(map[int64]*call)
	l.ended = make(map[int64]time.Duration)
	for _, c := range l.calls {
		switch c.Do {
		case member.Claim:
			claims[c.Owner] = c
		case member.Update:
			updates[c.Sequence] = c
			l.ended[c.Sequence] = c.ended
		}
	}
	l.addChanges(claims, updates)
	l.checkLate(updates)
	for _, c := range l.calls {
		l.addAnswer(c)
	}
	result, info := porcupine.CheckOperationsVerbose(model, l.operations, linearizeFor)
	switch result {
	case porcupine.Ok:
	case porcupine.Illegal:
		l.foundf(Linear, "there is no order of its %d calls and changes in which all answers are true: %s",
			len(l.operations), l.explain(info.PartialLinearizationsOperations()))
	case porcupine.Unknown:
		l.foundf(Linear, "no order of its %d calls and changes was found in %v", len(l.operations), linearizeFor)
	}
}

// explain tells where the longest order ends, and what had to come next.
func (l *ledger) explain(partial [][][]porcupine.Operation) string {
	var longest []porcupine.Operation
	for _, order := range partial[0] {
		if len(order) > len(longest) {
			longest = order
		}
	}
	type id struct {
		began, ended int64
		text         string
	}
	textOf := func(o porcupine.Operation) string {
		s, _ := o.Input.(step)
		return s.text
	}
	of := func(o porcupine.Operation) id { return id{o.Call, o.Return, textOf(o)} }
	done := make(map[id]bool)
	at := model.Init()
	for _, o := range longest {
		done[of(o)] = true
		_, at = model.Step(at, o.Input, nil)
	}
	open := slices.DeleteFunc(slices.Clone(l.operations), func(o porcupine.Operation) bool { return done[of(o)] })
	slices.SortFunc(open, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	var text strings.Builder
	const enough = 12
	list := func(all []porcupine.Operation) {
		for _, o := range all {
			fmt.Fprintf(&text, "\n    from %v to %v: %s", time.Duration(o.Call), time.Duration(o.Return), textOf(o))
		}
	}
	fmt.Fprintf(&text, "%d end with", len(longest))
	list(longest[max(0, len(longest)-enough):])
	fmt.Fprintf(&text, "\n  which comes to %+v. Among those left are", at)
	list(open[:min(len(open), enough)])
	return text.String()
}

// addChanges adds all that has changed, whoever's doing it was.
func (l *ledger) addChanges(claims map[string]*call, updates map[int64]*call) {
	latest := make(map[string]int64) // the revision of each owner's record
	var stands Change
	for _, c := range l.changes {
		switch {
		case c.Kind == Ownership && c.Deleted:
			gone := stands.Revision
			l.account.Expired++
			l.change(0, c.Told, c, fmt.Sprintf("%d is gone", gone), func(at stand) (stand, bool) {
				ok := at.etag == gone
				at.etag, at.owner = 0, ""
				return at, ok
			})
		case c.Kind == Ownership:
			claim, before := claims[c.OwnerID], latest[c.OwnerID]
			latest[c.OwnerID], stands = c.Revision, c
			switch {
			case claim == nil:
				l.foundf(Linear, "%s took it at revision %d and never asked for it", c.OwnerID, c.Revision)
			case before != 0:
				l.account.TakenOver++
				l.own(claim.began, c.Told, c, func(at stand) bool {
					// What a call of its own has won without being told counts as its own.
					return at.etag == before || at.etag == 0 || processOf(at.owner) == processOf(c.OwnerID)
				})
			default:
				claim.wrote = true
				ended, won := claim.ended, claim.outcome == "" && claim.won != 0
				switch {
				case !won:
					// It was answered that it has lost, or not at all. A copy that comes late, or whose answer did, may have won
					// all the same: the store sees to it that it goes again.
					ended = never
					l.account.Strays++
				case claim.won != c.Revision:
					l.foundf(Linear, "%s has won %d, as it was told at %v, and took it at revision %d", c.OwnerID, claim.won,
						claim.ended, c.Revision)
				}
				l.own(claim.began, ended, c, func(at stand) bool {
					known := won && claim.Start != -2
					return at.etag == claim.etag && (!known || at.sequence == claim.Start)
				})
			}
		case c.Kind == Checkpoint:
			update := updates[c.SequenceNumber]
			if update == nil {
				l.foundf(Linear, "checkpoint %d was written at revision %d by nobody", c.SequenceNumber, c.Revision)
				continue
			}
			update.wrote = true
			text := fmt.Sprintf("%d is written under %d", c.SequenceNumber, update.etag)
			l.change(update.began, min(update.ended, c.Told), c, text, func(at stand) (stand, bool) {
				ok := at.etag == update.etag
				at.sequence, at.fence = c.SequenceNumber, update.etag
				return at, ok
			})
		}
	}
}

// processOf returns the caller whose goroutine claims under that name.
func processOf(owner string) string {
	process, _, _ := strings.Cut(owner, ".")
	return process
}

// own adds that an ownership is put.
func (l *ledger) own(began, ended time.Duration, c Change, may func(stand) bool) {
	l.change(began, min(ended, c.Told), c, c.OwnerID+" takes it", func(at stand) (stand, bool) {
		ok := may(at)
		at.etag, at.owner = c.Revision, c.OwnerID
		return at, ok
	})
}

// addAnswer adds what a call was told, if that does not stand with what it has changed.
func (l *ledger) addAnswer(c *call) {
	tells := func(holds func(stand) bool) {
		text := fmt.Sprintf("%s is answered: %s %s %s %d: %q %+v",
			c.caller, c.Do, c.Owner, c.ETag, c.Sequence, c.outcome, c.listed)
		l.add(c.began, c.ended, text, func(at stand) (stand, bool) { return at, holds(at) })
	}
	answered := c.outcome == ""
	switch {
	case c.outcome == member.OutcomeConflict:
		l.foundf(Linear, "%s was told of another writer at %v, and there is none", c.caller, c.ended)
	case c.outcome != "" && c.outcome != member.OutcomeLost && c.outcome != member.OutcomeUnknown:
		l.foundf(Linear, "%s was told at %v: %s", c.caller, c.ended, c.outcome)
	case c.Do == member.Claim && answered && c.won == 0:
		l.account.Lost++
		if !c.Lapsed {
			tells(func(at stand) bool { return at.etag != c.etag })
		}
	case c.Do == member.Claim && answered:
		l.account.Won++
		if !c.wrote {
			l.foundf(Linear, "%s was told at %v that it has won, and has not", c.Owner, c.ended)
		}
	case c.Do == member.Update && c.outcome == member.OutcomeLost:
		l.account.Refused++
		if c.wrote {
			l.foundf(Linear, "%s was told at %v that %d was refused, and it was written", c.Owner, c.ended, c.Sequence)
		}
		if !l.released(c) { // or the store itself took it for given up
			tells(func(at stand) bool { return at.etag != c.etag })
		}
	case c.Do == member.Update && answered:
		l.account.Written++
		if !c.wrote { // a later one stands for it, that was under way then
			tells(func(at stand) bool { return at.fence == c.etag && l.ended[at.sequence] > c.began })
		}
	case c.Do == member.Release && answered:
		tells(func(at stand) bool { return at.etag != c.etag })
	case c.Do == member.ListOwnership && answered:
		etag, _ := strconv.ParseInt(c.listed.ETag, 10, 64)
		tells(func(at stand) bool { return at.etag == etag && at.owner == c.listed.Owner })
	case c.Do == member.ListCheckpoints && answered:
		tells(func(at stand) bool { return max(at.sequence, 0) == c.listed.Sequence })
	}
}

// released reports whether the same ownership was being released before a call returned.
func (l *ledger) released(c *call) bool {
	return slices.ContainsFunc(l.calls, func(other *call) bool {
		return other.Do == member.Release && other.etag == c.etag && other.began < c.ended
	})
}

// checkLate checks that no write has landed after one that began when it had returned.
func (l *ledger) checkLate(updates map[int64]*call) {
	first := make(map[int64]*call) // by fence: the one that began last, of those that have landed
	for _, c := range l.changes {
		if c.Kind != Checkpoint || updates[c.SequenceNumber] == nil {
			continue
		}
		landed := updates[c.SequenceNumber]
		returned := landed.ended
		if landed.outcome == member.OutcomeUnknown {
			returned = landed.gaveUp
		}
		if before := first[landed.etag]; before != nil && returned != 0 && returned < before.began {
			l.foundf(LateCopy, "checkpoint %d, given up at %v, has landed at revision %d after %d, which was begun at %v",
				landed.Sequence, returned, c.Revision, before.Sequence, before.began)
		}
		if before := first[landed.etag]; before == nil || landed.began > before.began {
			first[landed.etag] = landed
		}
	}
}
