package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tenure-go/tenure/cmd/tenure/internal/supervise/shim"
	"github.com/tenure-go/tenure/etcdstore"
)

// patience is how long anything may take that is to happen at once, on a busy machine.
const patience = 30 * time.Second

// The test binary is also the shim, and a daemon that leaves its worker's process group.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "shim":
			os.Exit(shim.Main(os.Args[2:], os.Stderr))
		case "daemon":
			daemon()
		}
	}
	// Under the race detector a process takes a second to exit, unless told not to.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// daemon leaves its process group and stays until it gets SIGTERM.
func daemon() {
	if _, err := syscall.Setsid(); err != nil {
		panic(err)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println(os.Getpid())
	<-asked
	os.Exit(0)
}

var errLost = errors.New("the partition was lost")

// partition is one that a test owns.
type partition struct {
	ownership etcdstore.Ownership
	start     etcdstore.Checkpoint
	trust     time.Duration // from now on, always
	draining  chan struct{}
	drain     func()
	lose      context.CancelCauseFunc // ends the handler's context; there when it runs

	// onCheckpoint decides about a checkpoint before it is taken as written.
	onCheckpoint func(ctx context.Context, p position) error

	mu       sync.Mutex
	written  []string
	finished []string
	stored   etcdstore.Checkpoint
}

func newPartition(id string) *partition {
	p := &partition{trust: time.Hour, draining: make(chan struct{})}
	p.drain = sync.OnceFunc(func() { close(p.draining) })
	p.ownership = etcdstore.Ownership{
		Group: etcdstore.Group{
			FullyQualifiedNamespace: "local", EventHubName: "orders", ConsumerGroup: "all of them",
		},
		PartitionID: id, OwnerID: "me", ETag: "4711",
	}
	return p
}

func (p *partition) ID() string                     { return p.ownership.PartitionID }
func (p *partition) Ownership() etcdstore.Ownership { return p.ownership }
func (p *partition) Start() (etcdstore.Checkpoint, bool) {
	return p.start, p.start != etcdstore.Checkpoint{}
}
func (p *partition) Draining() <-chan struct{} { return p.draining }
func (p *partition) Remaining() time.Duration  { return p.trust }

func (p *partition) Checkpoint(ctx context.Context, sequence *int64, offset *string, _ ...clientv3.Op) error {
	at := position{sequence, offset}
	if p.onCheckpoint != nil {
		if err := p.onCheckpoint(ctx, at); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written = append(p.written, at.String())
	p.stored = etcdstore.Checkpoint{SequenceNumber: sequence, Offset: offset}
	return nil
}

func (p *partition) Finish(sequence *int64, offset *string, _ ...clientv3.Op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = append(p.finished, position{sequence, offset}.String())
	p.stored = etcdstore.Checkpoint{SequenceNumber: sequence, Offset: offset}
}

// checkpoints returns what was written, in order, the last one perhaps with the release.
func (p *partition) checkpoints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.written, p.finished)
}

// transcript takes in lines that are printed.
type transcript struct {
	mu      sync.Mutex
	changed chan struct{}
	text    bytes.Buffer
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{}, 1)} }

func (s *transcript) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := s.text.Write(lines)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return n, nil
}

func (s *transcript) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(strings.Lines(s.text.String()))
}

// await waits for a line.
func (s *transcript) await(t *testing.T, line string) {
	t.Helper()
	deadline := time.After(patience)
	for !slices.Contains(s.lines(), line+"\n") {
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("no line %q after %v in %q", line, patience, s.lines())
		}
	}
}

// scene is a worker that is handled.
type scene struct {
	*partition

	t        *testing.T
	printed  *transcript
	returned chan struct{}
	err      error
}

func supervisor(t *testing.T, output Output, path string, args ...string) *Supervisor {
	t.Helper()
	return &Supervisor{
		ShimPath: os.Args[0], ShimArgs: []string{"test", "shim"}, Path: path, Args: append([]string{path}, args...),
		Environment: os.Environ(), StopGrace: time.Second, Output: output,
		Log: zaptest.NewLogger(t, zaptest.WrapOptions(zap.AddCaller())),
	}
}

// script handles a partition with a shell script.
func script(t *testing.T, p *partition, text string, changes ...func(*Supervisor)) *scene {
	t.Helper()
	return handle(t, p, func(output Output) *Supervisor {
		s := supervisor(t, output, "/bin/sh", "-c", text)
		for _, change := range changes {
			change(s)
		}
		return s
	})
}

func handle(t *testing.T, p *partition, of func(Output) *Supervisor) *scene {
	t.Helper()
	s := &scene{partition: p, t: t, printed: newTranscript(), returned: make(chan struct{})}
	output := NewPrefixedOutput(s.printed, s.printed, []string{p.ID()}, false, func(err error) { panic(err) })
	ctx, lose := context.WithCancelCause(t.Context())
	p.lose = lose
	with := of(output)
	go func() {
		defer close(s.returned)
		s.err = with.Handle(ctx, p)
	}()
	t.Cleanup(func() {
		lose(errLost)
		<-s.returned
		output.Close()
	})
	return s
}

// says waits for a line of the worker.
func (s *scene) says(line string) {
	s.t.Helper()
	s.printed.await(s.t, s.ID()+" | "+line)
}

// result waits until the worker is done with.
func (s *scene) result() error {
	s.t.Helper()
	select {
	case <-s.returned:
	case <-time.After(patience):
		s.t.Fatalf("the handler has not returned after %v", patience)
	}
	return s.err
}
