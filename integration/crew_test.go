package integration_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// crew is members of one group, each in a process of its own, and all that they and etcd have told. Times are by
// member.Now.
type crew struct {
	*sight

	t       *testing.T
	config  member.Config // but for the owner id
	cast    string        // the binary that plays the members
	title   string        // of reports
	client  *clientv3.Client
	prefix  string // of the group's keys
	etcd    *proof.Recorder
	members map[string]*member.Process

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
	group := "local/events/" + titleOf(t)
	client := etcdtest.NewClient(t, endpoints)
	c := crewOf(t, client, endpoints, group, partitions, change...)
	c.cast = cast(t)
	c.etcd = proof.Record(client, c.prefix, member.Now, c.follow)
	t.Cleanup(c.etcd.Stop)
	return c
}

// titleOf is a test's name as files are named for it.
func titleOf(t *testing.T) string {
	t.Helper()
	return strings.ToLower(strings.ReplaceAll(t.Name(), "/", "."))
}

// crewOf is newCrew for a group whose records somebody else records.
func crewOf(
	t *testing.T, client *clientv3.Client, endpoints []string, group string, partitions int,
	change ...func(*member.Config),
) *crew {
	t.Helper()
	c := &crew{
		sight: &sight{}, t: t, title: titleOf(t),
		config: member.Config{
			Endpoints: endpoints, Group: group, Partitions: partitions, TTL: ttl, CheckpointEvery: 10,
			Stream: member.Stream{Start: member.Now(), Every: 20 * time.Millisecond},
		},
		client:  client,
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
	return c
}

// end kills who still runs, and shows the last of the logs where the test has failed.
func (c *crew) end() {
	for name := range c.members {
		c.allowExit(name)
	}
	for name, process := range c.members {
		process.Kill()
		switch dir := os.Getenv(reportEnv); {
		case !c.t.Failed():
		case dir != "":
			require.NoError(c.t, os.MkdirAll(dir, 0o750))
			path := filepath.Join(dir, c.title+"-"+name+".log")
			require.NoError(c.t, os.WriteFile(path, []byte(process.Log(math.MaxInt)), 0o600))
		default:
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
		process, err := member.Start(c.cast, config, func(r member.Report) {
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

// follow takes in who owns what.
func (c *crew) follow(changes []proof.Change) {
	c.see(func() {
		for _, change := range changes {
			if change.Kind == proof.Ownership && change.Group == c.prefix {
				c.owner[change.Partition], c.since[change.Partition] = change.OwnerID, change.Told
			}
		}
	})
}

// run returns what was recorded of the group up to now.
func (c *crew) run() proof.Run {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	now, err := c.client.Put(ctx, c.prefix+"~", "") // what is told before this key's last change is all that there was
	require.NoError(c.t, err)
	require.NoError(c.t, c.etcd.Await(ctx, now.Header.Revision))
	run := proof.Run{Partitions: member.PartitionIDs(c.config.Partitions), Reports: make(map[string][]member.Report)}
	run.Changes, run.Gaps = c.etcd.Changes(c.prefix)
	c.see(func() {
		for name, reports := range c.reports {
			run.Reports[name] = slices.Clone(reports)
		}
	})
	return run
}

// requireSound checks what has to hold in any run with obedient handlers, whatever was done to it, once all members
// have exited and the last ones have left cleanly.
func (c *crew) requireSound() proof.Account {
	c.t.Helper()
	account, violations := proof.Check(c.run())
	require.Empty(c.t, violations, "%v", violations)
	require.Positive(c.t, account.Checkpoints)
	return account
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
