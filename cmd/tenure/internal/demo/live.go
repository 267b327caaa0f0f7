package demo

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"golang.org/x/term"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

const redraw = 100 * time.Millisecond

// showLive plays the demo under a view of it, and leaves on the terminal what there is to be read afterwards.
func showLive(ctx context.Context, config Config) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	terminal := config.Terminal
	var left bytes.Buffer
	config.Output = &left
	p := &performance{config: config, scene: newScene(func(line) error { return nil })}
	program := screen.NewProgram(terminal, &live{scene: p.scene, quit: quit})
	played := make(chan error, 1)
	go func() {
		played <- p.run(ctx)
		program.Send(playedMsg{})
	}()
	_, shown := program.Run()
	if shown != nil {
		quit() // nobody sees it
	}
	err := <-played
	if shown != nil {
		return fmt.Errorf("draw on the terminal: %w", shown)
	}
	f, width := p.scene.frame(), 80
	if w, _, err := term.GetSize(int(terminal.Fd())); err == nil {
		width = w
	}
	ink := screen.Ink{Names: memberNames()}
	lines := slices.Concat(f.legend(ink), []string{""}, f.grid(width, ink), []string{""})
	for _, l := range f.lines {
		lines = append(lines, said(l, ink))
	}
	_, _ = lipgloss.Fprintln(terminal, strings.Join(lines, "\n"))
	_, _ = lipgloss.Fprint(terminal, left.String())
	return err
}

// live is the view as Bubble Tea drives it.
type live struct {
	scene         *scene
	quit          func()
	width, height int
	ending        bool
}

type (
	tickMsg   struct{}
	playedMsg struct{}
)

func tick() tea.Cmd { return tea.Tick(redraw, func(time.Time) tea.Msg { return tickMsg{} }) }

// Init begins to draw.
func (l *live) Init() tea.Cmd { return tick() }

// Update takes in what happens on the terminal.
func (l *live) Update(message tea.Msg) (tea.Model, tea.Cmd) { //nolint:ireturn // That is bubbletea's interface.
	switch m := message.(type) {
	case tickMsg:
		return l, tick()
	case playedMsg:
		return l, tea.Quit
	case tea.WindowSizeMsg:
		l.width, l.height = m.Width, m.Height
	case tea.KeyPressMsg:
		switch m.String() {
		case "q", "ctrl+c", "esc":
			l.ending = true
			l.quit()
		}
	}
	return l, nil
}

// View draws.
func (l *live) View() tea.View {
	f := l.scene.frame()
	f.ending = l.ending
	v := tea.NewView(f.render(l.width, l.height, screen.Ink{Names: memberNames()}))
	v.AltScreen = true
	v.WindowTitle = "tenure demo"
	return v
}
