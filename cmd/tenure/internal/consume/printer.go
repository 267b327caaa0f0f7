package consume

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Settings say how events are printed, wherever they come from.
type Settings struct {
	// A partition is checkpointed after this many events, or this long after the first that is not covered.
	CheckpointCount    int
	CheckpointInterval time.Duration

	Output io.Writer
	Log    *zap.Logger
}

// printer prints the events of all partitions and counts what has become of them.
type printer struct {
	out *output

	events, rejected atomic.Int64 // events printed, and checkpoints that etcd has refused
}

// printAll writes the events in one call.
func (p *printer) printAll(events []event) error {
	var lines bytes.Buffer
	if err := appendLines(&lines, events); err != nil {
		return err
	}
	if err := p.out.write(lines.Bytes()); err != nil {
		return err
	}
	p.events.Add(int64(len(events)))
	return nil
}

// tell logs what was done in all.
func (p *printer) tell(log *zap.Logger) {
	log.Info("consumed", zap.Int64("events", p.events.Load()), zap.Int64("rejected_checkpoints", p.rejected.Load()))
}
