package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// beater is a worker that counts, writes each number into a file of its partition's together with the time and its
// fence, and checkpoints it. It begins nothing once it has been asked to end.
const beater = `
trap 'draining=yes' TERM
n=${TENURE_WORKER_SEQUENCE_NUMBER:-0}
while [ -z "$draining" ]; do
	n=$((n + 1))
	echo "$TENURE_WORKER_FENCE $n $(date +%s%N)" >>"$BEATS/$TENURE_WORKER_PARTITION"
	echo "{\"sequence_number\":$n}" >&3
	sleep "$BEAT"
done`

// beat is one line of a beater.
type beat struct {
	fence, n int64
	at       time.Duration
}

// fleet is several processes of tenure run on one etcd.
type fleet struct {
	t         *testing.T
	endpoints string
	beats     string // a folder
	pause     string // between two beats, in seconds
	ids       []string
}

const runTTL = 2 * time.Second

func newFleet(t *testing.T, partitions int) *fleet {
	t.Helper()
	f := &fleet{
		t: t, endpoints: strings.Join(etcdtest.Start(t, etcdtest.Defaults).Endpoints(), ","),
		beats: t.TempDir(), pause: "0.03",
	}
	for i := range partitions {
		f.ids = append(f.ids, strconv.Itoa(i))
	}
	return f
}

// runner is one of them.
type runner struct {
	*exec.Cmd

	t      *testing.T
	pipe   io.Closer
	stdout *bufio.Reader
	stderr *syncBuffer
	ended  func() error
}

type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// run starts tenure run with those arguments after the usual ones.
func (f *fleet) run(args ...string) *runner {
	f.t.Helper()
	common := []string{"run", "--endpoints", f.endpoints, "--group", "orders/billing", "--ttl", runTTL.String(),
		"--partitions", strconv.Itoa(len(f.ids))}
	r := &runner{Cmd: exec.Command(os.Args[0], slices.Concat(common, args)...), t: f.t, stderr: &syncBuffer{}}
	r.Env = append(os.Environ(), "TENURE_TEST_AS_COMMAND=1", "BEATS="+f.beats, "BEAT="+f.pause, "GORACE=atexit_sleep_ms=0")
	r.Stderr = r.stderr
	stdout, err := r.StdoutPipe()
	require.NoError(f.t, err)
	r.pipe, r.stdout = stdout, bufio.NewReader(stdout)
	require.NoError(f.t, r.Start())
	r.ended = sync.OnceValue(r.Wait)
	f.t.Cleanup(func() {
		_ = r.Process.Signal(syscall.SIGCONT)
		_ = r.Process.Kill() // It may have ended.
		_ = r.ended()
		if f.t.Failed() {
			f.t.Logf("the log: %s", r.stderr)
		}
	})
	return r
}

func (r *runner) signal(signal syscall.Signal) {
	r.t.Helper()
	require.NoError(r.t, r.Process.Signal(signal))
}

// says waits for a line on standard output.
func (r *runner) says(want string) {
	r.t.Helper()
	for {
		line, err := r.stdout.ReadString('\n')
		require.NoError(r.t, err, "%q was not printed; the log: %s", want, r.stderr)
		if strings.TrimSuffix(line, "\n") == want {
			return
		}
	}
}

// logged waits until the log has a word so many times.
func (r *runner) logged(word string, times int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return strings.Count(r.stderr.String(), word) >= times }, time.Minute,
		10*time.Millisecond, "%q is logged %d times", word, times)
}

// read returns the beats of a partition, in the order in which they were written.
func (f *fleet) read(id string) (beats []beat) {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.beats, id))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		var b beat
		var at int64
		if _, err := fmt.Sscan(line, &b.fence, &b.n, &at); err != nil {
			f.t.Errorf("a beater wrote %q", line)
			continue
		}
		b.at = time.Duration(at)
		beats = append(beats, b)
	}
	return beats
}

// awaitBeats waits until every partition beats with other fences than those given, and returns the fences.
func (f *fleet) awaitBeats(not map[string]int64) map[string]int64 {
	f.t.Helper()
	fences := make(map[string]int64)
	require.Eventually(f.t, func() bool {
		for _, id := range f.ids {
			beats := f.read(id)
			if len(beats) == 0 || beats[len(beats)-1].fence == not[id] {
				return false
			}
			fences[id] = beats[len(beats)-1].fence
		}
		return true
	}, time.Minute, 20*time.Millisecond, "every partition has a worker")
	return fences
}

