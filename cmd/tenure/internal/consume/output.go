package consume

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

var errOutput = errors.New("standard output failed")

// output is standard output, shared by the readers.
type output struct {
	w        io.Writer
	onFailed func() // called once, by the call that failed

	writing sync.Mutex
	failed  atomic.Pointer[error]
}

// write writes whole lines in one call. The first failure is final: every later call returns it.
func (o *output) write(lines []byte) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := o.failure(); err != nil {
		return err
	}
	if _, err := o.w.Write(lines); err != nil {
		err = fmt.Errorf("%w: %w", errOutput, err)
		o.failed.Store(&err)
		o.onFailed()
		return err
	}
	return nil
}

// failure returns the error that ended the output, if one did. It does not wait for a write that is stuck.
func (o *output) failure() error {
	if err := o.failed.Load(); err != nil {
		return *err
	}
	return nil
}
