package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

// settling is how long a group has to hand over what was free when it was first looked at.
const settling = 3 * time.Second

// groups looks at what is kept of each group.
func (e *examination) groups(ctx context.Context) {
	all, err := e.Store.ListGroups(ctx)
	if err != nil {
		e.found(Problem, "groups", "cannot be read: "+err.Error(), "")
		return
	}
	e.sameButForCase(all)
	unowned := make(map[string][]string)
	waits := false
	for _, s := range all {
		if free := unownedOf(s); len(free) > 0 {
			unowned[s.Group.String()] = free
			waits = true
		}
	}
	if waits {
		select {
		case <-time.After(settling):
		case <-ctx.Done():
		}
		if again, err := e.Store.ListGroups(ctx); err == nil {
			all = again
		}
	}
	for _, s := range all {
		e.group(s, unowned[s.Group.String()])
	}
}

// sameButForCase finds groups that somebody may take for one.
func (e *examination) sameButForCase(all []*etcdstore.Snapshot) {
	seen := make(map[string]string)
	for _, s := range all {
		name := s.Group.String()
		folded := strings.ToLower(name)
		if other := seen[folded]; other != "" {
			e.found(Warning, name, "differs from "+other+" in letter case only",
				"Event Hubs ignores case, and clients have to fold it: docs/wire-format.md says how. What only one of them has, "+
					"the others do not see.")
		}
		seen[folded] = name
	}
}

// unownedOf returns the partitions that have no owner and nobody wants that.
func unownedOf(s *etcdstore.Snapshot) (ids []string) {
	for _, p := range inspect.Partitions(s) {
		_, paused := s.Controls.Paused[p.ID]
		if p.OwnerID == "" && !paused && p.KeptFor == "" {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

func (e *examination) group(s *etcdstore.Snapshot, unownedBefore []string) {
	const most = 8
	name, now := s.Group.String(), time.Now()
	summary := inspect.Summary(s)
	before := len(e.findings)
	was := make(map[string]bool)
	for _, id := range unownedBefore {
		was[id] = true
	}
	var unowned []string
	for _, id := range unownedOf(s) {
		if was[id] {
			unowned = append(unowned, id)
		}
	}
	switch {
	case len(unowned) > 0 && len(s.Members) > 0:
		e.found(Problem, name, "these have no owner although there are members: "+inspect.Some(unowned, most),
			"Members may be full (capacity), cordoned, or their handlers fail: tenure member list "+name)
	case len(unowned) > 0:
		e.found(Note, name, "nobody is at work: "+inspect.Some(unowned, most)+" have no owner", "")
	}
	for _, text := range inspect.Problems(s) {
		e.found(Problem, name, text, "Nothing of that partition is handled until it is mended or deleted.")
	}
	var still []string
	for _, p := range inspect.Partitions(s) {
		if p.OwnerID != "" && p.Checkpoint != nil && now.Sub(p.Checkpoint.WrittenAt) > e.Stale && now.Sub(p.Since) > e.Stale {
			still = append(still, p.ID)
		}
	}
	if len(still) > 0 {
		e.found(Warning, name, fmt.Sprintf("no checkpoint for over %v: %s", e.Stale, inspect.Some(still, most)),
			"There are no events, or handlers are stuck: tenure partition show "+name+" "+still[0])
	}
	for _, m := range inspect.Members(s) {
		for _, c := range m.Controls {
			e.found(Note, name, "member "+m.OwnerID+" is "+c.Words(now), "")
		}
	}
	for _, p := range inspect.Partitions(s) {
		for _, c := range p.Controls {
			if c.Kind != etcdstore.Avoid {
				e.found(Note, name, "partition "+p.ID+" is "+c.Words(now), "")
			}
		}
	}
	if len(e.findings) == before {
		e.found(OK, name, fmt.Sprintf("%d partitions, %d owned, by %d members", summary.Partitions, summary.Owned,
			summary.Members), "")
	}
}
