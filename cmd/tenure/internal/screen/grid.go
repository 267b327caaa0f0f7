package screen

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Column is one of a grid's.
type Column struct {
	Head  string
	Least int  // its width at the least
	Right bool // numbers stand at its right
}

// Grid draws rows under the heads of their columns, each as wide as what stands in it. One space is before the first
// column and two before the others; what is over the width is cut off. Cells may be coloured.
func Grid(columns []Column, rows [][]string, width int, ink Ink) []string {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = max(c.Least, ansi.StringWidth(c.Head))
		for _, row := range rows {
			widths[i] = max(widths[i], ansi.StringWidth(row[i]))
		}
	}
	line := func(cells []string) string {
		var text strings.Builder
		for i, cell := range cells {
			text.WriteString(strings.Repeat(" ", min(i+1, 2)))
			pad := strings.Repeat(" ", widths[i]-ansi.StringWidth(cell))
			switch {
			case columns[i].Right:
				text.WriteString(pad + cell)
			case i < len(cells)-1:
				text.WriteString(cell + pad)
			default:
				text.WriteString(cell)
			}
		}
		return Cut(strings.TrimRight(text.String(), " "), width)
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.Head
	}
	lines := append(make([]string, 0, 1+len(rows)), ink.Faint(line(heads)))
	for _, row := range rows {
		lines = append(lines, line(row))
	}
	return lines
}
