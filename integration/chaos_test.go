package integration_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// chaosFor is how long things go wrong. TENURE_CHAOS sets it, as a duration.
const chaosFor = 20 * time.Second

// Members join, leave, are killed, are paused and wake, and etcd's members are paused, killed and started again, in an
// order that the seed decides. What a member is told is checked at the end: no handlers have run beside each other, no
// event was begun without trust, no checkpoint went back, none was lost, no event was left out, and all are handled.
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
		crew:   newCrew(t, etcd.Endpoints(), 32),
		etcd:   etcd,
		random: rand.New(rand.NewPCG(seed, 0)),
		paused: make(map[string]bool),
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
	paused map[string]bool // of those that are present
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

func (c *chaos) awake() []string {
	return slices.DeleteFunc(c.present(), func(name string) bool { return c.paused[name] })
}

func (c *chaos) anyOf(names []string) string { return names[c.random.IntN(len(names))] }

// something does one thing out of those that can be done now. At least two members stay awake.
func (c *chaos) something() {
	can := map[string]func(){}
	awake := c.awake()
	if len(c.present()) < 6 {
		can["join"] = c.join
	}
	if len(awake) > 2 {
		can["leave"] = func() { c.quit(syscall.SIGTERM) }
		can["kill"] = func() { c.quit(syscall.SIGKILL) }
		can["pause"] = func() {
			name := c.anyOf(awake)
			c.signal(name, syscall.SIGSTOP)
			c.paused[name] = true
		}
	}
	if len(c.paused) > 0 {
		can["wake"] = func() { c.wake(c.anyOf(slices.Sorted(maps.Keys(c.paused)))) }
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
	what := c.anyOf(slices.Sorted(maps.Keys(can)))
	can[what]()
	c.did[what]++
}

func (c *chaos) join() {
	c.joined++
	c.start(fmt.Sprintf("m%d", c.joined))
}

func (c *chaos) quit(signal syscall.Signal) {
	name := c.anyOf(c.awake())
	c.ended = append(c.ended, name)
	c.signal(name, signal)
}

func (c *chaos) wake(name string) {
	delete(c.paused, name)
	c.signal(name, syscall.SIGCONT)
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
	for name := range maps.Clone(c.paused) {
		c.wake(name)
	}
	for _, name := range c.ended {
		c.await(name+" exits", func() bool { return hasExited(c.members[name]) })
	}
}
