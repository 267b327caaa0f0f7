package inspect

import (
	"cmp"
	"strings"
)

// Table is what is printed in columns that line up.
type Table struct {
	Head []string
	Rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

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
