package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Output is where the workers' output goes.
type Output interface {
	// open returns what are to be a worker's descriptors 1 and 2. started is called when the worker has them, or could
	// not be started.
	open(partition string) (stdout, stderr *os.File, started func(), err error)
}

// RawOutput hands its files to the workers as they are.
type RawOutput struct{ Stdout, Stderr *os.File }

func (o RawOutput) open(string) (stdout, stderr *os.File, started func(), err error) {
	return o.Stdout, o.Stderr, func() {}, nil
}

const (
	// longestPiece is the most that is printed at once: what is longer gets a line of its own each.
	longestPiece = 64 << 10

	// closeLimit is how long the last output may take. It is longer only if its reader is stuck, or if a process that
	// left its worker's process group still has it.
	closeLimit = time.Second
)

// PrefixedOutput prints each line of a worker after the name of its partition. A process that its worker leaves behind
// prints until [PrefixedOutput.Close].
type PrefixedOutput struct {
	stdout, stderr *sink
	partitions     []string
	colour         bool

	copying sync.WaitGroup
	mu      sync.Mutex
	sources map[*os.File]bool
}

// NewPrefixedOutput makes an output for the workers of these partitions, each of which has a colour of its own if
// there are to be colours. failed is called with the error once nothing can be printed any more, and all further output
// is dropped.
func NewPrefixedOutput(
	stdout, stderr io.Writer, partitions []string, colour bool, failed func(error),
) *PrefixedOutput {
	return &PrefixedOutput{
		stdout: &sink{w: stdout, failed: failed}, stderr: &sink{w: stderr, failed: failed},
		partitions: partitions, colour: colour, sources: make(map[*os.File]bool),
	}
}

func (o *PrefixedOutput) open(partition string) (stdout, stderr *os.File, started func(), err error) {
	prefix := o.prefix(partition)
	stdout, err = o.copy(o.stdout, prefix)
	if err != nil {
		return nil, nil, nil, err
	}
	stderr, err = o.copy(o.stderr, prefix)
	if err != nil {
		return nil, nil, nil, errors.Join(err, stdout.Close())
	}
	return stdout, stderr, func() {
		_ = stdout.Close() // The worker has copies, and nothing was written.
		_ = stderr.Close()
	}, nil
}

// prefix returns the name of a partition, as wide as the widest, with a bar.
func (o *PrefixedOutput) prefix(partition string) string {
	const firstColour, colours = 31, 6 // red, green, yellow, blue, magenta, cyan
	width := 0
	for _, other := range o.partitions {
		width = max(width, utf8.RuneCountInString(other))
	}
	prefix := fmt.Sprintf("%-*s | ", width, partition)
	if o.colour {
		colour := firstColour + max(slices.Index(o.partitions, partition), 0)%colours
		prefix = fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, prefix)
	}
	return prefix
}

// copy returns a pipe whose lines are printed until all its writers have gone.
func (o *PrefixedOutput) copy(to *sink, prefix string) (*os.File, error) {
	from, pipe, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	o.mu.Lock()
	o.sources[from] = true
	o.mu.Unlock()
	o.copying.Go(func() {
		copyLines(from, to, prefix)
		o.mu.Lock()
		delete(o.sources, from)
		o.mu.Unlock()
		_ = from.Close() // It was only read.
	})
	return pipe, nil
}

// copyLines prints line by line. The last one may lack its end.
func copyLines(from io.Reader, to *sink, prefix string) {
	lines := bufio.NewReaderSize(from, longestPiece)
	var piece []byte
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			piece = append(append(piece[:0], prefix...), line...)
			if line[len(line)-1] != '\n' {
				piece = append(piece, '\n')
			}
			to.write(piece)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// Close waits for what the workers have written to be printed, but not for long.
func (o *PrefixedOutput) Close() {
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		o.copying.Wait()
	}()
	select {
	case <-copied:
		return
	case <-time.After(closeLimit):
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for source := range o.sources {
		_ = source.Close() // It was only read.
	}
}

// sink is a stream that several print to.
type sink struct {
	mu     sync.Mutex
	w      io.Writer
	failed func(error)
	broken bool
}

// write prints whole lines. After the first failure nothing is printed any more.
func (s *sink) write(lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return
	}
	if _, err := s.w.Write(lines); err != nil {
		s.broken = true
		s.failed(err)
	}
}
