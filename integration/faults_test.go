package integration_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// fault is something that can go wrong. Of those that are about the same thing one is active at a time.
type fault struct {
	name string

	// inject has it go wrong and returns what ends it, nil if it is over, and particulars for the story. victim is the
	// index of one of etcd's members, or the name of a member or a caller.
	inject func(w *world, victim string) (heal func(), detail string)
}

// partedFromLeader leaves a member with clients that it cannot serve: it hears that there is a leader from the third
// member only, and so can neither follow nor be elected.
const partedFromLeader = "follower is cut off from the leader, and not from the other"

// memberFaults are what can happen to one of etcd's members, or all. While one of them is away there is a quorum.
func memberFaults() []fault {
	kill := func(w *world, i int) func() {
		w.etcd.Kill(i)
		return func() { w.etcd.Restart(i) }
	}
	pause := func(w *world, i int) func() {
		w.etcd.Pause(i)
		return func() { w.etcd.Resume(i) }
	}
	pauseLeader := func(w *world, i int) func() {
		resume := pause(w, i)
		return func() {
			w.wake()
			resume()
		}
	}
	isolate := func(w *world, i int) func() {
		w.etcd.Isolate(i)
		return func() { w.etcd.Heal(i) }
	}
	leader := func(do func(*world, int) func()) func(*world, string) (func(), string) {
		return func(w *world, _ string) (func(), string) {
			i := w.etcd.Leader()
			return do(w, i), fmt.Sprintf("member %d", i)
		}
	}
	other := func(do func(*world, int) func()) func(*world, string) (func(), string) {
		return func(w *world, _ string) (func(), string) {
			i := (w.etcd.Leader() + 1 + w.random.IntN(2)) % 3
			return do(w, i), fmt.Sprintf("member %d", i)
		}
	}
	return []fault{
		{"leader is killed", leader(kill)},
		{"leader is paused", leader(pauseLeader)},
		{"leader is isolated", leader(isolate)},
		{"follower is killed", other(kill)},
		{"follower is paused", other(pause)},
		{"follower is isolated", other(isolate)},
		{partedFromLeader, func(w *world, _ string) (func(), string) {
			leads := w.etcd.Leader()
			i := (leads + 1 + w.random.IntN(2)) % 3
			w.etcd.Part(i, leads)
			return func() { w.etcd.Join(i, leads) }, fmt.Sprintf("member %d from member %d", i, leads)
		}},
		{"is killed, all of it", func(w *world, _ string) (func(), string) {
			for i := range 3 {
				w.etcd.Kill(i)
			}
			return w.etcd.RestartAll, ""
		}},
		{"is paused, all of it", func(w *world, _ string) (func(), string) {
			for i := range 3 {
				w.etcd.Pause(i)
			}
			return func() {
				w.wake()
				for i := range 3 {
					w.etcd.Resume(i)
				}
			}, ""
		}},
		{"is restarted, one member after the other", func(w *world, _ string) (func(), string) {
			for i := range 3 {
				w.etcd.Stop(i)
				w.etcd.Restart(i)
			}
			return nil, ""
		}},
	}
}

