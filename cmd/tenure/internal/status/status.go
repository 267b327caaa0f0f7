// Package status serves over HTTP how a process is: /metrics for Prometheus, /healthz and /readyz for whoever restarts
// it and sends it work. It is there from the process's start on, so that a probe gets an answer while etcd is waited
// for.
package status

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

const (
	// aliveWithin is how long what is served has to show that it is alive.
	aliveWithin = 5 * time.Second

	headerTimeout = 5 * time.Second
)

// Subject is what a server tells of.
type Subject struct {
	Metrics prometheus.Collector

	// Alive returns why only a restart helps. It may be nil: a process that answers is alive.
	Alive func(context.Context) error

	// Ready returns why the process does no work.
	Ready func() error
}

// Server serves the status of one process. A nil one serves nothing.
type Server struct {
	registry *prometheus.Registry
	server   *http.Server
	served   chan struct{}

	mu      sync.Mutex
	subject Subject
}

// Listen serves on an address, such as localhost:9090 or :9090, until the server is closed.
func Listen(ctx context.Context, address string, log *zap.Logger) (*Server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	s := &Server{
		registry: prometheus.NewRegistry(), served: make(chan struct{}),
		subject: Subject{Ready: func() error { return errors.New("the process is starting") }},
	}
	s.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{Registry: s.registry}))
	mux.HandleFunc("GET /healthz", s.alive)
	mux.HandleFunc("GET /readyz", s.ready)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, ErrorLog: zap.NewStdLog(log)}
	go func() {
		defer close(s.served)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics and probes are served no longer", zap.Error(err))
		}
	}()
	log.Info("serving /metrics, /healthz and /readyz", zap.Stringer("address", listener.Addr()))
	return s, nil
}

// Tell has the server tell of what there is from now on. It is called once.
func (s *Server) Tell(of Subject) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.subject = of
	s.mu.Unlock()
	s.registry.MustRegister(of.Metrics)
}

// Close ends the server at once.
func (s *Server) Close() {
	if s == nil {
		return
	}
	_ = s.server.Close() // Whoever is being answered asks again, or need not know.
	<-s.served
}

func (s *Server) current() Subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subject
}

func (s *Server) alive(response http.ResponseWriter, request *http.Request) {
	var err error
	if alive := s.current().Alive; alive != nil {
		ctx, cancel := context.WithTimeout(request.Context(), aliveWithin)
		defer cancel()
		err = alive(ctx)
	}
	answer(response, err)
}

func (s *Server) ready(response http.ResponseWriter, _ *http.Request) {
	answer(response, s.current().Ready())
}

func answer(response http.ResponseWriter, err error) {
	if err != nil {
		http.Error(response, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(response, "ok") // Whoever has gone need not know.
}
