package proof

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
)

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
		require.Len(t, Overlaps(TenuresOf(reports)["0"]), 1, name)
	}
	for name, reports := range map[string]map[string][]member.Report{
		"after the last event": {"a": first, "b": {event(2, 22, 23, 200)}},
		"after trust":          {"a": paused, "b": {event(2, 101, 102, 200)}},
		"another partition":    {"a": first, "b": {{Kind: member.Handled, Partition: "1", Fence: 2, Began: 15, At: 16}}},
	} {
		require.Empty(t, Overlaps(TenuresOf(reports)["0"]), name)
	}
	require.Empty(t, TenuresOf(map[string][]member.Report{"a": paused})["0"][0].Late())
	woken := slices.Concat(first, []member.Report{event(1, 101, 102, 100)})
	require.Len(t, TenuresOf(map[string][]member.Report{"a": woken})["0"][0].Late(), 1)
}
