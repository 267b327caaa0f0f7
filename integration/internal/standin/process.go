package standin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tenure-go/tenure/integration/internal/node"
)

// answerTimeout bounds every wait for the server: its start with many events and each of its answers.
const answerTimeout = 30 * time.Second

// Process is a running server outside of a test. It is safe for concurrent use.
type Process struct {
	hub  string
	port int

	mu      sync.Mutex // one command at a time
	stdin   io.WriteCloser
	answers <-chan []byte

	stop   func() error
	stderr *strings.Builder // complete once it has stopped
}

// Launch starts a server that runs until it is stopped or this process ends. It installs the server's packages first if
// need be. The error is [ErrNoNode] where there is no Node that can run it.
func Launch(options Options) (*Process, error) {
	if options.Hub == "" {
		options.Hub = "orders"
	}
	if options.Partitions == 0 {
		options.Partitions = 4
	}
	program, err := node.Find()
	if err != nil {
		return nil, err
	}
	dir, err := install()
	if err != nil {
		return nil, err
	}

	running, kill := context.WithCancel(context.Background())
	cmd := exec.CommandContext(running, program, "server.js",
		"--hub", options.Hub,
		"--partitions", strconv.Itoa(options.Partitions),
		"--port", strconv.Itoa(options.Port),
		"--events", strconv.Itoa(options.Events),
		"--append-rate", strconv.Itoa(options.AppendRate),
		"--body-size", strconv.Itoa(options.BodySize))
	cmd.Dir = dir
	cmd.SysProcAttr = ownGroup()
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		kill()
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		kill()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		kill()
		return nil, err
	}

	answers, stopping, exited := make(chan []byte), make(chan struct{}), make(chan struct{})
	process := &Process{hub: options.Hub, stdin: stdin, answers: answers, stderr: stderr}
	go func() {
		defer close(exited)
		readLines(stopping, stdout, answers)
		_ = cmd.Wait() // what it has to say is on stderr
	}()
	process.stop = sync.OnceValue(func() error {
		defer kill()
		close(stopping)
		_ = stdin.Close()
		select {
		case <-exited:
			return nil
		case <-time.After(answerTimeout):
			kill()
			<-exited
			return fmt.Errorf("it did not stop within %v", answerTimeout)
		}
	})

	var ready struct{ Port int }
	if err := process.read(&ready); err != nil {
		return nil, errors.Join(fmt.Errorf("it did not start: %w", err), process.stop(),
			errors.New(strings.TrimSpace(stderr.String())))
	}
	process.port = ready.Port
	return process, nil
}

// readLines hands on lines until the reader ends. What comes after the stop is read and dropped, so that the server
// never waits for a full pipe.
func readLines(stopping <-chan struct{}, reader io.Reader, lines chan<- []byte) {
	defer close(lines)
	scanner := bufio.NewScanner(reader)
	scanner.Buffer(nil, 1<<20) // the statistics of a thousand partitions
	for scanner.Scan() {
		select {
		case lines <- bytes.Clone(scanner.Bytes()):
		case <-stopping:
		}
	}
}

// Hub is the event hub's name.
func (p *Process) Hub() string { return p.hub }

// Address is the host and port that the server listens on.
func (p *Process) Address() string { return "localhost:" + strconv.Itoa(p.port) }

// ConnectionString is one of the namespace: it does not name the hub.
func (p *Process) ConnectionString() string {
	return "Endpoint=sb://" + p.Address() + ";SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true"
}

// HubConnectionString is one of the hub: it names the hub as its EntityPath.
func (p *Process) HubConnectionString() string {
	return p.ConnectionString() + ";EntityPath=" + p.hub
}

// Append appends generated events to a partition, or in turn to all when the partition is "".
func (p *Process) Append(partition string, count int) error {
	command := map[string]any{"command": "append", "count": count}
	if partition != "" {
		command["partition"] = partition
	}
	return p.call(command, nil)
}

// Grow adds partitions until the hub has so many.
func (p *Process) Grow(partitions int) error {
	return p.call(map[string]any{"command": "grow", "partitions": partitions}, nil)
}

// PartitionStats tells of one partition.
type PartitionStats struct {
	ID string `json:"id"`
	// LastSequenceNumber is -1 when the partition is empty.
	LastSequenceNumber int64 `json:"last_sequence_number"`
	// Sent counts events sent to receivers, each as often as it was sent.
	Sent int64 `json:"sent"`
	// Links counts the receivers that are attached now.
	Links int `json:"links"`
	// Steals counts the receivers that had to make way for one with an epoch.
	Steals int `json:"steals"`
}

// Stats tells of each partition, in the order of their ids.
func (p *Process) Stats() ([]PartitionStats, error) {
	var stats struct{ Partitions []PartitionStats }
	err := p.call(map[string]any{"command": "stats"}, &stats)
	return stats.Partitions, err
}

// Receiver is a receiver that is attached now.
type Receiver struct {
	Partition string `json:"partition"`
	Group     string `json:"group"`
	// Name is the client's instance id.
	Name string `json:"name"`
	// Epoch is the owner level, or nil if the receiver has none.
	Epoch *int64 `json:"epoch"`
}

// Receivers tells of each receiver, in the order in which they were attached.
func (p *Process) Receivers() ([]Receiver, error) {
	var attached struct{ Receivers []Receiver }
	err := p.call(map[string]any{"command": "receivers"}, &attached)
	return attached.Receivers, err
}

// DetachLinks ends the link of every receiver with amqp:link:detach-forced, as the service does when it moves a
// partition, and returns how many there were. The SDK attaches again.
func (p *Process) DetachLinks() (int, error) {
	var detached struct{ Links int }
	err := p.call(map[string]any{"command": "detach"}, &detached)
	return detached.Links, err
}

// DropConnections cuts every connection without a word, and returns how many there were.
func (p *Process) DropConnections() (int, error) {
	var dropped struct{ Connections int }
	err := p.call(map[string]any{"command": "drop"}, &dropped)
	return dropped.Connections, err
}

// Stop stops the server and waits for it. It may be called again.
func (p *Process) Stop() error { return p.stop() }

func (p *Process) call(command map[string]any, answer any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := json.Marshal(command)
	if err != nil {
		return fmt.Errorf("%s: %w", command["command"], err)
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w", command["command"], err)
	}
	if err := p.read(answer); err != nil {
		return fmt.Errorf("%s: %w", command["command"], err)
	}
	return nil
}

// read waits for the next answer and decodes it into answer, which may be nil.
func (p *Process) read(answer any) error {
	var line []byte
	select {
	case next, ok := <-p.answers:
		if !ok {
			return errors.New("the server has ended")
		}
		line = next
	case <-time.After(answerTimeout):
		return fmt.Errorf("no answer within %v", answerTimeout)
	}
	var failure struct{ Error string }
	if err := json.Unmarshal(line, &failure); err != nil {
		return fmt.Errorf("not an answer: %q: %w", line, err)
	}
	if failure.Error != "" {
		return errors.New(failure.Error)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(line, answer); err != nil {
		return fmt.Errorf("not the answer expected: %q: %w", line, err)
	}
	return nil
}
