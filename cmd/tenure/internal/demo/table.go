package demo

import (
	"fmt"
	"strings"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// table is what came of it all. Its lines fit into 80 columns.
func table(v verdict) string {
	var t strings.Builder
	writef := func(format string, values ...any) { fmt.Fprintf(&t, format, values...) }

	writef("  %-30s %10s %10s %9s %10s\n", "", "partitions", "had to", "", "events")
	writef("  %-30s %10s %10s %9s %10s\n", "what happened", "moved", "move", "took", "repeated")
	for _, r := range v.rows {
		moved, fewest := "-", "-"
		if r.counted {
			moved, fewest = screen.Number(r.moved), screen.Number(r.fewest)
		}
		writef("  %-30s %10s %10s %9s %10s\n", r.what, moved, fewest, brief(r.took), screen.Number(r.repeated))
	}

	check := func(what string, n int, right bool, note string) {
		mark := "ok"
		if !right {
			mark = "WRONG"
		}
		writef("%s\n", strings.TrimRight(fmt.Sprintf("  %-30s %10s   %-5s %s", what, screen.Number(n), mark, note), " "))
	}
	writef("\n  %-30s %10s\n", "events appended to the stream", screen.Number(v.appended))
	check("lost", v.lost, v.lost == 0, "")
	check("repeated by planned changes", v.planned, v.planned == 0, "")
	check("repeated by crashes", v.crashed, v.astray == 0, "all after their checkpoints")
	check("late checkpoints rejected", v.rejected, v.accepted == 0, fmt.Sprintf("%d accepted", v.accepted))
	for _, wrong := range v.wrong {
		writef("\n  WRONG: %s", wrong)
	}
	return t.String()
}
