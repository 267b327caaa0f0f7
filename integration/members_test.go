package integration_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// Three consumers share a stream to which somebody appends all the time. A fourth comes, and one of the first goes:
// nothing is printed twice, and nothing is left out.
func TestMembersMovePartitionsAsPlanned(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, stream stream) {
		f := newFleet(t, stream, etcdtest.Start(t).Endpoints())
		f.start("a", "b", "c")
		f.awaitShared("a", "b", "c")
		f.start("d")
		f.awaitShared("a", "b", "c", "d")
		f.leave("b")
		f.awaitShared("a", "c", "d")
		f.awaitCaughtUp()
		f.leave("a", "c", "d")

		checkpoints := f.requireSound()
		require.Zero(t, f.repeated, "events that were printed twice")
		history, events := f.checkpoints(), int64(0)
		for partition, all := range history {
			last := all[len(all)-1].sequence
			require.Len(t, f.seen[partition], int(last+1), "what is printed of %s ends with its last checkpoint", partition)
			require.Equal(t, last+1, f.covered[partition], "the first event of %s that nobody printed", partition)
			events += last + 1
		}
		t.Logf("%d events printed, none twice; %d checkpoints", events, checkpoints)
	})
}

// A consumer is killed. Others read its partitions again within the lease's time and a second, each from the last
// checkpoint: what is printed twice came after that, and nothing is left out.
func TestMembersTakeOverFromTheKilled(t *testing.T) {
	t.Parallel()
	const limit = ttl + time.Second
	eachStream(t, func(t *testing.T, stream stream) {
		f := newFleet(t, stream, etcdtest.Start(t).Endpoints())
		f.start("a", "b", "c")
		f.awaitShared("a", "b", "c")
		held := f.awaitCheckpoints("c")
		f.signal("c", syscall.SIGKILL)
		killed := time.Now()
		f.consumers["c"].Wait()
		taken, longest := f.awaitTakenOver("c", held, killed)
		f.awaitShared("a", "b")
		events := f.awaitCaughtUp()
		f.leave("a", "b")

		f.requireSound()
		history, repeated := f.checkpoints(), int64(0)
		for _, partition := range taken {
			require.Equal(t, lastBy("c", history[partition.partition])+1, partition.first,
				"the first event of %s that %s printed", partition.partition, partition.by)
			repeated += partition.repeated
		}
		require.EqualValues(t, repeated, f.repeated, "events that were printed twice, and not because of the kill")
		t.Logf("%d partitions of the killed consumer are read again after %v at most (limit %v); %d of %d events repeated",
			len(held), longest.Round(time.Millisecond), limit, f.repeated, events)
		require.Less(t, longest, limit)
	})
}

// A second process with the owner id of one that lives is refused, and the first goes on.
func TestAnOwnerIDInUseIsRefused(t *testing.T) {
	t.Parallel()
	const wrongUse = 2
	stream, etcd := newFiles(t, dozen()...), etcdtest.Start(t).Endpoints()
	f := newFleet(t, stream, etcd, "--ttl", "10s")
	f.start("a")
	f.awaitShared("a")

	second := newFleet(t, stream, etcd)
	second.ending["a"] = true
	second.start("a")
	second.await("it is refused", func() bool { return second.hasExited("a") })
	require.Equal(t, wrongUse, second.exited["a"])
	said := second.entries["a"][len(second.entries["a"])-1]
	require.Contains(t, said.Line, `--owner-id \"a\" is that of a live process in this group`)
	require.Contains(t, said.Line, "leave it out for a random one")

	f.awaitCaughtUp()
	f.leave("a")
	f.requireSound()
	require.Zero(t, f.repeated)
}

// eachStream runs a test on an event hub and on files.
func eachStream(t *testing.T, test func(t *testing.T, stream stream)) {
	t.Helper()
	t.Run("hub", func(t *testing.T) {
		t.Parallel()
		test(t, onNative(moderateHub(t)))
	})
	t.Run("files", func(t *testing.T) {
		t.Parallel()
		test(t, newFiles(t, dozen()...))
	})
}
