package proof

import (
	"fmt"
	"time"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// checkDrains checks that handlers that were asked to drain have ended when their time was over.
func checkDrains(run Run) (found Violations) {
	type id struct {
		partition string
		fence     int64
	}
	for name, reports := range run.Reports {
		asked := make(map[id]time.Duration)
		for _, r := range reports {
			key := id{r.Partition, r.Fence}
			switch since, draining := asked[key]; {
			case r.Kind == member.Draining:
				asked[key] = r.At
			case !draining || r.Kind != member.Handled && r.Kind != member.Returned:
			case r.At > since+run.Drain:
				found = append(found, Violation{Drained, fmt.Sprintf("partition %s: %s was asked at %v and is at work at %v",
					r.Partition, name, since, r.At)})
				delete(asked, key)
			case r.Kind == member.Returned:
				delete(asked, key)
			}
		}
	}
	return found
}

// checkAnswers checks that a checkpoint that was acknowledged is in etcd's history, under its fence, and that a read
// after it has found it or a later one.
func checkAnswers(run Run) (account Account, found Violations) {
	type under struct {
		partition string
		fence     int64
	}
	owner := make(map[string]int64)
	highest := make(map[under]int64)
	for _, c := range run.Changes {
		switch {
		case c.Kind == Ownership && c.Deleted:
			owner[c.Partition] = 0
		case c.Kind == Ownership:
			owner[c.Partition] = c.Revision
		case c.Kind == Checkpoint:
			key := under{c.Partition, owner[c.Partition]}
			highest[key] = max(highest[key], c.SequenceNumber)
		}
	}
	for name, reports := range run.Reports {
		for _, r := range reports {
			key := under{r.Partition, r.Fence}
			written, ever := highest[key]
			switch {
			case r.Kind == member.ReadBack:
				if r.Found < r.Sequence {
					found = append(found, Violation{Acknowledged, fmt.Sprintf(
						"partition %s: %s was told at %v that %d is written, and read %d then", r.Partition, name, r.Began,
						r.Sequence, r.Found)})
				}
			case r.Kind != member.Checkpointed && r.Kind != member.Late:
			case r.Outcome == member.OutcomeUnknown:
				account.Unknown++
			case r.Outcome != "":
				account.Refused++
			default:
				account.Answered++
				if !ever || written < r.Sequence {
					found = append(found, Violation{Acknowledged, fmt.Sprintf(
						"partition %s: %s was told at %v that %d is written under fence %d; etcd has had no more than %d",
						r.Partition, name, r.At, r.Sequence, r.Fence, written)})
				}
			}
		}
	}
	return account, found
}
