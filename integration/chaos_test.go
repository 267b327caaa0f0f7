package integration_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// chaosFor is how long things go wrong. TENURE_CHAOS sets it, as a duration.
const chaosFor = 20 * time.Second

// Members join, leave, are killed, are paused and wake, are cut off from etcd in one direction or both, and hear late
// what was said; some have a grace; their handlers fail and panic; operators cordon, drain, pin and pause; and etcd's
// members are paused, killed and started again, in an order that the seed decides. In the end no handlers have run
// beside each other, no event was begun without trust, no checkpoint went back or was lost, no event was left out, and
// all partitions are handled.
func TestWhateverHappens(t *testing.T) {
	t.Parallel()
	lasts := chaosFor
	if set := os.Getenv("TENURE_CHAOS"); set != "" {
		var err error
		lasts, err = time.ParseDuration(set)
		require.NoError(t, err)
	}
	seed := rand.Uint64()
	if set := os.Getenv("TENURE_CHAOS_SEED"); set != "" {
		_, err := fmt.Sscan(set, &seed)
		require.NoError(t, err)
	}
	t.Logf("TENURE_CHAOS_SEED=%d", seed)
	etcd := etcdtest.StartProcessesOf(t, cast(t), 3)
	c := &chaos{
		crew:   newCrew(t, etcd.Endpoints(), 32, func(config *member.Config) { config.FailOneIn = 2000 }),
		etcd:   etcd,
		random: rand.New(rand.NewPCG(seed, 0)),
		paused: make(map[string]bool),
		links:  make(map[string][]*faultproxy.Proxy),
		cut:    make(map[string]bool),
		did:    make(map[string]int),
	}
	for range 3 {
		c.join()
	}
	c.awaitShared(c.present()...)
	for began := member.Now(); member.Now()-began < lasts; {
		c.something()
		hold(t, time.Duration(c.random.ExpFloat64()*float64(ttl)/3)) // often soon, sometimes after a lease's time
	}
	c.calm()
	c.awaitShared(c.present()...)
	c.leave(c.present()...)
	all := c.requireSound()
	t.Logf("%v; %d of %d events handled again; %d checkpoints", c.did, all.repeated, all.events, all.checkpoints)
}

// chaos is a crew to which things happen.
type chaos struct {
	*crew

	etcd   *etcdtest.Processes
	random *rand.Rand
	joined int
	links  map[string][]*faultproxy.Proxy // to the members of etcd
	paused map[string]bool                // of those that are present
	cut    map[string]bool                // of those that are present
	ended  []string
	down   func() // brings the etcd member back that is away, nil if none is
	did    map[string]int
}

// present returns who lives, paused or not.
func (c *chaos) present() []string {
	var names []string
	for name, process := range c.members {
		if !hasExited(process) && !slices.Contains(c.ended, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// well returns who is neither paused nor cut off.
func (c *chaos) well() []string {
	return slices.DeleteFunc(c.present(), func(name string) bool { return c.paused[name] || c.cut[name] })
}

func (c *chaos) anyOf(names []string) string { return names[c.random.IntN(len(names))] }

// something does one thing out of those that can be done now. At least two members stay well.
func (c *chaos) something() {
	can := map[string]func(){}
	well := c.well()
	if len(c.present()) < 6 {
		can["join"] = c.join
	}
	if len(well) > 2 {
		can["leave"] = func() { c.quit(syscall.SIGTERM) }
		can["kill"] = func() { c.quit(syscall.SIGKILL) }
		can["pause"] = func() {
			name := c.anyOf(well)
			c.signal(name, syscall.SIGSTOP)
			c.paused[name] = true
		}
		can["cut"] = func() { c.sever(c.anyOf(well)) }
	}
	if len(c.paused) > 0 {
		can["wake"] = func() { c.wake(c.anyOf(slices.Sorted(maps.Keys(c.paused)))) }
	}
	if len(c.cut) > 0 {
		can["heal"] = func() { c.heal(c.anyOf(slices.Sorted(maps.Keys(c.cut)))) }
	}
	if c.down == nil {
		can["etcd member paused"] = func() {
			i := c.random.IntN(len(c.etcd.Endpoints()))
			c.etcd.Pause(i)
			c.down = func() { c.etcd.Resume(i) }
		}
		can["etcd member killed"] = func() {
			i := c.random.IntN(len(c.etcd.Endpoints()))
			c.etcd.Kill(i)
			c.down = func() { c.etcd.Restart(i) }
		}
	} else {
		can["etcd member back"] = c.mend
	}
	if c.down == nil { // what an operator does must not wait
		can["control"] = c.control
		can["controls gone"] = c.uncontrol
	}
	what := c.anyOf(slices.Sorted(maps.Keys(can)))
	can[what]()
	c.did[what]++
}

func (c *chaos) join() {
	c.joined++
	c.config.Grace = 0
	if c.joined%3 == 0 {
		c.config.Grace = time.Second
	}
	name := fmt.Sprintf("m%d", c.joined)
	c.config.Endpoints = nil
	for _, endpoint := range c.etcd.Endpoints() {
		link := faultproxy.New(c.t, strings.TrimPrefix(endpoint, "http://"))
		c.links[name] = append(c.links[name], link)
		c.config.Endpoints = append(c.config.Endpoints, "http://"+link.Addr())
	}
	c.start(name)
}

// control does what an operator can.
func (c *chaos) control() {
	name, partition := c.anyOf(c.present()), strconv.Itoa(c.random.IntN(c.config.Partitions))
	control, value := "", `{"reason":"chaos"}`
	switch c.random.IntN(4) {
	case 0:
		control = "cordon/" + name
	case 1:
		control = "drain/" + name
	case 2:
		control, value = "pin/"+partition, `{"owner_id":"`+name+`","reason":"chaos"}`
	case 3:
		control = "pause/" + partition
	}
	_, err := c.client.Put(c.t.Context(), c.prefix+"control/"+control, value)
	require.NoError(c.t, err)
}

func (c *chaos) uncontrol() {
	for _, word := range []string{"cordon/", "drain/", "pin/", "pause/"} {
		_, err := c.client.Delete(c.t.Context(), c.prefix+"control/"+word, clientv3.WithPrefix())
		require.NoError(c.t, err)
	}
}

func (c *chaos) quit(signal syscall.Signal) {
	name := c.anyOf(c.well())
	c.ended = append(c.ended, name)
	c.signal(name, signal)
}

func (c *chaos) wake(name string) {
	delete(c.paused, name)
	c.signal(name, syscall.SIGCONT)
}

// sever cuts a member off, one way or another.
func (c *chaos) sever(name string) {
	how := []func(*faultproxy.Proxy){
		(*faultproxy.Proxy).Silence, (*faultproxy.Proxy).CutToServer, (*faultproxy.Proxy).CutToClient,
		(*faultproxy.Proxy).Cut,
	}[c.random.IntN(4)]
	for _, link := range c.links[name] {
		how(link)
	}
	c.cut[name] = true
}

func (c *chaos) heal(name string) {
	delete(c.cut, name)
	for _, link := range c.links[name] {
		link.Heal(faultproxy.DeliverHeld)
	}
}

func (c *chaos) mend() {
	c.down()
	c.down = nil
}

// calm ends all that is wrong.
func (c *chaos) calm() {
	if c.down != nil {
		c.mend()
	}
	c.uncontrol()
	for name := range maps.Clone(c.paused) {
		c.wake(name)
	}
	for name := range maps.Clone(c.cut) {
		c.heal(name)
	}
	for _, name := range c.ended {
		c.await(name+" exits", func() bool { return hasExited(c.members[name]) })
	}
}
