package etcdstore

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// rewriting is a group of many partitions whose checkpoints are at 100, and who looks at it.
type rewriting struct {
	t       *testing.T
	client  *clientv3.Client
	group   Group
	owner   *Store // of partition 0
	owned   Ownership
	looking *Store
	mirror  *Mirror
}

func newRewriting(t *testing.T, partitions int) *rewriting {
	t.Helper()
	client := etcdtest.Start(t).Client(t)
	r := &rewriting{
		t: t, client: client, group: testGroup(t), owner: startMember(t, client, 10*time.Second),
		looking: startStore(t, client, nil, nil),
	}
	for i := range partitions {
		c := r.at(i, 100)
		require.NoError(t, r.looking.UpdateCheckpoint(soon(t), c, nil))
	}
	won, err := r.owner.ClaimOwnership(soon(t), []Ownership{{Group: r.group, PartitionID: "0", OwnerID: "a"}}, nil)
	require.NoError(t, err)
	r.owned = won[0]
	r.mirror, err = r.looking.Watch(soon(t), r.group, &WatchOptions{Checkpoints: true})
	require.NoError(t, err)
	return r
}

func (r *rewriting) at(partition int, sequence int64) Checkpoint {
	return Checkpoint{Group: r.group, PartitionID: strconv.Itoa(partition), SequenceNumber: &sequence}
}

// stored returns the sequence numbers that are stored, by partition.
func (r *rewriting) stored() map[string]int64 {
	r.t.Helper()
	all, err := r.looking.ListCheckpoints(soon(r.t), r.group)
	require.NoError(r.t, err)
	stored := make(map[string]int64)
	for _, c := range all {
		stored[c.PartitionID] = *c.SequenceNumber
	}
	return stored
}

// TestCheckpointsAreRewritten sets many back and deletes some, while one of them is owned.
func TestCheckpointsAreRewritten(t *testing.T) {
	t.Parallel()
	const partitions = 150
	r := newRewriting(t, partitions)
	var wanted []Checkpoint
	for i := range partitions {
		if i%10 == 9 {
			wanted = append(wanted, Checkpoint{Group: r.group, PartitionID: strconv.Itoa(i)})
		} else {
			wanted = append(wanted, r.at(i, int64(i)))
		}
	}
	before := revisionNow(t, r.client)
	err := r.looking.RewriteCheckpoints(soon(t), r.mirror.Snapshot(), wanted, nil)
	require.ErrorIs(t, err, ErrOwned)
	require.ErrorContains(t, err, `partition is owned: "0" by "a"`)
	require.Equal(t, before, revisionNow(t, r.client))

	var told []int
	require.NoError(t, r.looking.RewriteCheckpoints(soon(t), r.mirror.Snapshot(), wanted, &RewriteOptions{
		TakeAway: true, Progress: func(done int) { told = append(told, done) },
	}))
	require.Equal(t, []int{64, 128, 150}, told, "64 at a time: two operations each, of 128")
	require.Equal(t, before+3, revisionNow(t, r.client))
	stored := r.stored()
	require.Len(t, stored, partitions-partitions/10)
	for id, sequence := range stored {
		require.Equal(t, id, strconv.FormatInt(sequence, 10))
	}

	err = r.owner.UpdateCheckpoint(soon(t), r.at(0, 101), &UpdateOptions{Fence: &r.owned})
	require.ErrorIs(t, err, ErrOwnershipLost, "whoever owned it cannot write it back")
	won, err := r.owner.ClaimOwnership(soon(t), []Ownership{{Group: r.group, PartitionID: "0", OwnerID: "b"}}, nil)
	require.NoError(t, err)
	start, found, err := r.owner.Start(won[0])
	require.NoError(t, err)
	require.True(t, found)
	require.Zero(t, *start.SequenceNumber, "and whoever is next begins there")
}

