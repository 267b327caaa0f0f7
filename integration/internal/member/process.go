package member

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// Process is a member in a process of its own.
type Process struct {
	name   string
	cmd    *exec.Cmd
	orders io.WriteCloser
	exited chan struct{}

	mu  sync.Mutex
	log []string
}

// Start starts a binary as a member: one that calls [Run] first thing. observe is told what the member reports, in
// order and by one goroutine, until it has exited.
func Start(binary string, config Config, observe func(Report)) (*Process, error) {
	p := &Process{name: config.OwnerID, exited: make(chan struct{})}
	if err := p.start(binary, config, observe); err != nil {
		return nil, fmt.Errorf("start member %s: %w", p.name, err)
	}
	return p, nil
}

func (p *Process) start(binary string, config Config, observe func(Report)) error {
	encoded, err := json.Marshal(config)
	if err != nil {
		return err
	}
	reports, to, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(binary)
	p.cmd.Env = append(os.Environ(), configEnv+"="+string(encoded))
	if p.orders, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	p.cmd.ExtraFiles = []*os.File{to}
	p.cmd.SysProcAttr = attributes()
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	p.cmd.Stdout = p.cmd.Stderr
	if err := p.cmd.Start(); err != nil {
		return err
	}
	_ = to.Close() // the process has its own
	var reading sync.WaitGroup
	reading.Go(func() {
		eachLine(reports, func(line []byte) {
			var report Report
			if err := json.Unmarshal(line, &report); err != nil {
				panic(fmt.Sprintf("member %s reports %q: %v", p.name, line, err))
			}
			observe(report)
		})
	})
	reading.Go(func() { eachLine(stderr, p.logged) })
	go func() {
		defer close(p.exited)
		reading.Wait()
		_ = reports.Close()
		_ = p.cmd.Wait() // the status says it
	}()
	return nil
}

// eachLine hands on whole lines.
func eachLine(from io.Reader, handle func(line []byte)) {
	for lines := bufio.NewReader(from); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		handle(line[:len(line)-1])
	}
}

func (p *Process) logged(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, string(line))
}

// What a process can be told with [Process.Tell].
const (
	// Rest ends the stream: there are no more events.
	Rest = "rest"

	// TellVitals asks for a report of what the process holds.
	TellVitals = "vitals"

	// StepClock sets the clock forward by which the lease is trusted. A duration follows.
	StepClock = "step clock by "
)

// Tell gives the process an order. One that is paused obeys when it goes on, and one that has exited never does.
func (p *Process) Tell(order string) { _, _ = io.WriteString(p.orders, order+"\n") }

// Log returns at most that many of the last lines of what the process has logged.
func (p *Process) Log(lines int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log[max(0, len(p.log)-lines):], "\n")
}

// Signal sends a signal. It fails when the process has exited.
func (p *Process) Signal(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("signal member %s: %w", p.name, err)
	}
	return nil
}

// Kill ends the process at once, also one that is paused, and waits for it. Killing it again is harmless.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have exited
	<-p.exited
}

// Wait waits until the process has exited and all that it reported has been handed on, and returns its status.
func (p *Process) Wait() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// Exited is closed when the process has exited and all that it reported has been handed on.
func (p *Process) Exited() <-chan struct{} { return p.exited }
