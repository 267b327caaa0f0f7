package top

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// newModel looks at a group of that many partitions with checkpoints.
func newModel(tb testing.TB, partitions int) *model {
	tb.Helper()
	client := etcdtest.Start(tb, etcdtest.Defaults).Client(tb)
	store, err := etcdstore.New(client, nil, nil)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close(context.WithoutCancel(tb.Context()))) })
	group := etcdstore.Group{FullyQualifiedNamespace: "local", EventHubName: "orders", ConsumerGroup: "billing"}
	mirror, err := store.Watch(tb.Context(), group, &etcdstore.WatchOptions{Checkpoints: true})
	require.NoError(tb, err)
	checkpoints := make([]etcdstore.Checkpoint, partitions)
	for i := range checkpoints {
		n := int64(i)
		checkpoints[i] = etcdstore.Checkpoint{Group: group, PartitionID: strconv.Itoa(i), SequenceNumber: &n}
	}
	require.NoError(tb, store.RewriteCheckpoints(tb.Context(), mirror.Snapshot(), checkpoints, nil))
	require.Eventually(tb, func() bool { return len(mirror.Snapshot().Checkpoints) == partitions }, time.Minute,
		time.Millisecond)
	m := &model{Config: Config{Store: store, Mirror: mirror}, ctx: tb.Context(), quit: func() {}}
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	return m
}

// Keys choose, sort, filter and open, and never more than there is.
func TestKeys(t *testing.T) {
	t.Parallel()
	m := newModel(t, 30)
	m.refresh(time.Now())
	press := func(keys ...string) string {
		for _, key := range keys {
			message := tea.KeyPressMsg{Text: key}
			switch key {
			case "down":
				message = tea.KeyPressMsg{Code: tea.KeyDown}
			case "end":
				message = tea.KeyPressMsg{Code: tea.KeyEnd}
			case "enter":
				message = tea.KeyPressMsg{Code: tea.KeyEnter}
			case "esc":
				message = tea.KeyPressMsg{Code: tea.KeyEscape}
			case "backspace":
				message = tea.KeyPressMsg{Code: tea.KeyBackspace}
			}
			if _, command := m.Update(message); command != nil {
				m.Update(command())
			}
		}
		return m.frame.render(80, 24, m.ink())
	}
	require.Contains(t, press("down", "down"), "\n>2 ")
	require.Contains(t, press("end", "down"), "\n>29 ")
	require.Contains(t, press("r"), "\n>0 ")
	require.Contains(t, press("r", "/", "2", "8", "9", "backspace"), "\n>28 ")
	require.NotContains(t, press("enter"), "\n 27 ")
	require.Contains(t, press("enter"), "its moves, newest first, as etcd remembers them from revision 1 on:")
	require.Contains(t, press("esc", "esc"), "\n>0 ")
	require.Contains(t, press("3"), "tab partitions")
	require.Contains(t, press("down", "enter", "1"), "PARTITION*")
	require.Contains(t, press("/", "n", "o", "n", "e", "enter", "enter", "down"), "only with none")
}

// Rates are how positions rise, over what has been seen, and never below nothing.
func TestRates(t *testing.T) {
	t.Parallel()
	var r rates
	at := time.Now()
	look := func(after time.Duration, sequence int64) {
		checkpoints := map[string]etcdstore.Checkpoint{"0": {SequenceNumber: &sequence}}
		r.take(&etcdstore.Snapshot{Checkpoints: checkpoints}, at.Add(after))
	}
	look(0, 100)
	_, known := r.of("0")
	require.False(t, known)
	look(time.Second/2, 1000) // too soon
	look(2*time.Second, 300)
	rate, known := r.of("0")
	require.True(t, known)
	require.InDelta(t, 100, rate, 1e-9)
	_, known = r.of("1")
	require.False(t, known)
	for i := range int64(20) {
		look(time.Duration(3+i)*time.Second, 300+i*7)
	}
	rate, _ = r.of("0")
	require.InDelta(t, 7, rate, 1e-9)
	look(23*time.Second, 0)
	rate, _ = r.of("0")
	require.Zero(t, rate)
}

// BenchmarkRefresh takes in and draws a large group.
func BenchmarkRefresh(b *testing.B) {
	m := newModel(b, 10_000)
	for b.Loop() {
		m.refresh(time.Now())
		if text := m.frame.render(80, 24, m.ink()); !strings.Contains(text, "10,000 partitions") {
			b.Fatal(text)
		}
	}
}
