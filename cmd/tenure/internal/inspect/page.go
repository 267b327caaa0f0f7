package inspect

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
)

// Page is text for people, written line by line.
type Page struct{ bytes.Buffer }

// Linef adds a line. What no line can hold is replaced in it.
func (p *Page) Linef(format string, values ...any) {
	_, _ = p.WriteString(printable(fmt.Sprintf(format, values...)) + "\n")
}

// Table adds a table, without columns at its end that are empty in every row.
func (p *Page) Table(t Table) {
	columns := len(t.Head)
	for columns > 1 && t.emptyFrom(columns-1) {
		columns--
	}
	var lines bytes.Buffer
	aligned := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		cells := make([]string, columns)
		for i := range cells {
			cells[i] = printable(row[i])
		}
		_, _ = fmt.Fprintln(aligned, strings.Join(cells, "\t")) // A buffer takes all.
	}
	_ = aligned.Flush()
	for line := range strings.Lines(lines.String()) {
		_, _ = p.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}
