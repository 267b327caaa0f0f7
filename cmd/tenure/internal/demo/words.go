package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// seconds writes a time to a tenth of a second.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// brief writes a time to a tenth of a second, and a shorter one to a millisecond.
func brief(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return seconds(d)
}

// list writes names as people do: alice, bob and carol.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// said is a line of a phase. It fits into 80 columns.
func said(l line, ink screen.Ink) string {
	at, title := fmt.Sprintf("%6s", seconds(l.at)), fmt.Sprintf("%-5s", l.title)
	return fmt.Sprintf("%s  %s %s", ink.Faint(at), ink.Strong(title), l.text)
}
