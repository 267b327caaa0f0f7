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
	"sync"
	"testing"
	"time"
)

// answerTimeout bounds every wait for the server: its start with many events and each of its answers.
const answerTimeout = 30 * time.Second

// Options says what the server serves.
type Options struct {
	// Hub is the event hub's name. Defaults to "orders".
	Hub string
	// Partitions is the number of partitions; their ids are "0", "1" and so on. Defaults to 4.
	Partitions int
	// Events is the number of events that are there from the start, in turn over all partitions. Defaults to none.
	Events int
	// AppendRate is the number of events a second that are appended while the server runs, in turn over all partitions.
	// Defaults to none.
	AppendRate int
	// BodySize is the least size in bytes of a generated event's body. Defaults to no more than what Body needs.
	BodySize int
	// Port is the port to listen on. Defaults to any that is free.
	Port int
}

// Body is the JSON body of an event that the server generated. N is the event's sequence number.
type Body struct {
	Partition string `json:"partition"`
	N         int64  `json:"n"`
}

// Server is a running server. Its methods fail the test when the server does not do what they ask, so they belong in
// the test's own goroutine; the connection strings may be asked for anywhere.
type Server struct {
	tb   testing.TB
	hub  string
	port int

	mu      sync.Mutex // one command at a time
	stdin   io.WriteCloser
	answers <-chan []byte

	stop func()
}

// Start starts a server and stops it when the test ends. It installs the server's packages first if need be. Where
// there is no Node that can run it, it skips the test.
func Start(tb testing.TB, options Options) *Server {
	tb.Helper()
	if options.Hub == "" {
		options.Hub = "orders"
	}
	if options.Partitions == 0 {
		options.Partitions = 4
	}
	node := findNode(tb)
	dir := install(tb)

	running, kill := context.WithCancel(context.Background()) // not the test's, which ends before its clean-up
	cmd := exec.CommandContext(running, node, "server.js",
		"--hub", options.Hub,
		"--partitions", strconv.Itoa(options.Partitions),
		"--port", strconv.Itoa(options.Port),
		"--events", strconv.Itoa(options.Events),
		"--append-rate", strconv.Itoa(options.AppendRate),
		"--body-size", strconv.Itoa(options.BodySize))
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatalf("stand-in: %v", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatalf("stand-in: %v", err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("stand-in: %v", err)
	}

	answers, stopping, exited := make(chan []byte), make(chan struct{}), make(chan struct{})
	server := &Server{tb: tb, hub: options.Hub, stdin: stdin, answers: answers}
	go func() {
		defer close(exited)
		readLines(stopping, stdout, answers)
		_ = cmd.Wait() // what it has to say is on stderr
	}()
	server.stop = sync.OnceFunc(func() {
		defer kill()
		close(stopping)
		_ = stdin.Close()
		select {
		case <-exited:
		case <-time.After(answerTimeout):
			tb.Errorf("stand-in did not stop within %v", answerTimeout)
			kill()
			<-exited
		}
		if stderr.Len() > 0 {
			tb.Logf("stand-in, on stderr:\n%s", &stderr)
		}
	})
	tb.Cleanup(server.stop)

	var ready struct{ Port int }
	if err := server.read(&ready); err != nil {
		server.stop()
		tb.Fatalf("stand-in did not start: %v", err)
	}
	server.port = ready.Port
	return server
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
func (s *Server) Hub() string { return s.hub }

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return "localhost:" + strconv.Itoa(s.port) }

// ConnectionString is one of the namespace: it does not name the hub.
func (s *Server) ConnectionString() string {
	return "Endpoint=sb://" + s.Address() + ";SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true"
}

// HubConnectionString is one of the hub: it names the hub as its EntityPath.
func (s *Server) HubConnectionString() string {
	return s.ConnectionString() + ";EntityPath=" + s.hub
}

// Append appends generated events to a partition, or in turn to all when the partition is "".
func (s *Server) Append(partition string, count int) {
	s.tb.Helper()
	command := map[string]any{"command": "append", "count": count}
	if partition != "" {
		command["partition"] = partition
	}
	s.call(command, nil)
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
func (s *Server) Stats() []PartitionStats {
	s.tb.Helper()
	var stats struct{ Partitions []PartitionStats }
	s.call(map[string]any{"command": "stats"}, &stats)
	return stats.Partitions
}

// DetachLinks ends the link of every receiver with amqp:link:detach-forced, as the service does when it moves a
// partition, and returns how many there were. The SDK attaches again.
func (s *Server) DetachLinks() int {
	s.tb.Helper()
	var detached struct{ Links int }
	s.call(map[string]any{"command": "detach"}, &detached)
	return detached.Links
}

// DropConnections cuts every connection without a word, and returns how many there were.
func (s *Server) DropConnections() int {
	s.tb.Helper()
	var dropped struct{ Connections int }
	s.call(map[string]any{"command": "drop"}, &dropped)
	return dropped.Connections
}

// Stop stops the server and waits for it. It may be called again.
func (s *Server) Stop() { s.stop() }

func (s *Server) call(command map[string]any, answer any) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	line, err := json.Marshal(command)
	if err != nil {
		s.tb.Fatalf("stand-in, %s: %v", command["command"], err)
	}
	if _, err := s.stdin.Write(append(line, '\n')); err != nil {
		s.tb.Fatalf("stand-in, %s: %v", command["command"], err)
	}
	if err := s.read(answer); err != nil {
		s.tb.Fatalf("stand-in, %s: %v", command["command"], err)
	}
}

// read waits for the next answer and decodes it into answer, which may be nil.
func (s *Server) read(answer any) error {
	var line []byte
	select {
	case next, ok := <-s.answers:
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
