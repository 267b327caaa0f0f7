//go:build unix

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/golden"
)

// terminal is a command that runs on one.
type terminal struct {
	t      *testing.T
	pty    *os.File
	screen *vt.SafeEmulator
	ended  chan error
}

// onTerminal runs a command on a terminal of 80 columns and 24 lines.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	command := exec.Command(os.Args[0], args...)
	command.Env = append(os.Environ(), "TENURE_TEST_AS_COMMAND=1", "TERM=xterm-256color", "GORACE=atexit_sleep_ms=0")
	file, err := pty.StartWithSize(command, &pty.Winsize{Rows: 24, Cols: 80})
	require.NoError(t, err)
	x := &terminal{t: t, pty: file, screen: vt.NewSafeEmulator(80, 24), ended: make(chan error, 1)}
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(x.screen, file) }) // Reading fails when the command has ended.
	var closed atomic.Bool
	copying.Go(func() { // what a terminal answers when it is asked
		for answer := make([]byte, 256); !closed.Load(); {
			n, _ := x.screen.Read(answer)
			_, _ = file.Write(answer[:n])
		}
	})
	go func() { x.ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Kill() // It may have ended.
		closed.Store(true)
		_, _ = x.screen.Write([]byte("\x1b[c")) // Who waits for answers gets one. Closing it would be a data race of its own.
		_ = file.Close()
		copying.Wait()
	})
	return x
}

// shows waits until all of the words stand on the screen.
func (x *terminal) shows(words ...string) {
	x.t.Helper()
	require.Eventually(x.t, func() bool {
		shown := x.text()
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(shown, word) })
	}, time.Minute, 20*time.Millisecond, "%q", words)
}

// text is what stands on the screen.
func (x *terminal) text() string { return ansi.Strip(x.screen.Render()) }

func (x *terminal) press(keys string) {
	x.t.Helper()
	_, err := x.pty.WriteString(keys)
	require.NoError(x.t, err)
}

// A group is watched on a real terminal, by keys, and while it changes.
func TestTopOnATerminal(t *testing.T) {
	s := see(t)
	x := onTerminal(t, "top", "orders/billing", "--endpoints", s.endpoints)
	x.shows("tenure top", "local/orders/billing", "7 partitions, 4 owned", "PARTITION*", "pinned to pod-2", "q quit")
	s.put("/tenure/v1/local/orders/billing/ownership/3", `{"owner_id":"pod-99","reason":"left by pod-3"}`)
	x.shows("nobody -> pod-99: left by pod-3")
	x.press("\t")
	x.shows("MEMBER*", "3ad0f4f2-the-sdks", "━━━")
	x.press("/pod-2\r")
	x.shows("only with pod-2")
	x.press("\r")
	x.shows("only owned by pod-2", "PARTITION*")
	x.press("j\r")
	x.shows("its moves, newest first", "from pod-7: to balance")
	x.press("\x1b")
	x.shows("PARTITION*")
	x.screen.Resize(120, 40)
	require.NoError(t, pty.Setsize(x.pty, &pty.Winsize{Rows: 40, Cols: 120}))
	require.Eventually(t, func() bool {
		lines := strings.Split(x.text(), "\n")
		return strings.Contains(lines[len(lines)-1], "q quit") && len(lines) == 40
	}, time.Minute, 20*time.Millisecond, "it fills the larger screen")
	x.press("q")
	require.NoError(t, <-x.ended)
}

// A signal ends it as the key does, and the only group need not be named.
func TestTopEndsWithASignal(t *testing.T) {
	f := newFleet(t, 2)
	r := f.run("--owner-id", "a", "--", "sh", "-c", beater)
	f.awaitBeats(nil)
	x := onTerminal(t, "top", "--endpoints", f.endpoints)
	x.shows("2 partitions, 2 owned", "1 member")
	r.signal(syscall.SIGINT)
	require.NoError(t, r.ended())
	x.shows("member a is gone")
	x.press("\x03")
	require.NoError(t, <-x.ended)
}

// The stream tells how far behind partitions are: how many lines of a file come after its checkpoint.
func TestLagIsShown(t *testing.T) {
	s := see(t)
	folder := t.TempDir()
	for _, id := range []string{"0", "1", "10", "11", "2", "3", "4"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, id), []byte(strings.Repeat("line\n", 50)+"half"), 0o600))
	}
	r := s.command("partition", "list", "orders/billing", "--source", "files:"+folder)
	r.require(t, exitOK)
	golden.Require(t, "partition-list-lag.txt", r.stdout)
	x := onTerminal(t, "top", "orders/billing", "--endpoints", s.endpoints, "--source", "files:"+folder)
	x.shows("LAG", "42")
	s.command("partition", "list", "orders/billing", "--source", "files:/nowhere").
		require(t, exitUsage, "--source files:/nowhere")
	s.command("partition", "list", "orders/billing", "--source", "kafka").
		require(t, exitUsage, `--source must be eventhubs or files:DIR, not "kafka"`)
}

func TestTopNeedsATerminal(t *testing.T) {
	command(t, nil, "top").require(t, exitUsage, "draws on a terminal", "--watch")
}
