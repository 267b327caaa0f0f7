package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/supervise/shim"
)

const (
	// trustInterval is how often is looked whether the lease can be trusted for longer than the shim knows.
	trustInterval = 100 * time.Millisecond

	// trustStep is how much longer that has to be. Two readings of one and the same trust differ a little.
	trustStep = 10 * time.Millisecond

	// lingerLimit is how long what a worker leaves behind may keep descriptor 3 open, unless the partition is draining.
	lingerLimit = time.Second

	// tailLimit is how long descriptor 3 is read when nothing is left of the worker's process group. What that wrote is
	// there by then. Only a process that has left the group can still have it open.
	tailLimit = time.Second
)

// worker is one process at work on a partition.
type worker struct {
	partition Partition
	grace     time.Duration
	log       *zap.Logger
	process   *shim.Process
	deadline  time.Duration // that the shim was told

	reported *os.File // the worker's descriptor 3
	told     *os.File // its descriptor 4
	reports  *reports
	answers  *answers

	saved   chan struct{} // closed when descriptor 3 has ended and no checkpoint is being written
	running sync.WaitGroup
}

// start starts a worker, which may run for as long as the lease can be trusted.
func (s *Supervisor) start(p Partition, log *zap.Logger) (w *worker, err error) {
	from, _ := p.Start()
	w = &worker{
		partition: p, grace: s.StopGrace, log: log, deadline: trustedUntil(p),
		reports: newReports(log), answers: newAnswers(), saved: make(chan struct{}),
	}
	var three, four *os.File
	if w.reported, three, err = pipe(); err != nil {
		return nil, err
	}
	defer three.Close() //nolint:errcheck // The worker has a copy, and nothing was written.
	if four, w.told, err = pipe(); err != nil {
		return nil, errors.Join(err, w.reported.Close())
	}
	defer four.Close() //nolint:errcheck // The worker has a copy.
	stdout, stderr, started, err := s.Output.open(p.ID())
	if err == nil {
		defer started()
		w.process, err = shim.Start(shim.Command{
			ShimPath: s.ShimPath, ShimArgs: s.ShimArgs, Label: p.ID(), Path: s.Path, Args: s.Args,
			Env:    environment(s.Environment, p.Ownership(), from),
			Stdout: stdout, Stderr: stderr, Three: three, Four: four,
		}, w.deadline)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the worker: %w", err), w.reported.Close(), w.told.Close())
	}
	return w, nil
}

// trustedUntil returns until when the lease can be trusted, as the shims' clock shows it. That is read first: a moment
// that passes in between makes it earlier than it is.
func trustedUntil(p Partition) time.Duration {
	now := shim.Now()
	return now + p.Remaining()
}

// follow starts what goes on while the worker runs.
func (w *worker) follow(ctx context.Context) {
	w.running.Go(w.trust)
	w.running.Go(func() { w.reports.read(w.reported) })
	w.running.Go(func() {
		defer close(w.saved)
		w.reports.save(ctx, w.partition, w.answers)
	})
	w.running.Go(func() { w.answers.write(w.told) })
}

// trust tells the shim when the lease can be trusted for longer, or for less.
func (w *worker) trust() {
	tick := time.NewTicker(trustInterval)
	defer tick.Stop()
	for {
		select {
		case <-w.process.Gone():
			return
		case <-tick.C:
		}
		if until := trustedUntil(w.partition); (until - w.deadline).Abs() > trustStep {
			w.deadline = until
			w.process.Trust(until)
		}
	}
}

// awaitEnd returns when the worker has ended, or is to be killed, and whether it was asked to end because its partition
// is draining.
func (w *worker) awaitEnd(ctx context.Context) (asked bool) {
	started, draining, lost := w.process.Started(), w.partition.Draining(), ctx.Done()
	var overdue <-chan time.Time
	for {
		select {
		case <-w.process.Ended():
			return asked
		case <-started:
			started = nil
			from, _ := w.partition.Start()
			w.log.Info("worker started", append(position{from.SequenceNumber, from.Offset}.fields(),
				zap.Int("pid", w.process.Pid()))...)
		case <-draining:
			draining = nil
			asked = true
			w.process.Terminate()
		case <-lost:
			lost = nil
			if asked {
				return asked // It has had its time.
			}
			w.process.Terminate()
			overdue = time.After(w.grace)
		case <-overdue:
			return asked
		}
	}
}

// reap returns when nothing is left of the worker and its descriptor 3 has been read to its end. What the worker leaves
// behind and has that descriptor may go on while the partition drains.
func (w *worker) reap(ctx context.Context, asked bool) {
	w.process.Terminate()
	var overdue <-chan time.Time
	if !asked {
		overdue = time.After(lingerLimit)
	}
	select {
	case <-w.saved:
	case <-ctx.Done():
	case <-overdue:
	}
	w.process.Release()
	<-w.process.Gone()
	select {
	case <-w.saved:
	case <-time.After(tailLimit):
		_ = w.reported.SetReadDeadline(time.Now()) // Pipes can.
		<-w.saved
	}
}

// conclude writes what the worker reported last, or leaves that to the partition's release, and says how it ended.
func (w *worker) conclude(ctx context.Context, asked bool) error {
	ending := describe(w.process.Outcome())
	last := w.reports.rest()
	switch {
	case ctx.Err() != nil:
		w.log.Warn("worker stopped", zap.String("status", ending), zap.Error(context.Cause(ctx)))
		if last != nil {
			w.log.Warn("the worker's last checkpoint comes too late to be stored", last.fields()...)
		}
		return context.Cause(ctx)
	case asked:
		w.log.Info("worker drained", zap.String("status", ending))
	case succeeded(w.process.Outcome()):
		w.log.Info("worker finished: its partition is kept, and it is not started again")
	default:
		if last != nil {
			if err := w.partition.Checkpoint(ctx, last.sequenceNumber, last.offset); err != nil {
				w.log.Warn("the worker's last checkpoint was not stored", zap.Error(err))
			}
		}
		return fmt.Errorf("the worker failed: %s", ending)
	}
	if last != nil {
		w.partition.Finish(last.sequenceNumber, last.offset)
	}
	return nil
}

// close ends what goes on beside the worker, which has ended.
func (w *worker) close() {
	w.answers.close()
	_ = w.told.Close() // What was not read will not be.
	w.running.Wait()
	_ = w.reported.Close() // It was only read.
}

func succeeded(o shim.Outcome) bool {
	return o.Err == nil && o.Status.Exited() && o.Status.ExitStatus() == 0
}

// describe says how a worker ended, for people.
func describe(o shim.Outcome) string {
	switch {
	case o.Err != nil:
		return o.Err.Error()
	case o.Expired:
		return "killed when the lease could no longer be trusted"
	case o.Status.Exited():
		return fmt.Sprintf("exit status %d", o.Status.ExitStatus())
	case o.Status.Signaled():
		return fmt.Sprintf("ended by signal %d (%s)", int(o.Status.Signal()), o.Status.Signal())
	}
	return fmt.Sprintf("wait status %#x", uint32(o.Status))
}
