package screen

import (
	"slices"

	"charm.land/lipgloss/v2"
)

// Ink colours words. The zero value leaves them as they are.
type Ink struct {
	Names []string // whose order gives each its colour
}

// colours are from the set of Okabe and Ito, which people tell apart who see colours differently.
func colours() []string { return []string{"#56B4E9", "#E69F00", "#009E73", "#CC79A7"} }

// Name writes a text in the colour of a name, if it has one.
func (i Ink) Name(name, text string) string {
	n := slices.Index(i.Names, name)
	if n < 0 || text == "" {
		return text
	}
	return lipgloss.NewStyle().Foreground(lipgloss.Color(colours()[n%len(colours())])).Render(text)
}

// Strong makes a text stand out.
func (i Ink) Strong(text string) string {
	if i.Names == nil || text == "" {
		return text
	}
	return lipgloss.NewStyle().Bold(true).Render(text)
}

// Faint makes a text step back.
func (i Ink) Faint(text string) string {
	if i.Names == nil || text == "" {
		return text
	}
	return lipgloss.NewStyle().Faint(true).Render(text)
}

// Chosen marks a line. Where there are no colours the caller has to mark it some other way too.
func (i Ink) Chosen(text string) string {
	if i.Names == nil || text == "" {
		return text
	}
	return lipgloss.NewStyle().Reverse(true).Render(text)
}
