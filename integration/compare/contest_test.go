package compare_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// contest is Tenure and those that it is measured beside. In each round each of them has its turn, in another order, so
// that what the machine does meanwhile falls on all alike; what counts are the ratios of one round.
type contest struct {
	name       string
	about      string // what a turn does, and what is not timed
	contenders []contender
	rows       []row
}

// contender is one that takes turns. Tenure is the first.
type contender struct {
	name string
	turn func(t *testing.T) measures
}

// measures are what a turn has come to, by name.
type measures map[string]float64

// row is a line of the results: one measure, beside one peer.
type row struct {
	measure string
	unit    string
	scale   float64 // from what is measured to the unit
	less    bool    // less is better
	peer    string
	bar     float64 // the ratio wanted: how many times better than the peer Tenure is to be, 0 for none
}

// outcome is a contest that was held.
type outcome struct {
	contest

	rounds []map[string]measures // by contender
}

// hold holds a contest. One round before the others does not count.
func (c contest) hold(t *testing.T, rounds int) outcome {
	t.Helper()
	o := outcome{contest: c}
	for round := range rounds + 1 {
		now := make(map[string]measures)
		for i := range c.contenders {
			who := c.contenders[(i+round)%len(c.contenders)]
			now[who.name] = who.turn(t)
		}
		if round > 0 {
			o.rounds = append(o.rounds, now)
		}
		t.Logf("%s: round %d of %d", c.name, round, rounds)
	}
	return o
}

// values are a contender's, over the rounds.
func (o outcome) values(who, measure string) []float64 {
	values := make([]float64, len(o.rounds))
	for i, round := range o.rounds {
		values[i] = round[who][measure]
	}
	return values
}

// ratios are how many times better Tenure was in each round.
func (o outcome) ratios(r row) []float64 {
	ours, theirs := o.values(o.contenders[0].name, r.measure), o.values(r.peer, r.measure)
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
		if r.less {
			ratios[i] = 1 / ratios[i]
		}
	}
	return ratios
}

// table is the outcome in Markdown.
func (o outcome) table() string {
	var text strings.Builder
	fmt.Fprintf(&text, "### %s\n\n%s\n\n", o.name, o.about)
	text.WriteString("| | Tenure | beside | | ratio: median (least to most) | bar |\n|---|--:|---|--:|--:|--:|\n")
	for _, r := range o.rows {
		ratios := o.ratios(r)
		bar := "–"
		if r.bar > 0 {
			met := "met"
			if median(ratios) < r.bar {
				met = "**missed**"
			}
			bar = fmt.Sprintf("%s, %s", number(r.bar), met)
		}
		shown := func(who string) string { return number(median(o.values(who, r.measure)) * r.scale) }
		fmt.Fprintf(&text, "| %s, %s | %s | %s | %s | %s (%s to %s) | %s |\n", r.measure, r.unit,
			shown(o.contenders[0].name), r.peer, shown(r.peer), number(median(ratios)), number(slices.Min(ratios)),
			number(slices.Max(ratios)), bar)
	}
	return text.String()
}

// number shows three digits that count.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// counted shows a number of things without digits behind the point.
func counted(x float64, unit string) string {
	if unit == "" {
		return fmt.Sprintf("%.0f", x)
	}
	return number(x)
}

// howLong returns how many seconds something took.
func howLong(do func()) float64 {
	began := time.Now()
	do()
	return time.Since(began).Seconds()
}
