package integration_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// crew is members of one group, each in a process of its own, and all that they and etcd have told. Times are by
// member.Now.
type crew struct {
	*sight

	t       *testing.T
	config  member.Config // but for the owner id
	client  *clientv3.Client
	prefix  string // of the group's keys
	members map[string]*member.Process

	// unfollow stops to watch who owns what, where that would disturb what is measured.
	unfollow func()

	// What is seen.
	leaving map[string]bool // may exit
	reports map[string][]member.Report
	runs    map[string]string        // by partition: whose handler runs, or started last
	owner   map[string]string        // by partition, as etcd tells it
	since   map[string]time.Duration // by partition: when that was told
}

// newCrew makes a group without members on the etcd at the endpoints.
func newCrew(t *testing.T, endpoints []string, partitions int, change ...func(*member.Config)) *crew {
	t.Helper()
	group := "local/events/" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "."))
	c := &crew{
		sight: &sight{}, t: t,
		config: member.Config{
			Endpoints: endpoints, Group: group, Partitions: partitions, TTL: ttl, CheckpointEvery: 10,
			Stream: member.Stream{Start: member.Now(), Every: 20 * time.Millisecond},
		},
		client:  etcdtest.NewClient(t, endpoints),
		prefix:  "/tenure/v1/" + group + "/",
		members: make(map[string]*member.Process),
		leaving: make(map[string]bool),
		reports: make(map[string][]member.Report),
		runs:    make(map[string]string),
		owner:   make(map[string]string),
		since:   make(map[string]time.Duration),
	}
	for _, change := range change {
		change(&c.config)
	}
	t.Cleanup(c.end)
	c.followOwners()
	return c
}

// end kills who still runs, and shows the last of the logs where the test has failed.
func (c *crew) end() {
	for name := range c.members {
		c.allowExit(name)
	}
	for name, process := range c.members {
		process.Kill()
		if c.t.Failed() {
			c.t.Logf("the last of %s's log:\n%s", name, process.Log(tail))
		}
	}
}

func (c *crew) allowExit(name string) { c.see(func() { c.leaving[name] = true }) }

func (c *crew) start(names ...string) {
	c.t.Helper()
	for _, name := range names {
		config := c.config
		config.OwnerID = name
		c.see(func() { delete(c.leaving, name) })
		process, err := member.Start(cast(c.t), config, func(r member.Report) {
			c.see(func() {
				c.reports[name] = append(c.reports[name], r)
				if r.Kind == member.Started {
					c.runs[r.Partition] = name
				}
			})
		})
		require.NoError(c.t, err)
		c.members[name] = process
		go func() {
			<-process.Exited()
			c.see(func() {}) // whoever waits looks again
		}()
	}
}

// signal sends a signal and returns when that was, at the latest where it ends or pauses the member.
func (c *crew) signal(name string, signal syscall.Signal) time.Duration {
	c.t.Helper()
	if signal == syscall.SIGTERM || signal == syscall.SIGKILL {
		c.allowExit(name)
	}
	require.NoError(c.t, c.members[name].Signal(signal))
	return member.Now()
}

// leave ends members with SIGTERM, which has to succeed.
func (c *crew) leave(names ...string) {
	c.t.Helper()
	for _, name := range names {
		c.signal(name, syscall.SIGTERM)
	}
	for _, name := range names {
		c.await(name+" exits", func() bool { return hasExited(c.members[name]) })
		require.Zero(c.t, c.members[name].Wait(), "%s's exit status after SIGTERM", name)
	}
}

func hasExited(process *member.Process) bool {
	select {
	case <-process.Exited():
		return true
	default:
		return false
	}
}

// followOwners keeps what is known from etcd up to date until the test ends, or unfollow is called.
func (c *crew) followOwners() {
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	c.unfollow = func() {
		cancel()
		following.Wait()
	}
	c.t.Cleanup(c.unfollow)
	following.Go(func() {
		prefix := c.prefix + "ownership/"
		for response := range c.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
			told := member.Now()
			records := recordsOf(response.Events)
			c.see(func() {
				for _, r := range records {
					c.owner[r.partition], c.since[r.partition] = r.OwnerID, told
				}
			})
		}
	})
}

// await waits until the condition holds. It fails when a member exits that should not.
func (c *crew) await(what string, condition func() bool) {
	c.t.Helper()
	exited := func() string {
		for name, process := range c.members {
			if !c.leaving[name] && hasExited(process) {
				return name + " exited"
			}
		}
		return ""
	}
	c.sight.await(c.t, what, condition, exited, func() string { return fmt.Sprintf("shares: %v", c.shares()) })
}

// shares counts the partitions of each owner. It is for conditions.
func (c *crew) shares() map[string]int {
	shares := make(map[string]int)
	for _, owner := range c.owner {
		if owner != "" {
			shares[owner]++
		}
	}
	return shares
}

// awaitShared waits until the members own all partitions, in shares that differ by one at most, and handle them.
func (c *crew) awaitShared(names ...string) {
	c.t.Helper()
	c.await(fmt.Sprintf("%v share the partitions", names), func() bool {
		shares, total := c.shares(), 0
		for _, name := range names {
			if shares[name] < c.config.Partitions/len(names) {
				return false
			}
			total += shares[name]
		}
		return total == c.config.Partitions && len(shares) == len(names) && maps.Equal(c.owner, c.runs)
	})
	if c.config.Stream.Every > 0 {
		c.awaitHandled()
	}
}

// awaitHandled waits until another event of each partition has been handled by the one that owns it.
func (c *crew) awaitHandled() {
	c.t.Helper()
	since := member.Now()
	c.await("every partition is handled", func() bool {
		handled := 0
		for partition, owner := range c.owner {
			if slices.ContainsFunc(newest(c.reports[owner]), func(r member.Report) bool {
				return r.Partition == partition && r.Kind == member.Handled && r.Began > since
			}) {
				handled++
			}
		}
		return handled == c.config.Partitions
	})
}

// newest returns the end of a member's reports, which is enough to see whether it is at work.
func newest(reports []member.Report) []member.Report {
	const enough = 500
	return reports[max(0, len(reports)-enough):]
}

// held returns the partitions that a member owns.
func (c *crew) held(name string) (partitions []string) {
	c.see(func() {
		for partition, owner := range c.owner {
			if owner == name {
				partitions = append(partitions, partition)
			}
		}
	})
	return partitions
}

// awaitTaken waits until others own what a member held, and returns when the last of it was told to be owned.
func (c *crew) awaitTaken(from string, held []string) (last time.Duration) {
	c.t.Helper()
	require.NotEmpty(c.t, held)
	c.await(fmt.Sprintf("others own what %s had", from), func() bool {
		last = 0
		for _, partition := range held {
			if owner := c.owner[partition]; owner == from || owner == "" {
				return false
			}
			last = max(last, c.since[partition])
		}
		return true
	})
	return last
}

// restOf returns how long the last partition of one that has left rested: from the return of its last handler until
// all that it held was handled by others.
func (c *crew) restOf(left string, held []string) time.Duration {
	c.t.Helper()
	c.await(fmt.Sprintf("others handle what %s had", left), func() bool {
		return !slices.ContainsFunc(held, func(partition string) bool { return c.runs[partition] == left })
	})
	var returned, started time.Duration
	c.see(func() {
		for name, reports := range c.reports {
			for _, r := range reports {
				switch {
				case name == left && r.Kind == member.Returned:
					returned = max(returned, r.At)
				case name != left && r.Kind == member.Started && slices.Contains(held, r.Partition):
					started = max(started, r.At)
				}
			}
		}
	})
	return started - returned
}
