package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

// The workers of the documentation print each line of a file once, whoever goes on with it.
func TestWorkersOfTheDocumentation(t *testing.T) {
	for file, interpreter := range map[string]string{
		"worker.sh": "sh", "worker.py": "python3", "worker.mjs": "node",
	} {
		t.Run(file, func(t *testing.T) {
			if _, err := exec.LookPath(interpreter); err != nil && os.Getenv("CI") == "" {
				t.Skipf("this machine has no %s, which continuous integration has", interpreter)
			}
			folder := t.TempDir()
			t.Setenv("EVENTS", folder)
			path, err := filepath.Abs(filepath.Join("..", "..", "..", "..", "docs", "workers", file))
			require.NoError(t, err)
			events, err := os.Create(filepath.Join(folder, "a"))
			require.NoError(t, err)
			defer events.Close() //nolint:errcheck // It was written without error.
			add := func(text string) {
				t.Helper()
				_, err := events.WriteString(text)
				require.NoError(t, err)
			}

			var start etcdstore.Checkpoint
			var want []string
			add("first\n\nün ïcode \\ \"quoted\"\nfourth\n")
			for round := range 3 {
				p := newPartition("a")
				p.start = start
				s := handle(t, p, func(output Output) *Supervisor { return supervisor(t, output, path) })
				add("in two pie")
				add(fmt.Sprintf("ces\nline of round %d\n", round))
				s.says(fmt.Sprintf("line of round %d", round))
				s.drain()
				require.NoError(t, s.result())
				want = append(want, s.printed.lines()...)
				start = s.last()
			}
			text, err := os.ReadFile(events.Name())
			require.NoError(t, err)
			var printed strings.Builder
			for _, line := range want {
				printed.WriteString(strings.TrimPrefix(line, "a | "))
			}
			require.Equal(t, string(text), printed.String())
		})
	}
}

// last is the checkpoint that is stored in the end.
func (p *partition) last() etcdstore.Checkpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stored
}
