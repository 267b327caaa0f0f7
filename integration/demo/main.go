// Command demo shows on a terminal what Tenure does: three consumers share an event hub's partitions, one is killed,
// and the others go on from its checkpoints. It needs Node, which plays the part of Event Hubs, and leaves nothing
// behind. It exits with 0 if every event was printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

const (
	partitions = 8
	appendRate = 200 // events a second, over all partitions

	// A fifth and a tenth of the defaults, so that there is something to see within seconds.
	ttl            = 2 * time.Second
	updateInterval = time.Second

	shortest = 12 // seconds; the kill and what follows need them
)

func main() {
	seconds := flag.Int("seconds", 24, "how long events are appended")
	flag.Parse()
	if *seconds < shortest || flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: --seconds has to be %d at least, and there is nothing else to give\n", shortest)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, newScreen(os.Stdout), time.Duration(*seconds)*time.Second)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "demo: stopped before its end")
		os.Exit(130)
	case errors.Is(err, standin.ErrNoNode):
		fmt.Fprintf(os.Stderr, "demo: %v\n\nIt plays the part of Event Hubs here. Install Node and npm "+
			"(Debian: apt install nodejs npm; macOS: brew install node) and try again.\n", err)
		os.Exit(1)
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// run puts the stage up, plays, and clears it again whatever happens.
func run(ctx context.Context, screen *screen, duration time.Duration) (err error) {
	screen.title()
	s := &stage{screen: screen, tally: newTally()}
	defer func() { err = errors.Join(err, s.clear()) }()
	if err = s.prepare(ctx); err == nil {
		err = s.play(ctx, duration)
	}
	if ctx.Err() != nil {
		return ctx.Err() // whatever else has come of it
	}
	return err
}
