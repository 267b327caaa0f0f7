package inspect

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table is what is printed in columns that line up.
type Table struct {
	Head []string
	Rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Print prints the table, without columns at its end that are empty in every row.
func (t *Table) Print(w io.Writer) error {
	columns := len(t.Head)
	for columns > 1 && t.emptyFrom(columns-1) {
		columns--
	}
	aligned := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.DiscardEmptyColumns)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		cells := make([]string, columns)
		for i := range cells {
			cells[i] = printable(row[i])
		}
		if _, err := fmt.Fprintln(aligned, strings.Join(cells, "\t")); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	if err := aligned.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (t *Table) emptyFrom(column int) bool {
	for _, row := range t.Rows {
		if row[column] != "" {
			return false
		}
	}
	return true
}

// printable keeps names from breaking lines and columns, or moving a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}

func orDash(s string) string { return cmp.Or(s, "-") }
