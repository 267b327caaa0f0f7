package top

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// detail is one partition, looked at more closely.
type detail struct {
	partition string
	moves     []inspect.Move
	since     int64 // the revision from which on etcd remembers
	asked     bool
	err       error
}

// details shows one partition.
func (f *frame) details(width int, ink screen.Ink) []string {
	var page inspect.Page
	i := slices.IndexFunc(f.partitions, func(p partitionRow) bool { return p.ID == f.detail.partition })
	if i < 0 {
		page.Linef(" partition %s is gone", f.detail.partition)
		return strings.Split(page.String(), "\n")
	}
	p := f.partitions[i]
	sequence, offset, age := p.Checkpoint.Cells(f.at)
	page.Linef(" partition   %s", p.ID)
	if p.OwnerID == "" {
		page.Linef(" owner       nobody")
	} else {
		page.Linef(" owner       %s, for %s: %s", p.OwnerID, cmp.Or(inspect.Ago(f.at, p.Since), "-"), p.Moved())
	}
	if p.Checkpoint == nil {
		page.Linef(" checkpoint  none")
	} else {
		page.Linef(" checkpoint  sequence number %s, offset %s, %s ago", sequence, offset, cmp.Or(age, "-"))
	}
	for _, c := range p.Controls {
		page.Linef(" control     %s", c.Words(f.at))
	}
	for _, text := range p.Corrupt {
		page.Linef(" CORRUPT     %s", text)
	}
	page.Linef("")
	switch {
	case f.detail.err != nil:
		page.Linef(" its moves cannot be read: %v", f.detail.err)
	case !f.detail.asked:
		page.Linef(" its moves are read ...")
	default:
		page.Linef(" its moves, newest first, as etcd remembers them from revision %d on:", f.detail.since)
	}
	lines := strings.Split(strings.TrimRight(page.String(), "\n"), "\n")
	if table := inspect.MoveTable(f.detail.moves, f.at); f.detail.asked && f.detail.err == nil {
		columns := make([]screen.Column, len(table.Head))
		for i, head := range table.Head {
			columns[i].Head = head
		}
		lines = append(append(lines, ""), screen.Grid(columns, table.Rows, width, ink)...)
	}
	return lines
}
