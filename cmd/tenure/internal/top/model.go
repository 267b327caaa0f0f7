package top

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
	"github.com/tenure-go/tenure/etcdstore"
)

// redraw is how often what etcd has told is drawn. Where that takes long, since the group is large, it is drawn less
// often, so that it costs no more than a tenth of a processor.
const (
	redraw    = 250 * time.Millisecond
	redrawFor = 10 // times as long as drawing takes
)

// remembered is how many changes are kept.
const remembered = 1000

// model is the view as Bubble Tea drives it.
type model struct {
	Config

	ctx           context.Context
	quit          func()
	width, height int
	rates         rates
	lags          map[string]*int64
	before        *etcdstore.Snapshot
	frame         frame
}

type (
	tickMsg struct{}
	lagsMsg struct {
		lags map[string]*int64
		err  error
	}
	askMsg   struct{}
	movesMsg struct {
		partition string
		moves     []etcdstore.Move
		since     int64
		err       error
	}
)

// tick draws again, when that has just taken so long.
func tick(took time.Duration) tea.Cmd {
	return tea.Tick(max(redraw, redrawFor*took), func(time.Time) tea.Msg { return tickMsg{} })
}

// Init begins to draw.
func (m *model) Init() tea.Cmd {
	m.refresh(time.Now())
	return tea.Batch(tick(0), m.ask())
}

// askEvery is how long after an answer the stream is asked again.
const askEvery = 10 * time.Second

// ask asks the stream how many events partitions are behind.
func (m *model) ask() tea.Cmd {
	if m.Lags == nil {
		return nil
	}
	s := m.Mirror.Snapshot()
	return func() tea.Msg {
		lags, err := m.Lags(m.ctx, s)
		return lagsMsg{lags, err}
	}
}

// refresh takes in what etcd has told.
func (m *model) refresh(now time.Time) {
	s := m.Mirror.Snapshot()
	m.rates.take(s, now)
	f := &m.frame
	f.at = now
	if s != m.before {
		if m.before != nil {
			f.changes = append(f.changes, inspect.MemberChanges(m.before, s, now)...)
			f.changes = append(f.changes, inspect.PartitionChanges(m.before, s, now)...)
			f.changes = f.changes[max(0, len(f.changes)-remembered):]
		}
		m.before = s
		f.summary = inspect.Summary(s)
	}
	f.rate, f.partitions, f.members = 0, f.partitions[:0], f.members[:0]
	byOwner := make(map[string]float64)
	for _, p := range inspect.Partitions(s) {
		p.Lag = m.lags[p.ID]
		row := partitionRow{Partition: p}
		row.rate, row.rated = m.rates.of(p.ID)
		f.rate += row.rate
		byOwner[p.OwnerID] += row.rate
		f.partitions = append(f.partitions, row)
	}
	for _, member := range inspect.Members(s) {
		f.members = append(f.members, memberRow{member, byOwner[member.OwnerID]})
	}
	f.chosen = max(0, min(f.chosen, f.length()-1))
}

// Update takes in what happens on the terminal.
func (m *model) Update(message tea.Msg) (tea.Model, tea.Cmd) { //nolint:ireturn // That is bubbletea's interface.
	switch msg := message.(type) {
	case tickMsg:
		began := time.Now()
		m.refresh(began)
		return m, tick(time.Since(began))
	case askMsg:
		return m, m.ask()
	case lagsMsg:
		m.lags, m.frame.asked, m.frame.unasked = msg.lags, true, msg.err
		return m, tea.Tick(askEvery, func(time.Time) tea.Msg { return askMsg{} })
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case movesMsg:
		if d := m.frame.detail; d != nil && d.partition == msg.partition {
			d.moves, d.since, d.err, d.asked = inspect.Moves(msg.moves), msg.since, msg.err, true
		}
	case tea.KeyPressMsg:
		if m.frame.typing {
			m.frame.typed(msg)
			return m, nil
		}
		return m, m.pressed(msg.String())
	}
	return m, nil
}

// typed takes in a key that belongs to the filter.
func (l *look) typed(key tea.KeyPressMsg) {
	switch key.String() {
	case "enter":
		l.typing = false
	case "esc", "ctrl+c":
		l.typing, l.filter = false, ""
	case "backspace":
		if runes := []rune(l.filter); len(runes) > 0 {
			l.filter = string(runes[:len(runes)-1])
		}
	default:
		l.filter += key.Text
	}
	l.chosen = 0
}

// pressed does what a key says.
func (m *model) pressed(key string) tea.Cmd {
	f := &m.frame
	switch key {
	case "q", "ctrl+c":
		m.quit()
		return tea.Quit
	case "tab":
		f.view, f.chosen, f.detail = (f.view+1)%views, 0, nil
	case "1", "2", "3":
		f.view, f.chosen, f.detail = view(key[0]-'1'), 0, nil
	case "s":
		f.sort[f.view]++
	case "r":
		f.reversed[f.view] = !f.reversed[f.view]
	case "/":
		f.typing, f.detail = true, nil
	case "esc":
		f.back()
	case "enter":
		return m.open()
	case "up", "k":
		f.chosen--
	case "down", "j":
		f.chosen++
	case "pgup":
		f.chosen -= m.height / 2
	case "pgdown":
		f.chosen += m.height / 2
	case "home", "g":
		f.chosen = 0
	case "end", "G":
		f.chosen = f.length()
	}
	f.chosen = max(0, min(f.chosen, f.length()-1))
	return nil
}

// back closes what was opened last.
func (l *look) back() {
	switch {
	case l.detail != nil:
		l.detail = nil
	case l.filter != "":
		l.filter = ""
	case l.owner != "":
		l.owner, l.view, l.chosen = "", members, 0
	}
}

// open looks more closely at the row that is chosen: at a member's partitions, or at a partition, whose moves etcd is
// asked for.
func (m *model) open() tea.Cmd {
	f := &m.frame
	if f.detail != nil || f.length() == 0 {
		return nil
	}
	switch f.view {
	case members:
		f.owner, f.filter = f.shownMembers()[f.chosen].OwnerID, ""
		f.view, f.chosen = partitions, 0
	case partitions:
		id := f.shownPartitions()[f.chosen].ID
		f.detail = &detail{partition: id}
		group := m.Mirror.Snapshot().Group
		return func() tea.Msg {
			bounded, cancel := context.WithTimeout(m.ctx, 10*time.Second)
			defer cancel()
			moves, since, err := m.Store.ListMoves(bounded, group, id)
			return movesMsg{id, moves, since, err}
		}
	case changes, views:
	}
	return nil
}

// ink gives each member its colour.
func (m *model) ink() screen.Ink {
	var ink screen.Ink
	if m.Colours {
		ink.Names = make([]string, len(m.frame.members))
		for i, member := range m.frame.members {
			ink.Names[i] = member.OwnerID
		}
	}
	return ink
}

// View draws.
func (m *model) View() tea.View {
	v := tea.NewView(m.frame.render(m.width, m.height, m.ink()))
	v.AltScreen = true
	v.WindowTitle = "tenure top " + m.frame.summary.Group
	return v
}
