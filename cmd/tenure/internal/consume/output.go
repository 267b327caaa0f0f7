package consume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const pipePoll = 5 * time.Millisecond

var errOutput = errors.New("standard output failed")

// output is standard output, shared by the readers.
type output struct {
	w        io.Writer
	onFailed func() // called once, by the call that failed

	writing sync.Mutex
	written atomic.Int64
	waiting atomic.Int32 // calls that wait for the reader
	failed  atomic.Pointer[error]
}

// write writes whole lines in one call. The first failure is final: every later call returns it.
func (o *output) write(lines []byte) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := o.failure(); err != nil {
		return err
	}
	o.waiting.Add(1)
	n, err := o.w.Write(lines)
	o.waiting.Add(-1)
	o.written.Add(int64(n))
	if err != nil {
		return o.fail(err)
	}
	return nil
}

func (o *output) fail(err error) error {
	err = fmt.Errorf("%w: %w", errOutput, err)
	if o.failed.CompareAndSwap(nil, &err) {
		o.onFailed()
	}
	return o.failure()
}

// awaitRead returns once the reader of a pipe has taken all that was written before the call, so that what is
// checkpointed then is not lost with a reader that goes. It fails when the reader has gone, or with ctx. What is no
// pipe, and any pipe where the system does not tell, counts as read when written.
func (o *output) awaitRead(ctx context.Context) error {
	end := o.written.Load()
	o.waiting.Add(1)
	defer o.waiting.Add(-1)
	var tick *time.Ticker
	for {
		if err := o.failure(); err != nil {
			return err
		}
		// In this order: what others write in between may only make it look as if less had been read.
		written := o.written.Load()
		unread, abandoned := inPipe(o.w)
		switch {
		case written-int64(unread) >= end:
			return nil
		case abandoned:
			return o.fail(syscall.EPIPE)
		}
		if tick == nil {
			tick = time.NewTicker(pipePoll)
			defer tick.Stop()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for standard output to be read: %w", ctx.Err())
		}
	}
}

// failure returns the error that ended the output, if one did. It does not wait for a write that is stuck.
func (o *output) failure() error {
	if err := o.failed.Load(); err != nil {
		return *err
	}
	return nil
}
