package supervise

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"go.uber.org/zap"
)

// maxLine bounds a line of descriptor 3, its end included. It is far below what a stored record may have.
const maxLine = 32 << 10

// reports are the lines of one worker's descriptor 3 that wait for their outcome. Of the checkpoints among them only
// the newest is to be written: it covers the others.
type reports struct {
	log *zap.Logger

	mu      sync.Mutex
	changed *sync.Cond
	waiting []run
	newest  *position
	ended   bool
}

func newReports(log *zap.Logger) *reports {
	r := &reports{log: log}
	r.changed = sync.NewCond(&r.mu)
	return r
}

// read takes in lines until there are no more. When too much waits, which only a worker that mixes checkpoints with
// invalid lines brings about, it reads on when that has been decided.
func (r *reports) read(from io.Reader) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = true
		r.changed.Broadcast()
	}()
	lines := bufio.NewReaderSize(from, maxLine)
	for {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, errLongLine):
			r.add(position{}, err)
		case err != nil:
			if errors.Is(err, os.ErrDeadlineExceeded) {
				r.log.Warn("a process that has left the worker's process group keeps descriptor 3 open; it is not heard any more")
			}
			if len(line) > 0 {
				r.log.Warn("the worker's last line on descriptor 3 has no end and is passed over",
					zap.ByteString("line", shorten(line)))
			}
			return
		default:
			p, err := parsePosition(line)
			if err != nil {
				r.log.Warn("the worker wrote a line on descriptor 3 that is no checkpoint",
					zap.ByteString("line", shorten(line)), zap.Error(err))
			}
			r.add(p, err)
		}
	}
}

var errLongLine = errors.New("longer than 32 KiB")

// readLine returns the next line without its end. One that is too long is passed over.
func readLine(lines *bufio.Reader) ([]byte, error) {
	line, err := lines.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = lines.ReadSlice('\n')
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // It only ends the reading.
	}
	return nil, errLongLine
}

// shorten cuts what a log is to show.
func shorten(line []byte) []byte {
	const most = 128
	return line[:min(len(line), most)]
}

// add takes in one line.
func (r *reports) add(p position, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) >= maxRuns {
		r.changed.Wait()
	}
	next := run{lines: 1}
	if err != nil {
		next.outcome, next.reason = invalid, err.Error()
	} else {
		r.newest = &p
	}
	r.waiting = appendRun(r.waiting, next)
	r.changed.Broadcast()
}

// take waits for lines and returns all that wait, with the checkpoint to write for them, or nil if there is none among
// them. After the last line it returns false, and what waits then is left for rest.
func (r *reports) take() (batch []run, newest *position, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) == 0 && !r.ended {
		r.changed.Wait()
	}
	if r.ended {
		return nil, nil, false
	}
	batch, newest = r.waiting, r.newest
	r.waiting, r.newest = nil, nil
	r.changed.Broadcast()
	return batch, newest, true
}

// rest returns the checkpoint to write for the lines that no outcome was looked for, or nil if there is none.
func (r *reports) rest() *position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

// save writes checkpoints as they come, and hands their outcomes on, until the last line has been read.
func (r *reports) save(ctx context.Context, p Partition, told *answers) {
	dropped := 0
	for {
		batch, newest, ok := r.take()
		if !ok {
			return
		}
		if newest != nil {
			result, reason := judge(p.Checkpoint(ctx, newest.sequenceNumber, newest.offset))
			if result != durable {
				r.log.Warn("the worker's checkpoint was not stored", append(newest.fields(),
					zap.String("outcome", string(result)), zap.String("reason", reason))...)
			}
			for i := range batch {
				if batch[i].outcome == undecided {
					batch[i].outcome, batch[i].reason = result, reason
				}
			}
		}
		if n := told.add(batch); n > 0 {
			if dropped == 0 {
				r.log.Warn("the worker does not read descriptor 4, and the oldest answers are dropped")
			}
			dropped += n
		}
	}
}
