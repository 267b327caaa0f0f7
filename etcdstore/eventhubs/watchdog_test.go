package eventhubs

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// consumer makes calls to a watchdog and notes when it is taken for dead.
type consumer struct {
	*watchdog

	began time.Time

	mu   sync.Mutex
	dead []time.Duration // when it was found dead, since the beginning
	idle []time.Duration // and how long it was said to have been silent
}

func newConsumer(limit time.Duration) *consumer {
	c := &consumer{began: time.Now()}
	c.watchdog = newWatchdog(limit, func(idle time.Duration) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dead = append(c.dead, time.Since(c.began))
		c.idle = append(c.idle, idle)
	})
	return c
}

// found returns when the consumer was found dead.
func (c *consumer) found() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// rest lets time pass.
func (c *consumer) rest(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a synctest bubble, whose clock this moves
	synctest.Wait()
}

// round lists and claims, as a processor does, and waits for the next round.
func (c *consumer) round(interval time.Duration) {
	c.listing()()
	c.call()()
	c.rest(interval)
}

func TestWatchdogLeavesARegularConsumerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(0)
		for range 1000 {
			c.round(13 * time.Second)
		}
		require.Empty(t, c.found())
	})
}

func TestWatchdogFindsADeadConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(0)
		c.round(10 * time.Second)
		c.round(0)
		c.rest(time.Minute - time.Nanosecond)
		require.Empty(t, c.found())
		c.rest(time.Nanosecond)
		require.Equal(t, []time.Duration{70 * time.Second}, c.found(), "a minute after the last call")
		require.Equal(t, []time.Duration{time.Minute}, c.idle)
		c.rest(24 * time.Hour)
		require.Len(t, c.found(), 1, "once")
	})
}

func TestWatchdogFindsAConsumerThatNeverCameBack(t *testing.T) {
	for name, begin := range map[string]func(*consumer){
		"one listing":  func(c *consumer) { c.round(0) },
		"no listing":   func(c *consumer) { c.call()() },
		"only a start": func(c *consumer) { c.call()(); c.rest(time.Second); c.listing()() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConsumer(0)
				begin(c)
				silent := time.Since(c.began)
				c.rest(10*time.Minute - time.Nanosecond)
				require.Empty(t, c.found())
				c.rest(time.Nanosecond)
				require.Equal(t, []time.Duration{silent + 10*time.Minute}, c.found())
			})
		})
	}
}

func TestWatchdogWatchesNobodyBeforeTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(time.Second)
		c.rest(24 * time.Hour)
		require.Empty(t, c.found())
	})
}

func TestWatchdogAllowsThreeTimesTheLongestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(0)
		c.round(5 * time.Minute) // a slow consumer, which the first ten minutes are for
		c.round(time.Second)
		c.round(0)
		c.rest(15*time.Minute - time.Nanosecond)
		require.Empty(t, c.found())
		c.rest(time.Nanosecond)
		require.Len(t, c.found(), 1)
	})
}

func TestWatchdogBelievesACallUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(0)
		c.round(time.Second)
		c.round(time.Second)
		end := c.call() // etcd is away
		c.rest(time.Hour)
		other := c.call()
		c.rest(time.Hour)
		end()
		c.rest(time.Hour)
		require.Empty(t, c.found())
		other()
		c.rest(time.Minute - time.Nanosecond)
		require.Empty(t, c.found(), "the time of a call is no gap")
		c.rest(time.Nanosecond)
		require.Equal(t, []time.Duration{3*time.Hour + time.Minute + 2*time.Second}, c.found())
	})
}

func TestWatchdogFindsAConsumerDeadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(0)
		c.round(time.Second)
		c.round(2 * time.Minute)
		require.Len(t, c.found(), 1)
		c.round(0) // it was only slow, which is known now
		c.rest(6*time.Minute - time.Nanosecond)
		require.Len(t, c.found(), 1)
		c.rest(time.Nanosecond)
		require.Len(t, c.found(), 2)
	})
}

func TestWatchdogObeysItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := newConsumer(5 * time.Second)
		long := newConsumer(20 * time.Minute)
		for _, c := range []*consumer{short, long} {
			c.listing()()
			c.listing()()
		}
		short.rest(5*time.Second - time.Nanosecond)
		require.Empty(t, short.found())
		short.rest(time.Nanosecond)
		require.Len(t, short.found(), 1)
		long.rest(20*time.Minute - 5*time.Second - time.Nanosecond)
		require.Empty(t, long.found())
		long.rest(time.Nanosecond)
		require.Len(t, long.found(), 1)

		patient := newConsumer(20 * time.Minute)
		patient.listing()()
		patient.rest(20*time.Minute - time.Nanosecond)
		require.Empty(t, patient.found(), "ten minutes are less than its limit")
		patient.rest(time.Nanosecond)
		require.Len(t, patient.found(), 1)
	})
}

func TestWatchdogHearsCheckpointsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(0)
		c.round(time.Second)
		c.round(time.Second)
		for range 100 {
			c.call()()
			c.rest(59 * time.Second)
		}
		require.Empty(t, c.found())
	})
}
