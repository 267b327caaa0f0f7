// Package fleet runs tenure consume as real processes and takes in what they print and log, for tests.
//
// A process ends with the one that started it: on Linux the kernel sees to that, elsewhere it finds its standard output
// closed.
package fleet

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// Event is an event that was printed.
type Event struct {
	Partition      string `json:"partition"`
	SequenceNumber int64  `json:"sequence_number"`
	Body           string `json:"body"`
}

// Entry is a line of the log. A line of standard error that is no log entry, or of standard output that is no event,
// comes with nothing but Line.
type Entry struct {
	Level     string `json:"level"`
	Logger    string `json:"logger"`
	Message   string `json:"msg"`
	Partition string `json:"partition"`
	Reason    string `json:"reason"`

	// Start says where a partition begins. The SDK's Processor begins at a checkpoint, whose sequence number is in
	// StartSequenceNumber, or at what --from says. Where a member begins at a checkpoint it is "", and SequenceNumber is
	// the checkpoint's.
	Start               string `json:"start"`
	StartSequenceNumber int64  `json:"start_sequence_number"`

	// PreviousOwner is whom a partition was claimed from, "" if it was free.
	PreviousOwner string `json:"previous_owner"`

	// SequenceNumber is a checkpoint's.
	SequenceNumber int64 `json:"sequence_number"`

	Line string `json:"-"`
}

// Observer is told what consumers print and log: of each stream in its order, of the two streams and of several
// consumers at once.
type Observer interface {
	Printed(consumer string, event Event)
	Logged(consumer string, entry Entry)
	Exited(consumer string, status int)
}

// Consumer is one process of tenure consume.
type Consumer struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts "tenure consume" with JSON logs. The name is its owner id too. The connection string names an event hub,
// or is empty where the arguments name another source.
func Start(name, binary, connectionString string, arguments []string, observer Observer) (*Consumer, error) {
	cmd := exec.Command(binary, append([]string{"consume", "--owner-id", name, "--log-format", "json"}, arguments...)...)
	cmd.Env = os.Environ()
	if connectionString != "" {
		cmd.Env = append(cmd.Env, "EVENTHUB_CONNECTION_STRING="+connectionString)
	}
	cmd.SysProcAttr = attributes()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &Consumer{name: name, cmd: cmd, exited: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() {
		eachLine(stdout, func(line []byte) {
			var event Event
			if err := json.Unmarshal(line, &event); err != nil {
				observer.Logged(name, Entry{Line: string(line)})
				return
			}
			observer.Printed(name, event)
		})
	})
	reading.Go(func() {
		eachLine(stderr, func(line []byte) {
			var entry Entry
			if err := json.Unmarshal(line, &entry); err != nil {
				entry = Entry{}
			}
			entry.Line = string(line)
			observer.Logged(name, entry)
		})
	})
	go func() {
		defer close(c.exited)
		reading.Wait()
		_ = cmd.Wait() // the status says it
		observer.Exited(name, cmd.ProcessState.ExitCode())
	}()
	return c, nil
}

// eachLine hands on whole lines: what a killed process had no time to finish was not printed.
func eachLine(reader io.Reader, handle func(line []byte)) {
	lines := bufio.NewReader(reader)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		handle(line[:len(line)-1])
	}
}

// Name is the consumer's name.
func (c *Consumer) Name() string { return c.name }

// Signal sends a signal. It fails when the process has exited.
func (c *Consumer) Signal(signal os.Signal) error {
	if err := c.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("signal %s: %w", c.name, err)
	}
	return nil
}

// Kill ends the process at once, also one that is stopped, and waits for it. Killing it again is harmless.
func (c *Consumer) Kill() {
	_ = c.cmd.Process.Kill() // it may have exited
	<-c.exited
}

// Wait waits until the process has exited and all that it wrote has been handed on.
func (c *Consumer) Wait() { <-c.exited }