// requireOneAtATime checks that no worker of a partition did anything after a later one had begun.
func (f *fleet) requireOneAtATime() {
	f.t.Helper()
	for _, id := range f.ids {
		first, last := make(map[int64]time.Duration), make(map[int64]time.Duration)
		for _, b := range f.read(id) {
			if _, seen := first[b.fence]; !seen {
				first[b.fence] = b.at
			}
			last[b.fence] = b.at
		}
		for fence := range first {
			for later := range first {
				if fence < later {
					require.Less(f.t, last[fence], first[later], "partition %s: worker %d goes on beside %d", id, fence, later)
				}
			}
		}
	}
}

// requireCountsOn checks that every partition was counted without repeating anything or leaving anything out.
func (f *fleet) requireCountsOn() {
	f.t.Helper()
	for _, id := range f.ids {
		for i, b := range f.read(id) {
			require.Equal(f.t, int64(i+1), b.n, "partition %s counts on", id)
		}
	}
}

// A planned move repeats nothing and leaves nothing out, whichever process a worker is started by.
func TestWorkersMoveWithoutRepeating(t *testing.T) {
	f := newFleet(t, 4)
	first := f.run("--", "sh", "-c", beater)
	f.awaitBeats(nil)
	second := f.run("sh", "-c", beater)
	second.logged("worker started", 2)
	first.signal(syscall.SIGTERM)
	require.NoError(t, first.ended())
	second.logged("worker started", 4)
	second.signal(syscall.SIGINT)
	require.NoError(t, second.ended())
	f.requireOneAtATime()
	f.requireCountsOn()
}

// A supervisor that is stopped leaves no worker that runs longer than its lease, and its workers' places are taken.
func TestAStoppedSupervisorLeavesNoWorkerPastItsLease(t *testing.T) {
	f := newFleet(t, 3)
	first := f.run("--", "sh", "-c", beater)
	fences := f.awaitBeats(nil)
	first.signal(syscall.SIGSTOP)
	stopped := time.Duration(time.Now().UnixNano())
	second := f.run("--", "sh", "-c", beater)
	f.awaitBeats(fences)
	for _, id := range f.ids {
		for _, b := range f.read(id) {
			if b.fence == fences[id] {
				require.Less(t, b.at-stopped, runTTL, "the worker of partition %s has outlived its lease", id)
			}
		}
	}
	first.signal(syscall.SIGCONT)
	first.logged("killed when the lease could no longer be trusted", 1)
	first.signal(syscall.SIGTERM)
	require.NoError(t, first.ended())
	second.signal(syscall.SIGTERM)
	require.NoError(t, second.ended())
	f.requireOneAtATime()
}

// A supervisor that is killed takes its workers with it: they are asked to end at once, and one that does not is killed
// when its lease ends.
func TestAKilledSupervisorLeavesNoWorkerPastItsLease(t *testing.T) {
	f := newFleet(t, 2)
	const deaf = "trap '' TERM\n"
	first := f.run("--", "sh", "-c", deaf+strings.Replace(beater, "trap 'draining=yes' TERM", "", 1))
	fences := f.awaitBeats(nil)
	first.signal(syscall.SIGKILL)
	_ = first.ended() // It was killed.
	killed := time.Duration(time.Now().UnixNano())
	second := f.run("--", "sh", "-c", beater)
	f.awaitBeats(fences)
	for _, id := range f.ids {
		for _, b := range f.read(id) {
			if b.fence == fences[id] {
				require.Less(t, b.at-killed, runTTL, "the worker of partition %s has outlived its lease", id)
			}
		}
	}
	second.signal(syscall.SIGTERM)
	require.NoError(t, second.ended())
	f.requireOneAtATime()
}

