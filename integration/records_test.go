package integration_test

import (
	"context"
	"slices"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/integration/internal/fleet"
	"github.com/tenure-go/tenure/integration/internal/proof"
)

// written is a checkpoint as etcd's history has it.
type written struct {
	owner    string // of the partition at that revision; "" if nobody was
	sequence int64
	revision int64
}

// checkpoints returns every checkpoint that etcd has held, by partition, in order.
func (f *testFleet) checkpoints() map[string][]written {
	f.t.Helper()
	const prefix = "/"
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	end := prefix + "~" // what is told before this key's last change is all that there was
	now, err := f.client.Put(ctx, end, "")
	require.NoError(f.t, err)
	owner := make(map[string]string)
	history := make(map[string][]written)
	for response := range f.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		require.NoError(f.t, response.Err())
		for _, c := range proof.Changes(response.Events) {
			switch {
			case c.Revision == now.Header.Revision:
				return history
			case c.Kind == proof.Ownership:
				owner[c.Partition] = c.OwnerID
			case c.Kind == proof.Checkpoint:
				require.False(f.t, c.Deleted, "the checkpoint of partition %s was deleted", c.Partition)
				history[c.Partition] = append(history[c.Partition], written{owner[c.Partition], c.SequenceNumber, c.Revision})
			}
		}
	}
	f.t.Fatalf("etcd's history ended before revision %d: %v", now.Header.Revision, ctx.Err())
	return nil
}

// lastBy returns the sequence number of the last checkpoint that an owner wrote, -1 if there is none.
func lastBy(owner string, history []written) int64 {
	for _, w := range slices.Backward(history) {
		if w.owner == owner {
			return w.sequence
		}
	}
	return -1
}

// requireSound checks what has to hold in any run, whatever was done to it, once the consumers have exited: what they
// printed, what they said and what etcd has held have to agree.
func (f *testFleet) requireSound() (checkpoints int) {
	f.t.Helper()
	f.requireClearOutput()
	f.requireOrder()
	if f.client == nil {
		return 0
	}
	history := f.checkpoints()
	for partition, all := range history {
		checkpoints += len(all)
		f.requireForward(partition, all)
		f.requirePrinted(partition, all)
	}
	f.requireAcknowledged(history)
	return checkpoints
}

// requireClearOutput fails for a line that is no event on standard output, or no log entry on standard error: a panic.
func (f *testFleet) requireClearOutput() {
	f.t.Helper()
	for name, entries := range f.entries {
		for _, entry := range entries {
			require.NotEmpty(f.t, entry.Level, "%s wrote: %s", name, entry.Line)
		}
	}
}

// requireOrder checks that within a tenure a consumer prints a partition's events one after the other, from the one
// after the checkpoint that it said it starts from.
func (f *testFleet) requireOrder() {
	f.t.Helper()
	for at, lines := range f.prints {
		starts := f.starts(at)
		next, tenure := int64(-1), -1
		for _, line := range lines {
			for line.sequence != next {
				tenure++
				require.Less(f.t, tenure, len(starts), "%s printed event %d of partition %s when %d was next, or the first of "+
					"a tenure; its tenures began with %v", at.consumer, line.sequence, at.partition, next, starts)
				next = starts[tenure]
			}
			next++
		}
	}
}

// starts returns the sequence numbers at which a consumer said that it begins a partition.
func (f *testFleet) starts(at place) (starts []int64) {
	for _, entry := range f.entries[at.consumer] {
		switch {
		case entry.Partition != at.partition:
		case entry.Message == "partition opened" && entry.Start == "checkpoint": // by the SDK
			starts = append(starts, entry.StartSequenceNumber+1)
		case entry.Message == "handling" && entry.Start == "": // by a member
			starts = append(starts, entry.SequenceNumber+1)
		case entry.Message == "partition opened", entry.Message == "handling":
			starts = append(starts, 0)
		}
	}
	return starts
}

// requireForward checks that no checkpoint is behind the one before.
func (f *testFleet) requireForward(partition string, history []written) {
	f.t.Helper()
	last := int64(-1)
	for _, w := range history {
		require.Greater(f.t, w.sequence, last, "the checkpoint of partition %s at revision %d by %q",
			partition, w.revision, w.owner)
		last = w.sequence
	}
}

// requirePrinted checks that a checkpoint covers only what its writer has printed; what anybody has, where it was
// written while nobody owned the partition, as a consumer may whose lease has run out and whom nobody has followed.
func (f *testFleet) requirePrinted(partition string, history []written) {
	f.t.Helper()
	for _, w := range history {
		found := slices.ContainsFunc(f.prints[place{w.owner, partition}], func(p printed) bool {
			return p.sequence == w.sequence
		})
		if w.owner == "" {
			found = w.sequence < int64(len(f.seen[partition])) && f.seen[partition][w.sequence] > 0
		}
		require.True(f.t, found, "%q checkpointed event %d of partition %s at revision %d and did not print it",
			w.owner, w.sequence, partition, w.revision)
	}
}

// requireAcknowledged checks that each checkpoint that a consumer took to be written has been in etcd.
func (f *testFleet) requireAcknowledged(history map[string][]written) {
	f.t.Helper()
	for name := range f.consumers {
		for _, entry := range f.logged(name, "checkpoint written") {
			found := slices.ContainsFunc(history[entry.Partition], func(w written) bool {
				return w.sequence == entry.SequenceNumber
			})
			require.True(f.t, found, "%s's checkpoint %d of partition %s was acknowledged and is lost",
				name, entry.SequenceNumber, entry.Partition)
		}
	}
}

// rejected returns a consumer's checkpoints that etcd did not take.
func (f *testFleet) rejected(name string) []fleet.Entry { return f.logged(name, "checkpoint rejected") }