// etcdFaults are what can happen to etcd while its members live.
func etcdFaults() []fault {
	return []fault{
		{"peers are slow", func(w *world, _ string) (func(), string) {
			by := time.Duration(10+w.random.IntN(140)) * time.Millisecond
			w.eachPeer(func(p *faultproxy.Proxy) { p.Delay(by) })
			return w.healPeers, by.String()
		}},
		{"peers hear one of them no longer", func(w *world, _ string) (func(), string) {
			i := w.random.IntN(3)
			how := (*faultproxy.Proxy).CutToServer
			if w.random.IntN(2) == 0 {
				how = (*faultproxy.Proxy).CutToClient
			}
			w.muffle(how, w.peers[fmt.Sprintf("member%d", i)])
			return w.healPeers, fmt.Sprintf("member %d", i)
		}},
		{"peers lose their connections", func(w *world, _ string) (func(), string) {
			w.eachPeer((*faultproxy.Proxy).Reset)
			return nil, ""
		}},
		{"disks are slow", func(w *world, _ string) (func(), string) {
			by := time.Duration(10+w.random.IntN(190)) * time.Millisecond
			for i := range 3 {
				file := filepath.Join(w.etcd.Dir(i), "slow")
				if err := os.WriteFile(file, []byte(by.String()), 0o600); err != nil {
					w.t.Fatal(err)
				}
			}
			return func() {
				for i := range 3 {
					if err := os.Remove(filepath.Join(w.etcd.Dir(i), "slow")); err != nil {
						w.t.Fatal(err)
					}
				}
			}, by.String()
		}},
		{"is compacted", func(w *world, _ string) (func(), string) {
			revision := w.crew.etcd.Told() // what is not recorded yet must not be lost
			return nil, strconv.FormatInt(revision, 10) + w.within(func(ctx context.Context) error {
				_, err := w.client.Compact(ctx, revision)
				return err
			})
		}},
		{"is out of space", func(w *world, _ string) (func(), string) {
			alarm := func(action pb.AlarmRequest_AlarmAction) error {
				return w.try(func(ctx context.Context) error {
					_, err := pb.NewMaintenanceClient(w.client.ActiveConnection()).Alarm(ctx, &pb.AlarmRequest{
						Action: action, Alarm: pb.AlarmType_NOSPACE, MemberID: 1,
					})
					return err
				})
			}
			detail := ""
			if err := alarm(pb.AlarmRequest_ACTIVATE); err != nil {
				detail = "perhaps: " + err.Error()
			}
			w.noSpace = append(w.noSpace, proof.Interval{From: member.Now() - time.Second, To: math.MaxInt64})
			return func() {
				require.Eventually(w.t, func() bool { return alarm(pb.AlarmRequest_DEACTIVATE) == nil }, patience, lookAgain)
				w.noSpace[len(w.noSpace)-1].To = member.Now()
			}, detail
		}},
	}
}

const leaseRevoked = "has its lease revoked by hand"

// clientFaults are what can happen to a member or a caller.
func clientFaults() []fault {
	cut := func(how func(*faultproxy.Proxy), held faultproxy.Held) func(*world, string) (func(), string) {
		return func(w *world, name string) (func(), string) {
			w.offline[name] = true
			for _, link := range w.links[name] {
				how(link)
			}
			return func() {
				delete(w.offline, name)
				w.healLinks(name, held)
			}, ""
		}
	}
	return []fault{
		{"is killed", func(w *world, name string) (func(), string) {
			w.quit(name, syscall.SIGKILL)
			return nil, ""
		}},
		{"leaves", func(w *world, name string) (func(), string) {
			w.quit(name, syscall.SIGTERM)
			return nil, ""
		}},
		{"is paused", func(w *world, name string) (func(), string) {
			w.offline[name] = true
			w.of(name).signal(name, syscall.SIGSTOP)
			return func() {
				delete(w.offline, name)
				w.of(name).signal(name, syscall.SIGCONT)
			}, ""
		}},
		{"is cut off and heard late", cut((*faultproxy.Proxy).Silence, faultproxy.DeliverHeld)},
		{"is cut off", cut((*faultproxy.Proxy).Silence, faultproxy.DropHeld)},
		{"is not heard, but late", cut((*faultproxy.Proxy).CutToServer, faultproxy.DeliverHeld)},
		{"is not answered, but late", cut((*faultproxy.Proxy).CutToClient, faultproxy.DeliverHeld)},
		{"is refused", cut((*faultproxy.Proxy).Cut, faultproxy.DropHeld)},
		{"is cut off from some members", func(w *world, name string) (func(), string) {
			but := w.random.IntN(3)
			for i, link := range w.links[name] {
				if i != but {
					link.Silence()
				}
			}
			return func() { w.healLinks(name, faultproxy.DeliverHeld) }, fmt.Sprintf("but %d", but)
		}},
		{"has a slow link", func(w *world, name string) (func(), string) {
			by := time.Duration(20+w.random.IntN(600)) * time.Millisecond
			for _, link := range w.links[name] {
				link.Delay(by)
			}
			return func() { w.healLinks(name, faultproxy.DeliverHeld) }, by.String()
		}},
		{"has a narrow link", func(w *world, name string) (func(), string) {
			rate := 2000 << w.random.IntN(4)
			for _, link := range w.links[name] {
				link.Throttle(rate)
			}
			return func() { w.healLinks(name, faultproxy.DeliverHeld) }, fmt.Sprintf("%d bytes/s", rate)
		}},
		{"loses its connections", func(w *world, name string) (func(), string) {
			for _, link := range w.links[name] {
				link.Reset()
			}
			return nil, ""
		}},
		{leaseRevoked, func(w *world, name string) (func(), string) {
			return nil, w.within(func(ctx context.Context) error {
				got, err := w.client.Get(ctx, w.prefix+"member/"+name)
				if err != nil || len(got.Kvs) == 0 {
					return err
				}
				// Its handlers run on until it notices. Without an answer it may be revoked later.
				span := proof.Interval{From: member.Now(), To: math.MaxInt64}
				if _, err = w.client.Revoke(ctx, clientv3.LeaseID(got.Kvs[0].Lease)); err == nil {
					span.To = member.Now()
				}
				w.revoked[name] = append(w.revoked[name], span)
				return err
			})
		}},
		{"has its clock set forward", func(w *world, name string) (func(), string) {
			by := []time.Duration{ttl / 4, ttl, time.Hour, 5 * time.Hour}[w.random.IntN(4)]
			w.process(name).Tell(member.StepClock + by.String())
			return nil, by.String()
		}},
	}
}

