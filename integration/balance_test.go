package integration_test

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// Three members handle 64 partitions that never rest. A fourth joins, and one of the first leaves: no event is handled
// twice, none is left out, and what was left is handled again within 100 ms of its last drain.
func TestAPlannedChangeRepeatsNothing(t *testing.T) {
	const limit = 100 * time.Millisecond
	c := newCrew(t, etcdtest.StartProcessesOf(t, cast(t), 1).Endpoints(), 64)
	c.start("a", "b", "c")
	c.awaitShared("a", "b", "c")
	c.start("d")
	c.awaitShared("a", "b", "c", "d")
	held := c.held("b")
	c.leave("b")
	rest := c.restOf("b", held)
	c.awaitShared("a", "c", "d")
	c.leave("a", "c", "d")
	all := c.requireSound()
	require.Zero(t, all.Repeated, "events that were handled twice")
	require.Zero(t, all.Unsaved, "events that will be")
	t.Logf("%d events, none handled twice, none lost; %d checkpoints; %d partitions handled again %v after their last "+
		"drain", all.Events, all.Checkpoints, len(held), rest.Round(time.Millisecond))
	require.Less(t, rest, limit)
}

// Members of four groups are killed one after the other, 20 in all. Each time all that the member had is owned again
// within the lease's time and a second, each partition from its last checkpoint.
func TestAKilledMembersPartitionsAreTakenInTime(t *testing.T) {
	const (
		groups = 4
		kills  = 20 / groups
		limit  = ttl + time.Second
	)
	endpoints := etcdtest.StartProcessesOf(t, cast(t), 1).Endpoints()
	t.Run("groups", func(t *testing.T) {
		for i := range groups {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				c := newCrew(t, endpoints, 16)
				names := []string{"a", "b", "c"}
				c.start(names...)
				c.awaitShared(names...)
				var took []time.Duration
				for kill := range kills {
					victim := names[0]
					held := c.held(victim)
					killed := c.signal(victim, syscall.SIGKILL)
					took = append(took, (c.awaitTaken(victim, held) - killed).Round(time.Millisecond))
					names = append(names[1:], fmt.Sprintf("%s%d", victim, kill))
					c.start(names[len(names)-1])
					c.awaitShared(names...)
				}
				c.leave(names...)
				all := c.requireSound()
				require.Zero(t, all.Unsaved)
				t.Logf("owned again after %v; %d of %d events handled again", took, all.Repeated, all.Events)
				for _, took := range took {
					require.Less(t, took, limit)
				}
			})
		}
	})
}

// One of two members that have 1,024 partitions each leaves: the other handles them within 250 ms of the last drain.
func TestAMemberLeavesAThousandPartitions(t *testing.T) {
	const (
		partitions = 1024
		limit      = 250 * time.Millisecond
	)
	c := newCrew(t, etcdtest.StartProcessesOf(t, cast(t), 1).Endpoints(), 2*partitions, func(config *member.Config) {
		config.TTL, config.Stream.Every, config.Quiet = 10*time.Second, 0, true
	})
	c.start("a", "b")
	c.awaitShared("a", "b")
	held := c.held("a")
	require.Len(t, held, partitions)
	c.etcd.Stop()
	c.leave("a")
	rest := c.restOf("a", held)
	c.leave("b")
	t.Logf("handled again %v after the last drain", rest.Round(time.Millisecond))
	require.Less(t, rest, limit)
}

