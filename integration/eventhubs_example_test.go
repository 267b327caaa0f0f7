package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

// The example program, as two processes: they share the hub, and one goes on where the other was stopped.
func TestExampleProgram(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 4, AppendRate: 200})
	program := filepath.Join(t.TempDir(), "example")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program,
		"github.com/tenure-go/tenure/balancer/eventhubs/example")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	stopFirst := s.runExample(program, "first")
	s.awaitShares(map[string]int{"first": 4})
	stopSecond := s.runExample(program, "second")
	s.awaitShares(map[string]int{"first": 2, "second": 2})
	stopFirst()
	s.awaitShares(map[string]int{"second": 4})
	s.awaitAll()
	stopSecond()

	// The program begins at the latest event.
	s.mu.Lock()
	defer s.mu.Unlock()
	for partition, handled := range s.handled {
		for i, h := range handled {
			require.Equal(t, handled[0].sequence+int64(i), h.sequence, "partition %s", partition)
		}
	}
}

// runExample starts the program. What it prints counts as handled by name.
func (s *stage) runExample(program, name string) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(),
		"EVENTHUB_CONNECTION_STRING="+s.hub.HubConnectionString(), "ETCD_ENDPOINTS="+strings.Join(s.etcd, ","))
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			var partition, body string
			var sequence int64
			if _, err := fmt.Sscan(lines.Text(), &partition, &sequence, &body); err != nil {
				s.t.Errorf("%s printed %q: %v", name, lines.Text(), err)
				continue
			}
			s.begin(partition, handling{name, sequence}, false)
		}
	})
	stop = sync.OnceFunc(func() {
		// A cleanup signals a process that may have ended.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("%s ended with %v: %s", name, err, stderr)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// The page on the SDK's Processor shows the difference of two programs that exist.
func TestPageShowsThePrograms(t *testing.T) {
	t.Parallel()
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(path)))
		require.NoError(t, err)
		return string(text)
	}
	page := read("docs/from-the-processor.md")
	_, block, found := strings.Cut(page, "\n```diff\n")
	require.True(t, found)
	block, _, found = strings.Cut(block, "\n```\n")
	require.True(t, found)
	var before, after strings.Builder
	for line := range strings.Lines(block + "\n") {
		mark, text := line[:1], line[1:]
		if mark != "+" {
			before.WriteString(text)
		}
		if mark != "-" {
			after.WriteString(text)
		}
	}
	require.Equal(t, read("balancer/eventhubs/example/processor/main.go"), before.String())
	require.Equal(t, read("balancer/eventhubs/example/main.go"), after.String())
}
