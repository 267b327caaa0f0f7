package integration_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// tenure is one run of a handler, as far as it handled events.
type tenure struct {
	member, partition string
	fence             int64
	begin             time.Duration   // of the first event
	end               time.Duration   // of the last event, or of trust if that ended first
	events            []member.Report // in order
}

func (t tenure) String() string {
	return fmt.Sprintf("%s from %v to %v under fence %d", t.member, t.begin, t.end, t.fence)
}

// tenures returns each partition's tenures, in the order in which they began.
func (c *crew) tenures() map[string][]*tenure {
	c.mu.Lock()
	defer c.mu.Unlock()
	return tenuresOf(c.reports)
}

func tenuresOf(reports map[string][]member.Report) map[string][]*tenure {
	type id struct {
		member, partition string
		fence             int64
	}
	found := make(map[id]*tenure)
	all := make(map[string][]*tenure)
	for name, told := range reports {
		for _, r := range told {
			if r.Kind != member.Handled {
				continue
			}
			id := id{name, r.Partition, r.Fence}
			t := found[id]
			if t == nil {
				t = &tenure{member: name, partition: r.Partition, fence: r.Fence, begin: r.Began}
				found[id] = t
				all[r.Partition] = append(all[r.Partition], t)
			}
			t.events = append(t.events, r)
			t.end = max(t.end, min(r.At, r.Trusted))
		}
	}
	for _, of := range all {
		slices.SortFunc(of, func(a, b *tenure) int { return cmp.Compare(a.begin, b.begin) })
	}
	return all
}

// overlaps returns the tenures of a partition that began before the ones before had ended.
func overlaps(tenures []*tenure) (found []string) {
	for i, t := range tenures {
		for _, earlier := range tenures[:i] {
			if t.begin < earlier.end {
				found = append(found, fmt.Sprintf("partition %s: %v, and %v", t.partition, earlier, t))
			}
		}
	}
	return found
}

// late returns the events that were begun when trust had ended.
func (t tenure) late() (found []member.Report) {
	for _, r := range t.events {
		if r.Began > r.Trusted {
			found = append(found, r)
		}
	}
	return found
}

// account is what became of a group's events.
type account struct {
	events      int64 // in the stream, up to the last that was handled
	repeated    int64 // times that one was handled again
	unsaved     int64 // handled after the last checkpoint, by who has failed since
	checkpoints int
}

// requireSound checks what has to hold in any run with obedient handlers, whatever was done to it, once all members
// have exited and the last ones have left cleanly.
func (c *crew) requireSound() account {
	c.t.Helper()
	var total account
	history := checkpoints(c.t, c.client, c.prefix)
	tenures := c.tenures()
	require.Len(c.t, tenures, c.config.Partitions)
	for partition, all := range tenures {
		require.Empty(c.t, overlaps(all), "handlers that ran beside each other")
		total.checkpoints += len(history[partition])
		requireFenced(c.t, partition, history[partition], all)
		handled := make(map[int64]bool)
		for _, tenure := range all {
			require.Empty(c.t, tenure.late(), "events begun by %v when trust had ended", tenure)
			next := startOf(tenure, history[partition])
			for _, event := range tenure.events {
				require.Equal(c.t, next, event.Sequence, "partition %s, by %v", partition, tenure)
				if handled[next] {
					total.repeated++
				}
				handled[next] = true
				next++
			}
		}
		for sequence := range int64(len(handled)) {
			require.True(c.t, handled[sequence], "event %d of partition %s is lost", sequence, partition)
		}
		last := history[partition][len(history[partition])-1]
		require.Less(c.t, last.sequence, int64(len(handled)), "the last checkpoint of partition %s, by %s",
			partition, last.owner)
		total.unsaved += int64(len(handled)) - 1 - last.sequence
		total.events += int64(len(handled))
	}
	return total
}

// startOf returns the event that a tenure has to begin with: the one after the checkpoint that etcd had at its claim.
func startOf(t *tenure, history []written) int64 {
	next := int64(0)
	for _, w := range history {
		if w.revision < t.fence {
			next = w.sequence + 1
		}
	}
	return next
}

// requireFenced checks that a partition's checkpoints never go back, although the last one may be written again with a
// release, and that each was written by who owned the partition then, and covers what that one had handled.
func requireFenced(t *testing.T, partition string, history []written, tenures []*tenure) {
	t.Helper()
	last := int64(-1)
	for _, w := range history {
		require.GreaterOrEqual(t, w.sequence, last, "the checkpoint of partition %s at revision %d by %s",
			partition, w.revision, w.owner)
		last = w.sequence
		require.True(t, slices.ContainsFunc(tenures, func(of *tenure) bool {
			end := of.events[len(of.events)-1].Sequence
			return of.member == w.owner && of.fence < w.revision && of.events[0].Sequence <= w.sequence && w.sequence <= end
		}), "%q checkpointed event %d of partition %s at revision %d and did not handle it",
			w.owner, w.sequence, partition, w.revision)
	}
}

// TestOverlapsAreSeen tells tenures that overlap from those that do not.
func TestOverlapsAreSeen(t *testing.T) {
	t.Parallel()
	event := func(fence int64, began, at, trusted time.Duration) member.Report {
		return member.Report{Kind: member.Handled, Partition: "0", Fence: fence, Began: began, At: at, Trusted: trusted}
	}
	first := []member.Report{event(1, 10, 11, 90), event(1, 20, 21, 100)}
	paused := slices.Concat(first, []member.Report{event(1, 30, 500, 100)})
	for name, reports := range map[string]map[string][]member.Report{
		"in the middle": {"a": first, "b": {event(2, 15, 16, 200)}},
		"after a pause": {"a": paused, "b": {event(2, 99, 101, 200)}},
		"of the same":   {"a": slices.Concat(first, []member.Report{event(2, 15, 16, 200)})},
	} {
		require.Len(t, overlaps(tenuresOf(reports)["0"]), 1, name)
	}
	for name, reports := range map[string]map[string][]member.Report{
		"after the last event": {"a": first, "b": {event(2, 22, 23, 200)}},
		"after trust":          {"a": paused, "b": {event(2, 101, 102, 200)}},
		"another partition":    {"a": first, "b": {{Kind: member.Handled, Partition: "1", Fence: 2, Began: 15, At: 16}}},
	} {
		require.Empty(t, overlaps(tenuresOf(reports)["0"]), name)
	}
	require.Empty(t, tenuresOf(map[string][]member.Report{"a": paused})["0"][0].late())
	woken := slices.Concat(first, []member.Report{event(1, 101, 102, 100)})
	require.Len(t, tenuresOf(map[string][]member.Report{"a": woken})["0"][0].late(), 1)
}
