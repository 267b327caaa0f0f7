package top

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
	"github.com/tenure-go/tenure/internal/golden"
)

// sampleFrame is a group of 30 partitions and three members, of which one is being drained.
func sampleFrame() *frame {
	at := time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	f := &frame{
		at: at, rate: 1234.5,
		summary: inspect.Group{
			Group: "local/orders/billing", Partitions: 30, Owned: 28, Members: 3, Paused: 1, Revision: 98765,
		},
	}
	owners := []string{"pod-1", "pod-2", "pod-10"}
	for _, owner := range owners {
		f.members = append(f.members, memberRow{inspect.Member{
			OwnerID: owner, State: inspect.Working, Weight: 1, Since: ago(3 * time.Hour),
		}, 411.5})
	}
	f.members[2].Controls = []inspect.Control{{Kind: "drain", Reason: "bad disk"}}
	for i := range 30 {
		sequence := int64(1000 * i)
		p := partitionRow{Partition: inspect.Partition{
			ID: strconv.Itoa(i), OwnerID: owners[i%3], Since: ago(time.Duration(i) * time.Minute), Reason: "released by pod-7",
			Checkpoint: &inspect.Checkpoint{SequenceNumber: &sequence, WrittenAt: ago(time.Duration(i) * time.Second)},
		}, rate: float64(i) * 2.5, rated: true}
		if i == 7 {
			p.OwnerID, p.Since, p.Reason = "", time.Time{}, ""
			p.Controls = []inspect.Control{{Kind: "pause", Reason: "poisoned"}}
		}
		if i == 8 {
			p.OwnerID, p.Since, p.Reason, p.Checkpoint, p.rated = "", time.Time{}, "", nil, false
		}
		m := &f.members[i%3]
		m.Partitions = append(m.Partitions, p.ID)
		f.partitions = append(f.partitions, p)
	}
	for i := range 6 {
		f.changes = append(f.changes, inspect.Change{
			Time: ago(time.Duration(60-i) * time.Second), Partition: strconv.Itoa(i), Text: "pod-7 -> pod-1: left by pod-7",
		})
	}
	return f
}

func TestFrames(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *frame){
		"partitions":      func(*frame) {},
		"by-rate":         func(f *frame) { f.sort[partitions], f.chosen = 3, 28 },
		"members":         func(f *frame) { f.view = members },
		"changes":         func(f *frame) { f.view = changes },
		"by-lag":          func(f *frame) { f.asked, f.sort[partitions] = true, 6; f.lag() },
		"filtered":        func(f *frame) { f.filter, f.typing = "unowned", true },
		"of-one-member":   func(f *frame) { f.owner, f.chosen = "pod-10", 2 },
		"partition":       func(f *frame) { f.detail = &detail{partition: "7"} },
		"partition-moves": func(f *frame) { f.detail = details(f.at) },
	} {
		f := sampleFrame()
		change(f)
		golden.Require(t, name+"-80x24.txt", f.render(80, 24, screen.Ink{})+"\n")
	}
	golden.Require(t, "partitions-120x40.txt", sampleFrame().render(120, 40, screen.Ink{})+"\n")
	golden.Require(t, "partitions-50x12.txt", sampleFrame().render(50, 12, screen.Ink{})+"\n")
}

// lag has the stream tell of all partitions but one.
func (f *frame) lag() {
	for i := range f.partitions {
		if behind := int64(i * i); i != 9 {
			f.partitions[i].Lag = &behind
		}
	}
}

func details(at time.Time) *detail {
	return &detail{partition: "3", asked: true, since: 80000, moves: []inspect.Move{
		{Revision: 90001, OwnerID: "pod-7", At: at.Add(-time.Hour), Reason: "nobody had it"}, {Revision: 98000},
		{Revision: 98001, OwnerID: "pod-1", At: at.Add(-time.Minute), Reason: "left by pod-7"},
	}}
}

// Colours change nothing but the colour, and nothing is wider or higher than the screen.
func TestFramesFit(t *testing.T) {
	t.Parallel()
	colours := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for v := range views {
		for _, open := range []*detail{nil, details(sampleFrame().at)} {
			f := sampleFrame()
			f.view, f.detail, f.chosen = v, open, 20
			for width := range 130 {
				for _, height := range []int{0, 1, 5, 12, 24, 60} {
					plain := f.render(width, height, screen.Ink{})
					lines := strings.Split(plain, "\n")
					require.LessOrEqual(t, len(lines), max(1, height))
					for _, line := range lines {
						require.LessOrEqual(t, lipgloss.Width(line), width, line)
					}
					coloured := f.render(width, height, screen.Ink{Names: []string{"pod-1", "pod-2", "pod-10"}})
					require.Equal(t, plain, colours.ReplaceAllString(coloured, ""))
				}
			}
		}
	}
}
