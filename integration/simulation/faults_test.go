package simulation

import (
	"math"
	"time"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/etcdsim"
)

// something has one thing go wrong, or ends one that has, and reports whether that could be. At least two members stay
// well.
func (r *run) something() bool {
	members := r.living("m")
	anyone := r.living("")
	a := anyone[r.random.IntN(len(anyone))]
	well := 0
	for _, m := range members {
		if !m.wrong {
			well++
		}
	}
	scarce := well <= 2 && a.name[0] == 'm' || a.name[0] == 'c' && len(r.living("c")) < 2
	switch n := r.random.IntN(100); {
	case n < 8:
		if len(members) > 4 {
			return false
		}
		r.join()
	case n < 10:
		r.joinCaller()
	case n < 35:
		switch {
		case !a.wrong:
			return false
		case n < 15:
			r.cut(a) // worse
		default:
			a.wrong = false
			a.link.Heal()
			r.tellf("%s is well again", a.name)
		}
	case n < 45:
		r.moveLeader()
	case n < 48:
		r.etcd.Compact()
		r.tellf("etcd is compacted")
	case n < 51:
		out := r.random.IntN(2) == 0
		r.setNoSpace(out)
		r.tellf("etcd is out of space: %v", out)
	case n < 53:
		r.revoke()
	case scarce && !a.wrong:
		return false
	case n < 60:
		r.kill(a)
	case a.wrong:
		return false
	case n < 64:
		a.gone = true
		a.stop()
		r.tellf("%s leaves", a.name)
	case n < 68:
		a.link.Reset()
		r.tellf("%s loses its connections", a.name)
	case n < 72:
		by := time.Duration(r.random.ExpFloat64() * float64(ttl))
		a.orders <- member.StepClock + by.String()
		r.tellf("%s's clock is set forward by %v", a.name, by)
	default:
		a.wrong = true
		r.cut(a)
	}
	return true
}

// moveLeader has another leader. Some go on talking to the former one.
func (r *run) moveLeader() {
	var deceived []*etcdsim.Link
	for _, a := range r.living("") {
		if r.random.IntN(2) == 0 {
			deceived = append(deceived, a.link)
			r.tellf("%s will talk to the former leader", a.name)
		}
	}
	paused := time.Duration(r.random.ExpFloat64() * float64(ttl))
	r.etcd.MoveLeader(paused, deceived...)
	r.tellf("etcd's leader moves; the former one does not know for %v", paused)
}

func (r *run) setNoSpace(out bool) {
	r.etcd.SetNoSpace(out)
	last := len(r.noSpace) - 1
	open := last >= 0 && r.noSpace[last].To == time.Duration(math.MaxInt64)
	switch {
	case out && !open:
		r.noSpace = append(r.noSpace, proof.Interval{From: r.now(), To: math.MaxInt64})
	case !out && open:
		r.noSpace[last].To = r.now()
	}
}

// kill ends an actor as a crash does: what it does from now on reaches nobody.
func (r *run) kill(a *actor) {
	r.mu.Lock()
	a.dead, a.gone = true, true
	r.mu.Unlock()
	a.link.Cut(etcdsim.ToServer)
	a.link.Cut(etcdsim.ToClient)
	a.stop()
	r.tellf("%s is killed", a.name)
}

// revoke takes a member's lease away. That breaks what is promised of its handlers, until it notices.
func (r *run) revoke() {
	members := r.living("m")
	m := members[r.random.IntN(len(members))]
	lease := r.etcd.LeaseOf(memberPrefix + "member/" + m.name)
	if lease == 0 {
		return
	}
	r.revoked[m.name] = append(r.revoked[m.name], proof.Interval{From: r.now(), To: r.now()})
	r.etcd.Revoke(lease)
	r.tellf("%s's lease is revoked by hand", m.name)
}

func (r *run) cut(a *actor) {
	switch r.random.IntN(5) {
	case 0:
		a.link.Cut(etcdsim.ToServer)
		r.tellf("%s is not heard", a.name)
	case 1:
		a.link.Cut(etcdsim.ToClient)
		r.tellf("%s hears nothing", a.name)
	case 2:
		a.link.Cut(etcdsim.ToServer)
		a.link.Cut(etcdsim.ToClient)
		r.tellf("%s is cut off", a.name)
	case 3:
		a.link.Refuse()
		r.tellf("%s is refused", a.name)
	case 4:
		by := time.Duration(r.random.Int64N(int64(ttl / 3)))
		a.link.Delay(by)
		r.tellf("%s's link takes %v each way", a.name, by)
	}
}
