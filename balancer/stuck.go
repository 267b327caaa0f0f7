package balancer

import (
	"time"

	"github.com/tenure-go/tenure/balancer/plan"
	"github.com/tenure-go/tenure/etcdstore"
)

// patience is how long a free partition is left to the member that it is planned for. Then the others take that one to
// be stuck, and it is for whom the plan names without it.
const patience = 2 * time.Second

// findStuck looks for free partitions that those they are meant for do not take, and returns the plan without these, or
// nil if there are none.
func (w *worker) findStuck(now time.Time, me int32, settled bool) []int32 {
	suspects := make(map[string][]string)
	for i, id := range w.view.input.Partitions {
		s := w.slots[id]
		_, free := w.view.free(id)
		if !free || w.to[i] == plan.None || w.to[i] == me || !settled {
			if s != nil {
				s.taken()
			}
			continue
		}
		if s == nil {
			s = w.slot(id)
		}
		if s.target == "" {
			s.target, s.freeAt = w.view.input.Members[w.to[i]].ID, now
		}
		if now.Sub(s.freeAt) >= patience {
			s.suspects = append(s.suspects, s.target)
			s.target = ""
		} else {
			w.wakeBy(s.freeAt.Add(patience))
		}
		if len(s.suspects) > 0 {
			suspects[id] = s.suspects
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	to := w.view.without(suspects)
	for id := range suspects {
		s, i := w.slots[id], w.view.index[id]
		if s.target == "" && to[i] != plan.None && to[i] != me {
			s.target, s.freeAt = w.view.input.Members[to[i]].ID, now
			w.wakeBy(now.Add(patience))
		}
	}
	return to
}

// takeStuck claims the partitions that were left to others for long enough and are this member's without them. The
// claim says whom the plan has to pass over.
func (w *worker) takeStuck(claims *batches, to []int32, me int32) {
	if to == nil {
		return
	}
	for i, id := range w.view.input.Partitions {
		s := w.slots[id]
		if s == nil || len(s.suspects) == 0 || to[i] != me || s.phase != idle || s.running {
			continue
		}
		etag, _ := w.view.free(id)
		suspect := s.suspects[len(s.suspects)-1]
		claims.add(s, etag, etcdstore.ClaimOptions{
			Avoid: suspect, Reason: suspect + " did not take it within " + patience.String(),
		})
	}
}
