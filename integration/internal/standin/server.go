package standin

import (
	"errors"
	"testing"
)

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

// Server is a running server of a test. Its methods fail the test when the server does not do what they ask, so they
// belong in the test's own goroutine; the connection strings may be asked for anywhere.
type Server struct {
	tb      testing.TB
	process *Process
}

// Start starts a server and stops it when the test ends. It installs the server's packages first if need be. Where
// there is no Node that can run it, it skips the test.
func Start(tb testing.TB, options Options) *Server {
	tb.Helper()
	process, err := Launch(options)
	if errors.Is(err, ErrNoNode) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatalf("stand-in: %v", err)
	}
	server := &Server{tb: tb, process: process}
	tb.Cleanup(server.Stop)
	return server
}

// Hub is the event hub's name.
func (s *Server) Hub() string { return s.process.Hub() }

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return s.process.Address() }

// ConnectionString is one of the namespace: it does not name the hub.
func (s *Server) ConnectionString() string { return s.process.ConnectionString() }

// HubConnectionString is one of the hub: it names the hub as its EntityPath.
func (s *Server) HubConnectionString() string { return s.process.HubConnectionString() }

// Append is [Process.Append].
func (s *Server) Append(partition string, count int) {
	s.tb.Helper()
	s.check(s.process.Append(partition, count))
}

// Grow is [Process.Grow].
func (s *Server) Grow(partitions int) {
	s.tb.Helper()
	s.check(s.process.Grow(partitions))
}

// Receivers is [Process.Receivers].
func (s *Server) Receivers() []Receiver {
	s.tb.Helper()
	receivers, err := s.process.Receivers()
	s.check(err)
	return receivers
}

// Stats is [Process.Stats].
func (s *Server) Stats() []PartitionStats {
	s.tb.Helper()
	stats, err := s.process.Stats()
	s.check(err)
	return stats
}

// DetachLinks is [Process.DetachLinks].
func (s *Server) DetachLinks() int {
	s.tb.Helper()
	links, err := s.process.DetachLinks()
	s.check(err)
	return links
}

// DropConnections is [Process.DropConnections].
func (s *Server) DropConnections() int {
	s.tb.Helper()
	connections, err := s.process.DropConnections()
	s.check(err)
	return connections
}

// Stop stops the server and waits for it. It may be called again.
func (s *Server) Stop() {
	s.tb.Helper()
	err := s.process.Stop()
	if said := s.process.stderr.String(); said != "" {
		s.tb.Logf("stand-in, on stderr:\n%s", said)
	}
	s.check(err)
}

func (s *Server) check(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatalf("stand-in: %v", err)
	}
}
