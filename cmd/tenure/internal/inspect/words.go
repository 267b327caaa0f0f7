package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/maruel/natural"
)

// Ago writes how long ago something was: two units at the most, as in 3h05m.
func Ago(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	d := max(0, now.Sub(then)) // clocks differ
	seconds, minutes, hours := int(d.Seconds()), int(d.Minutes()), int(d.Hours())
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case minutes < 60:
		return fmt.Sprintf("%dm%02ds", minutes, seconds%60)
	case hours < 24:
		return fmt.Sprintf("%dh%02dm", hours, minutes%60)
	}
	return fmt.Sprintf("%dd%02dh", hours/24, hours%24)
}

// Natural sorts names as people count: 2 before 10. Names that count the same, as 7 and 07 do, have an order too.
func Natural(a, b string) int { return cmp.Or(natural.Compare(a, b), cmp.Compare(a, b)) }

// sorted returns the keys of a map as people count.
func sorted[V any](of map[string]V) []string {
	return slices.SortedFunc(maps.Keys(of), Natural)
}

// Near returns the names that somebody who wrote name may have meant, nearest first, three at the most.
func Near(name string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var all []candidate
	folded := strings.ToLower(name)
	for _, n := range names {
		other := strings.ToLower(n)
		distance := levenshtein.ComputeDistance(folded, other)
		switch {
		case strings.HasPrefix(other, folded):
			distance = min(distance, 1)
		case strings.Contains(other, folded) && len(folded) > 2:
			distance = min(distance, 2)
		}
		if distance <= max(1, len(name)/3) {
			all = append(all, candidate{n, distance})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), Natural(a.name, b.name))
	})
	all = all[:min(len(all), 3)]
	near := make([]string, 0, len(all))
	for _, c := range all {
		near = append(near, c.name)
	}
	return near
}

// Some lists the first of names, and says how many more there are.
func Some(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), len(names)-most)
}

// InOrder sorts names as people count.
func InOrder(names []string) []string {
	slices.SortFunc(names, Natural)
	return names
}