// The second signal ends all at once, and a worker that does not drain with it.
func TestASecondSignalEndsTheWorkersToo(t *testing.T) {
	f := newFleet(t, 1)
	r := f.run("--", "sh", "-c", `trap '' TERM; echo $$; while :; do sleep 1; done`)
	line, err := r.stdout.ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "0 | ")))
	require.NoError(t, err)
	r.signal(syscall.SIGTERM)
	r.logged("draining", 1)
	<-time.After(2 * duplicate) // one that comes sooner is taken for the same
	r.signal(syscall.SIGTERM)
	require.Error(t, r.ended())
	require.Equal(t, exitBySignal+int(syscall.SIGTERM), r.ProcessState.ExitCode())
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, runTTL, 10*time.Millisecond)
}

// A worker that fails is started again, one that has finished is not, and one that ignores SIGTERM is killed.
func TestEndsOfWorkers(t *testing.T) {
	f := newFleet(t, 3)
	r := f.run("--drain-timeout", "1s", "--", "sh", "-c", `
		case $TENURE_WORKER_PARTITION in
		0) echo "starting from ${TENURE_WORKER_OFFSET-nothing}"; echo '{"offset":"here"}' >&3; exit 7 ;;
		1) echo finishing; exit 0 ;;
		2) trap '' TERM; echo deaf; while :; do sleep 1; done ;;
		esac`)
	r.says("0 | starting from nothing")
	r.says("0 | starting from here")
	r.logged("the worker failed: exit status 7", 2)
	r.logged("worker finished", 1)
	began := time.Now()
	r.signal(syscall.SIGTERM)
	rest, err := io.ReadAll(r.stdout)
	require.NoError(t, err)
	require.NoError(t, r.ended())
	require.GreaterOrEqual(t, time.Since(began), time.Second)
	require.Zero(t, bytes.Count(rest, []byte("finishing\n"))+bytes.Count(rest, []byte("deaf\n")), "started again")
	require.Contains(t, r.stderr.String(), "ended by signal 9 (killed)")
}

// With --output raw a worker's output is not touched, and the log says nothing of it.
func TestRawOutput(t *testing.T) {
	f := newFleet(t, 1)
	r := f.run("--output", "raw", "--", "printf", "no end of line")
	text := make([]byte, len("no end of line"))
	_, err := io.ReadFull(r.stdout, text)
	require.NoError(t, err)
	require.Equal(t, "no end of line", string(text))
	r.signal(syscall.SIGTERM)
	require.NoError(t, r.ended())
}

// Where the reader of the output has gone there is nobody to work for.
func TestOutputThatNobodyReads(t *testing.T) {
	f := newFleet(t, 1)
	r := f.run("--", "sh", "-c", "while :; do echo on; sleep 0.01; done")
	r.says("0 | on")
	require.NoError(t, r.pipe.Close())
	require.Error(t, r.ended())
	require.Equal(t, exitBrokenPipe, r.ProcessState.ExitCode(), r.stderr)
}

func TestWrongUseOfRun(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "plain")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	command(t, nil, "run").require(t, exitUsage, "--group is needed", "--partitions must be from 1 to 100000, not 0",
		"no program is given", "-- ./worker")
	command(t, nil, "run", "--group", "a", "--partitions", "1", "--partition-ids", "x", "--output", "pretty",
		"--grace", "1s", "--ttl", "1500ms", "--drain-timeout", "0s", "--", "true").
		require(t, exitUsage, `not "a"`, "exclude each other", `--output must be prefix or raw, not "pretty"`,
			"--grace needs an --owner-id", "--ttl must be whole seconds", "--drain-timeout must be above 0")
	command(t, nil, "run", "--group", "a/b", "--partitions", "1", "true").require(t, exitUsage, "no etcd endpoints")
	command(t, nil, "run", "--group", "a/b", "--partitions", "1", "--dev", file).
		require(t, exitNoExec, "cannot be executed", "chmod +x "+file)
	command(t, nil, "run", "--group", "a/b", "--partitions", "1", "--dev", "no-such-program").
		require(t, exitNotFound, "there is no program no-such-program", "PATH")
	command(t, map[string]string{"TENURE_ENDPOINTS": "127.0.0.1:1"}, "run", "--group", "a/b", "--partition-ids", "x,x,",
		"--dial-timeout", "300ms", "true").require(t, exitUsage, "--partition-ids")
}
