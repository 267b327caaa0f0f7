package shim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// releaseLimit is how long a shim may take to go when it was told to. Longer means that it has been stopped.
const releaseLimit = 2 * time.Second

// orderLimit is how long an order may wait for room in the pipe to a shim that has been stopped for hours.
const orderLimit = 100 * time.Millisecond

// argsBefore is how many arguments of the shim come before the program's own: a label and the program's path.
const argsBefore = 2

// Command says what to run, and how.
type Command struct {
	// ShimPath and ShimArgs are the program that calls [Main] and its arguments, its own name first.
	ShimPath string
	ShimArgs []string

	// Label is shown by ps in the shim's arguments, for people.
	Label string

	// Path is the program's file, and Args are its arguments, its own name first.
	Path string
	Args []string

	// Env is the environment of the program.
	Env []string

	// Stdout, Stderr, Three and Four become the program's descriptors 1 to 4. Its standard input is empty.
	Stdout, Stderr, Three, Four *os.File
}

// Process is a program that runs under a shim.
type Process struct {
	shim   *exec.Cmd
	orders *os.File

	started chan struct{}
	ended   chan struct{}
	gone    chan struct{}

	mu      sync.Mutex
	pid     int // the program's, 0 when there is none (yet, or any more)
	outcome Outcome
}

// Outcome is how a program ended.
type Outcome struct {
	// Status is the program's wait status. It means nothing if there is an Err.
	Status syscall.WaitStatus

	// Expired says that the shim has killed the program because its deadline had come.
	Expired bool

	// Err says why there is no status: the program could not be started, or its shim was killed.
	Err error
}

// Start starts a program, which may run until the deadline, a reading of [Now]. That it could not be started is seen
// in its outcome, unless the shim itself could not be.
func Start(c Command, deadline time.Duration) (*Process, error) {
	ordersOut, orders, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	reports, reportsIn, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), ordersOut.Close(), orders.Close())
	}
	p := &Process{
		orders: orders, started: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{}),
	}
	p.shim = &exec.Cmd{
		Path: c.ShimPath, Args: slices.Concat(c.ShimArgs, []string{c.Label, c.Path}, c.Args),
		Env: c.Env, Stdout: c.Stdout, Stderr: c.Stderr,
		ExtraFiles:  []*os.File{c.Three, c.Four, ordersOut, reportsIn},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true}, // What a terminal sends to the supervisor is not for the shim.
	}
	p.Trust(deadline)
	err = p.shim.Start()
	err = errors.Join(err, ordersOut.Close(), reportsIn.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the shim: %w", err), orders.Close(), reports.Close())
	}
	go p.follow(reports)
	return p, nil
}

// Trust sets the deadline. It takes no time.
func (p *Process) Trust(deadline time.Duration) {
	p.order(wordTrust, strconv.FormatInt(deadline.Nanoseconds(), 10))
}

// Terminate sends SIGTERM to the program, or, when that has ended, to what is left of its process group.
func (p *Process) Terminate() { p.order(wordTerm, "") }

// Started is closed when the program has started. It may never be.
func (p *Process) Started() <-chan struct{} { return p.started }

// Ended is closed when the program has ended. What is left of its process group is there until [Process.Release].
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Release kills what is left of the program's process group, the program first of all, and has the shim go.
func (p *Process) Release() {
	p.kill()
	p.order(wordRelease, "")
	time.AfterFunc(releaseLimit, func() {
		select {
		case <-p.gone:
		default:
			_ = p.shim.Process.Kill() // It may have gone just now.
		}
	})
}

// Gone is closed when nothing is left of the program's process group, and [Process.Outcome] is known.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Outcome is how the program ended.
func (p *Process) Outcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome
}

// Pid is the program's process id, or 0 when there is none yet, or any more.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// order tells the shim. One that has gone is noticed by the end of its reports.
func (p *Process) order(word, value string) {
	_ = p.orders.SetWriteDeadline(time.Now().Add(orderLimit)) // Pipes can.
	_ = message{word, value}.send(p.orders)
}

func (p *Process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 {
		_ = unix.Kill(-p.pid, unix.SIGKILL) // The shim reaps it last, so that the id is its own.
	}
}

// follow takes in what the shim reports, until it has gone.
func (p *Process) follow(reports io.ReadCloser) {
	var ended sync.Once
	end := func() { ended.Do(func() { close(p.ended) }) }
	settled := false
	receive(reports, func(m message) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch m.word {
		case wordStarted:
			if pid, err := m.number(); err == nil {
				p.pid = int(pid)
				close(p.started)
			}
		case wordFailed:
			p.outcome.Err, settled = errors.New(m.value), true
		case wordExpired:
			p.outcome.Expired = true
		case wordEnded:
			end()
		case wordStatus:
			if status, err := m.number(); err == nil {
				p.outcome.Status, settled = syscall.WaitStatus(status), true //nolint:gosec // The shim wrote one.
			}
			p.pid = 0
		}
	})
	p.kill() // Nothing to do, unless the shim was killed.
	_ = reports.Close()
	_ = p.shim.Wait() // The reports tell.
	_ = p.orders.Close()
	p.mu.Lock()
	p.pid = 0
	if !settled {
		p.outcome.Err = fmt.Errorf("its shim ended before it: %s", p.shim.ProcessState)
	}
	p.mu.Unlock()
	end()
	close(p.gone)
}