// A member is paused until others own all that it had, and wakes. It begins no other event under its old claims, its
// late checkpoints are refused, and no handlers have run beside each other.
func TestAPausedMemberWakes(t *testing.T) {
	t.Parallel()
	c := newCrew(t, etcdtest.StartProcessesOf(t, cast(t), 1).Endpoints(), 24)
	c.start("a", "b", "c")
	c.awaitShared("a", "b", "c")
	held := c.held("b")
	paused := c.signal("b", syscall.SIGSTOP)
	c.awaitTaken("b", held)
	c.awaitHandled()
	woken := member.Now()
	c.signal("b", syscall.SIGCONT)
	c.awaitShared("a", "b", "c")
	c.leave("a", "b", "c")

	all := c.requireSound()
	require.Zero(t, all.Unsaved)
	refused := 0
	for _, r := range c.reports["b"] {
		switch {
		case r.Kind == member.Late && r.Outcome == member.OutcomeLost:
			refused++
		case r.Kind == member.Late: // not answered in the time that a handler has; it is not in etcd either
			require.Equal(t, member.OutcomeUnknown, r.Outcome, "the checkpoint %d of partition %s", r.Sequence, r.Partition)
		case r.Kind == member.Handled && r.Began >= woken:
			// After the pause it handles what it has claimed since.
			require.Greater(t, r.Fence, fenceBefore(c.reports["b"], r.Partition, woken), "an event under an old claim")
		}
	}
	require.Positive(t, refused, "late checkpoints that were never tried")
	t.Logf("paused for %v; %d late checkpoints refused; %d of %d events handled again; %d checkpoints",
		(woken - paused).Round(time.Millisecond), refused, all.Repeated, all.Events, all.Checkpoints)
}

// fenceBefore returns the last fence under which a partition's events were handled before a time, 0 if there is none.
func fenceBefore(reports []member.Report, partition string, before time.Duration) (fence int64) {
	for _, r := range reports {
		if r.Partition == partition && r.Kind == member.Handled && r.Began < before {
			fence = r.Fence
		}
	}
	return fence
}

// The same with handlers that do not look at their contexts. They do what obedient ones do not, and it is seen.
func TestDisobedienceIsSeen(t *testing.T) {
	t.Parallel()
	c := newCrew(t, etcdtest.StartProcessesOf(t, cast(t), 1).Endpoints(), 24, func(config *member.Config) {
		config.Disobedient = true
	})
	c.start("a", "b")
	c.awaitShared("a", "b")
	held := c.held("b")
	c.signal("b", syscall.SIGSTOP)
	c.awaitTaken("b", held)
	c.awaitHandled()
	c.signal("b", syscall.SIGCONT)
	late := 0
	c.await("an event is begun without trust", func() bool {
		late = 0
		for _, tenures := range proof.TenuresOf(c.reports) {
			for _, tenure := range tenures {
				late += len(tenure.Late())
			}
		}
		return late > 0
	})
	t.Logf("%d events begun without trust", late)
	for _, process := range c.members {
		process.Kill() // what it has reported until then is handed on
	}
	_, violations := proof.Check(c.run())
	require.NotEmpty(t, violations.Of(proof.Trusted))
	for _, check := range []string{proof.OneOwner, proof.Fenced, proof.Covered, proof.Forward, proof.Acknowledged} {
		require.Empty(t, violations.Of(check), "%v", violations)
	}
}

// The leader of three etcd members is cut off from the others while partitions move to a new member. Clients still
// reach it. Whatever that does to the group, no handlers run beside each other, no checkpoint is lost or goes back, and
// all partitions are handled again.
func TestTheLeaderIsIsolatedWhilePartitionsMove(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.StartCluster(t, 3)
	c := newCrew(t, etcd.Endpoints(), 48)
	c.start("a", "b", "c")
	c.awaitShared("a", "b", "c")
	leader := etcd.Leader()
	c.start("d")
	c.await("partitions move", func() bool {
		return slices.ContainsFunc(newest(c.reports["a"]), func(r member.Report) bool { return r.Kind == member.Draining })
	})
	etcd.Isolate(leader)
	hold(t, 2*ttl)
	etcd.Heal(leader)
	c.awaitShared("a", "b", "c", "d")
	c.leave("a", "b", "c", "d")
	all := c.requireSound()
	require.Zero(t, all.Unsaved)
	t.Logf("%d of %d events handled again; %d checkpoints", all.Repeated, all.Events, all.Checkpoints)
}
