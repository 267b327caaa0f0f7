package storetest

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

var checkpoints = []test{
	{name: "the last write wins, without any ownership", run: lastWriteWins},
	{name: "the last write wins whoever owns the partition", run: writeUnowned, needs: []need{unguarded}},
	{name: "positions come back exactly as written", run: positionsVerbatim},
	{name: "a checkpoint without a position is refused before anything is sent", run: writeNothing},
	{name: "an empty name is refused before anything is sent", run: writeUnnamed},
	{name: "an oversize offset is refused before anything is sent", run: writeOversize},
	{name: "checkpoints outlive owners", run: outliveOwners},
	{name: "a checkpoint leaves the ownership as it is", run: leaveOwnership},
	{name: "the caller's positions are not kept nor changed", run: copyPositions},
	{name: "a partition's writes keep their order among many", run: writeMany},
	{name: "concurrent writes to one partition never go back", run: writeOne},
}

func lastWriteWins(t *scope) {
	for i := range int64(10) {
		store := []etcdstore.CheckpointStore{t.a, t.b}[i%2]
		at := t.checkpoint("0", 100-i)
		at.Offset = new(strconv.FormatInt(1000*i, 10))
		require.NoError(t, store.UpdateCheckpoint(t.Context(), at, nil))
		t.requireCheckpoints(t.group, at)
	}
}

func writeUnowned(t *scope) {
	t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 1))
	require.NoError(t, t.update(t.b, "0", 2))
	require.NoError(t, t.update(t.a, "0", 1))
	require.Equal(t, map[string]int64{"0": 1}, t.positions())
}

func positionsVerbatim(t *scope) {
	const exact = 1 << 53 // the integers that every language holds exactly are smaller
	var want []etcdstore.Checkpoint
	add := func(sequenceNumber *int64, offset *string) {
		c := etcdstore.Checkpoint{
			Group: t.group, PartitionID: strconv.Itoa(len(want)), SequenceNumber: sequenceNumber, Offset: offset,
		}
		want = append(want, c)
		require.NoError(t, t.a.UpdateCheckpoint(t.Context(), c, nil))
	}
	for _, offset := range []string{
		"", "0", "-0", "7", "007", "+7", "-7", "1e3", "1.0", " 7", "7 ", "0x10", "abc", "@latest", "-1", "3:1442:17", `"7"`,
		"null", "true", "{}", "\n", "\x00", "\u65e5\u672c", "９", "<&>", "\u2028",
		strconv.Itoa(exact - 1), strconv.Itoa(exact), strconv.Itoa(exact + 1),
		strconv.Itoa(1 - exact), strconv.Itoa(-exact), strconv.Itoa(math.MaxInt64), strconv.Itoa(math.MinInt64),
		"9223372036854775808", strings.Repeat("9", 400),
	} {
		add(nil, &offset)
		add(new(int64(0)), &offset)
	}
	for _, sequenceNumber := range []int64{
		0, 1, -1, exact - 1, exact, exact + 1, 1 - exact, -exact, -exact - 1, math.MaxInt64, math.MinInt64,
	} {
		add(&sequenceNumber, nil)
		add(&sequenceNumber, new("5"))
	}
	t.requireCheckpoints(t.group, want...)
}

func writeNothing(t *scope) {
	err := t.a.UpdateCheckpoint(t.Context(), etcdstore.Checkpoint{Group: t.group, PartitionID: "0"}, nil)
	t.refused(err, "checkpoint")
}

func writeUnnamed(t *scope) {
	for field, empty := range map[string]func(*etcdstore.Checkpoint){
		"FullyQualifiedNamespace": func(c *etcdstore.Checkpoint) { c.FullyQualifiedNamespace = "" },
		"EventHubName":            func(c *etcdstore.Checkpoint) { c.EventHubName = "" },
		"ConsumerGroup":           func(c *etcdstore.Checkpoint) { c.ConsumerGroup = "" },
		"PartitionID":             func(c *etcdstore.Checkpoint) { c.PartitionID = "" },
	} {
		c := t.checkpoint("0", 1)
		empty(&c)
		t.refused(t.a.UpdateCheckpoint(t.Context(), c, nil), field)
	}
}

func writeOversize(t *scope) {
	c := t.checkpoint("0", 1)
	c.Offset = new(strings.Repeat("x", 2<<20))
	t.refused(t.a.UpdateCheckpoint(t.Context(), c, nil), "checkpoint")
}

func outliveOwners(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 7))
	owned = t.winOne(t.b, as("bob", owned))
	require.Equal(t, map[string]int64{"0": 7}, t.positions())
	owned = t.winOne(t.b, as("", owned))
	require.Equal(t, map[string]int64{"0": 7}, t.positions())
	t.winOne(t.a, as("ann", owned))
	require.Equal(t, map[string]int64{"0": 7}, t.positions())
}

func leaveOwnership(t *scope) {
	won := t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 7))
	t.requireOwned(won)
	t.winOne(t.a, won)
}

func copyPositions(t *scope) {
	sequenceNumber, offset := int64(7), "70"
	c := etcdstore.Checkpoint{Group: t.group, PartitionID: "0", SequenceNumber: &sequenceNumber, Offset: &offset}
	require.NoError(t, t.a.UpdateCheckpoint(t.Context(), c, nil))
	require.EqualValues(t, 7, sequenceNumber)
	require.Equal(t, "70", offset)
	want := t.checkpoint("0", 7)
	want.Offset = new("70")
	sequenceNumber, offset = 8, "80"
	t.requireCheckpoints(t.group, want)
}

func writeMany(t *scope) {
	const partitions, writes = 100, 10
	t.win(t.a, t.ownerships("ann", partitionIDs(partitions)...)...)
	errs := make([]error, partitions)
	want := make(map[string]int64, partitions)
	var writers sync.WaitGroup
	for i, p := range partitionIDs(partitions) {
		want[p] = writes
		writers.Go(func() {
			for n := range int64(writes) {
				if errs[i] = t.update(t.a, p, n+1); errs[i] != nil {
					return
				}
			}
		})
	}
	writers.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, want, t.positions())
}

// writeOne has many callers write to one partition, and a reader beside them. What is read must never have been
// overwritten before: no other write may have begun after it was acknowledged and been acknowledged before the reading
// began.
func writeOne(t *scope) {
	const writers, writes = 32, 8
	type call struct{ begin, end int64 }
	var clock atomic.Int64
	t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 0))

	written := make([]call, 1+writers*writes) // by sequence number
	errs := make([]error, writers)
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range writes {
				sequenceNumber := 1 + i*writes + n
				begin := clock.Add(1)
				if errs[i] = t.update(t.a, "0", int64(sequenceNumber)); errs[i] != nil {
					return
				}
				written[sequenceNumber] = call{begin, clock.Add(1)}
			}
		})
	}
	type reading struct {
		call

		sequenceNumber int64
	}
	var readings []reading
	done := make(chan struct{})
	go func() {
		writing.Wait()
		close(done)
	}()
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		begin := clock.Add(1)
		found := t.positions()["0"]
		readings = append(readings, reading{call{begin, clock.Add(1)}, found})
	}
	for _, err := range errs {
		require.NoError(t, err)
	}
	for _, r := range readings {
		found := written[r.sequenceNumber]
		require.Less(t, found.begin, r.end, "%d was read before it was written", r.sequenceNumber)
		for n, w := range written {
			require.False(t, w.begin > found.end && w.end < r.begin,
				"%d was read although %d had overwritten it", r.sequenceNumber, n)
		}
	}
}
