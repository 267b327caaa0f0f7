package balancer

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tenure-go/tenure/etcdstore"
)

// firstLagPart of the usual time passes before the first time, when most partitions have come.
const firstLagPart = 10

// lagsAtOnce is how many partitions the stream is asked for at a time.
const lagsAtOnce = 8

// followLag asks how far behind the member's partitions are, as long as somebody wants to know.
func (w *worker) followLag(ctx context.Context) {
	failing := false
	for wait := w.pace.lag / firstLagPart; ; wait = w.pace.lag {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if !w.measured.Load() {
			continue
		}
		state, err := w.ask(ctx)
		if err != nil {
			continue // it begins or ends
		}
		if err = w.askLags(ctx, state.handled); err != nil && !failing && ctx.Err() == nil {
			w.log.Warn("how far behind partitions are cannot be told; it is asked again", zap.Error(err))
		}
		failing = err != nil
	}
}

func (w *worker) askLags(ctx context.Context, handled []*Partition) error {
	var asking errgroup.Group
	asking.SetLimit(lagsAtOnce)
	for _, p := range handled {
		asking.Go(func() error {
			lag, err := w.options.Lag(ctx, p.ID(), p.latest())
			if err != nil {
				lag = unknownLag
			}
			p.lag.Store(lag)
			return err
		})
	}
	return asking.Wait() //nolint:wrapcheck // It is logged.
}

// unknownLag stands where the stream has not told.
const unknownLag = -1

// latest returns the partition's checkpoint, nil if there is none.
func (p *Partition) latest() *etcdstore.Checkpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.written:
		latest := p.start
		latest.SequenceNumber, latest.Offset = p.at.sequenceNumber, p.at.offset
		return &latest
	case p.hasStart:
		return &p.start
	}
	return nil
}