// operatorActs are what an operator can do to a group.
func operatorActs() []fault {
	say := func(kind etcdstore.ControlKind) func(*world, string) (func(), string) {
		return func(w *world, name string) (func(), string) {
			control, about := etcdstore.Control{Reason: "chaos"}, name
			if kind == etcdstore.Pin || kind == etcdstore.Pause {
				about = strconv.Itoa(w.random.IntN(w.config.Partitions))
			}
			if kind == etcdstore.Pin {
				control.OwnerID = name
			}
			return nil, about + " " + control.OwnerID + w.within(func(ctx context.Context) error {
				return w.operator.SetControl(ctx, w.group(), kind, control, about)
			})
		}
	}
	return []fault{
		{"cordons", say(etcdstore.Cordon)},
		{"drains", say(etcdstore.Drain)},
		{"pins", say(etcdstore.Pin)},
		{"pauses", say(etcdstore.Pause)},
		{"takes it all back", func(w *world, _ string) (func(), string) { return nil, w.within(w.takeBack) }},
	}
}

func (w *world) eachPeer(do func(*faultproxy.Proxy)) {
	for _, p := range w.peers {
		do(p)
	}
}

// healPeers lets etcd's members hear each other, also what was held back.
func (w *world) healPeers() {
	w.eachPeer(func(p *faultproxy.Proxy) { p.Heal(faultproxy.DeliverHeld) })
	for i := range w.woken {
		if span := &w.woken[i]; span.To+ttl >= w.muffled {
			span.To = member.Now()
		}
	}
	w.muffled = math.MaxInt64
}

// muffle has a link between etcd's members hold back what they say.
func (w *world) muffle(how func(*faultproxy.Proxy), peer *faultproxy.Proxy) {
	w.muffled = min(w.muffled, member.Now())
	how(peer)
}

// wake notes that a leader goes on that was paused.
func (w *world) wake() {
	w.woken = append(w.woken, proof.Interval{From: member.Now(), To: member.Now()})
}

// settleRevocations notes that nothing is on its way any more.
func (w *world) settleRevocations() {
	for _, spans := range w.revoked {
		for i := range spans {
			spans[i].To = min(spans[i].To, member.Now())
		}
	}
}

func (w *world) healLinks(name string, held faultproxy.Held) {
	for _, link := range w.links[name] {
		link.Heal(held)
	}
}

// try calls etcd for as long as that takes little time.
func (w *world) try(do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	return do(ctx)
}
