package supervise

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

// Supervisor runs workers. All fields are required.
type Supervisor struct {
	// ShimPath and ShimArgs are the program that calls shim.Main in a process of its own, and its arguments, its own
	// name first.
	ShimPath string
	ShimArgs []string

	// Path is the worker's program, and Args are its arguments, its own name first.
	Path string
	Args []string

	// Environment is what workers have in theirs beside what they are told.
	Environment []string

	// StopGrace is how long a worker may take to end when its partition has been lost, before it is killed. It is to be
	// well below the time that a handler has for that.
	StopGrace time.Duration

	Output Output
	Log    *zap.Logger
}

// Handle runs one worker for a partition until the worker ends, or has to. It is the body of a balancer.Handler.
//
// It returns nil if the worker has ended by itself with status 0, or in whatever way after it was asked to because the
// partition is draining. If ctx ends it returns ctx's cause. Otherwise the error says how the worker has failed.
// Nothing of the worker's process group is left when it returns.
func (s *Supervisor) Handle(ctx context.Context, p Partition) error {
	log := s.Log.With(zap.String("partition", p.ID()))
	w, err := s.start(p, log)
	if err != nil {
		return err
	}
	defer w.close()
	w.follow(ctx)
	asked := w.awaitEnd(ctx)
	w.reap(ctx, asked)
	return w.conclude(ctx, asked)
}

// pipe makes a pipe of which the worker is to have one end.
func pipe() (reader, writer *os.File, err error) {
	if reader, writer, err = os.Pipe(); err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	return reader, writer, nil
}
