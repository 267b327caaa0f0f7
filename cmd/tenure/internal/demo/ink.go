package demo

import (
	"fmt"
	"slices"

	"charm.land/lipgloss/v2"
)

// ink colours words. The zero value leaves them as they are.
type ink struct {
	names []string // of the members, whose order gives each its colour
}

// colours are from the set of Okabe and Ito, which people tell apart who see colours differently.
func colours() []string { return []string{"#56B4E9", "#E69F00", "#009E73", "#CC79A7"} }

// member writes a text in the member's colour.
func (i ink) member(name, text string) string {
	n := slices.Index(i.names, name)
	if n < 0 {
		return text
	}
	return lipgloss.NewStyle().Foreground(lipgloss.Color(colours()[n%len(colours())])).Render(text)
}

func (i ink) strong(text string) string {
	if i.names == nil {
		return text
	}
	return lipgloss.NewStyle().Bold(true).Render(text)
}

func (i ink) faint(text string) string {
	if i.names == nil {
		return text
	}
	return lipgloss.NewStyle().Faint(true).Render(text)
}

// said writes a line of a phase. It fits into 80 columns.
func (i ink) said(l line) string {
	at, title := fmt.Sprintf("%6s", seconds(l.at)), fmt.Sprintf("%-5s", l.title)
	return fmt.Sprintf("%s  %s %s", i.faint(at), i.strong(title), l.text)
}