// TestARewriteOfWhatHasChangedSinceIsRefused claims a partition and writes a checkpoint after somebody has looked.
func TestARewriteOfWhatHasChangedSinceIsRefused(t *testing.T) {
	t.Parallel()
	r := newRewriting(t, 3)
	looked := r.mirror.Snapshot()
	require.NoError(t, r.looking.UpdateCheckpoint(soon(t), r.at(1, 101), nil))
	err := r.looking.RewriteCheckpoints(soon(t), looked, []Checkpoint{r.at(2, 1), r.at(1, 1)}, nil)
	require.ErrorIs(t, err, ErrCheckpointConflict)
	require.ErrorContains(t, err, `0 of 2 checkpoints were rewritten`)
	require.ErrorContains(t, err, `partition "1" has another checkpoint at revision`)

	takeAway := &RewriteOptions{TakeAway: true}
	require.NoError(t, r.owner.UpdateCheckpoint(soon(t), r.at(0, 101), &UpdateOptions{Fence: &r.owned}))
	require.NoError(t, r.looking.RewriteCheckpoints(soon(t), looked, []Checkpoint{r.at(0, 1)}, takeAway),
		"an owner that goes on writing does not keep it from being taken away")
	err = r.looking.RewriteCheckpoints(soon(t), looked, []Checkpoint{r.at(2, 1), r.at(0, 2)}, takeAway)
	require.ErrorIs(t, err, ErrCheckpointConflict, "but only once")
	require.ErrorContains(t, err, `partition "0" is owned no longer`)

	looked = awaitMirror(t, r.mirror, func(s *Snapshot) bool { return len(s.Ownerships) == 0 })
	_, err = r.owner.ClaimOwnership(soon(t), []Ownership{{Group: r.group, PartitionID: "1", OwnerID: "a"}}, nil)
	require.NoError(t, err)
	err = r.looking.RewriteCheckpoints(soon(t), looked, []Checkpoint{r.at(2, 1), r.at(1, 1)}, nil)
	require.ErrorIs(t, err, ErrCheckpointConflict)
	require.ErrorContains(t, err, `partition "1" was claimed at revision`)
	require.Equal(t, map[string]int64{"0": 1, "1": 101, "2": 100}, r.stored(), "nothing else has changed")

	require.NoError(t, r.owner.Release(soon(t), r.owner.Held(r.group)...))
	require.NoError(t, r.looking.RewriteCheckpoints(soon(t), looked, []Checkpoint{r.at(2, 1), r.at(1, 1)}, nil),
		"that it was claimed and is free again does no harm")
}

// TestARewriteIsSettledByAskingAgain loses the answer to the first copy.
func TestARewriteIsSettledByAskingAgain(t *testing.T) {
	t.Parallel()
	r := newRewriting(t, 3)
	looked := r.mirror.Snapshot()
	batch := []Checkpoint{r.at(1, 1), r.at(2, 2)}
	nonce := r.looking.ids.Load()
	require.NoError(t, r.looking.rewriteBatch(soon(t), looked, batch))
	r.looking.ids.Store(nonce) // the same identifiers: a second copy of the same batch
	require.NoError(t, r.looking.rewriteBatch(soon(t), looked, batch), "it knows its own again")
	require.ErrorIs(t, r.looking.rewriteBatch(soon(t), looked, batch), ErrCheckpointConflict, "and no other")
}

// TestLargeCheckpointsAreRewritten has more bytes than a server takes at a time, which is less than usual.
func TestLargeCheckpointsAreRewritten(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t, func(cfg *embed.Config) {
		cfg.MaxTxnOps, cfg.MaxRequestBytes = 10, 300<<10
	}).Client(t), testGroup(t)
	s := startStore(t, client, nil, nil)
	mirror, err := s.Watch(soon(t), group, &WatchOptions{Checkpoints: true})
	require.NoError(t, err)
	var wanted []Checkpoint
	for i := range 30 {
		offset := strings.Repeat(strconv.Itoa(i%10), 100<<10)
		wanted = append(wanted, Checkpoint{Group: group, PartitionID: strconv.Itoa(i), Offset: &offset})
	}
	require.NoError(t, s.RewriteCheckpoints(soon(t), mirror.Snapshot(), wanted, nil))
	stored, err := s.ListCheckpoints(soon(t), group)
	require.NoError(t, err)
	require.Len(t, stored, len(wanted))
}

func TestRewritesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	r := newRewriting(t, 1)
	before := revisionNow(t, r.client)
	other := r.at(1, 1)
	other.ConsumerGroup = "other"
	err := r.looking.RewriteCheckpoints(soon(t), r.mirror.Snapshot(),
		[]Checkpoint{r.at(1, 1), r.at(1, 2), other, {Group: r.group}}, nil)
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.ErrorContains(t, err, `checkpoints[1].PartitionID is "1", want each partition once`)
	require.ErrorContains(t, err, `checkpoints[2].Group`)
	require.ErrorContains(t, err, `checkpoints[3].PartitionID is ""`)
	require.Equal(t, before, revisionNow(t, r.client))
}
