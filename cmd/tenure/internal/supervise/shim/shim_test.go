package shim

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const (
	// patience is how long anything may take that is to happen at once, on a busy machine.
	patience = 30 * time.Second

	// soon is a deadline that is waited for, long one that never comes.
	soon = 700 * time.Millisecond
	long = time.Hour
)

// The test binary is also the shim, and a supervisor that can be stopped and killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "shim":
			os.Exit(Main(os.Args[2:], os.Stderr))
		case "supervisor":
			supervisor(os.Args[2:])
		}
	}
	// Under the race detector a process takes a second to exit, unless told not to.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// program is a shell script under a shim. It says things on descriptor 3, whose end shows that the script and its
// children have gone, and is told things on descriptor 4.
type program struct {
	*Process

	t     *testing.T
	said  *bufio.Reader
	three *os.File
	tell  *os.File
}

func command(script string, three, four *os.File) Command {
	return Command{
		ShimPath: os.Args[0], ShimArgs: []string{"test", "shim"}, Label: "test",
		Path: "/bin/sh", Args: []string{"sh", "-c", script},
		Env: os.Environ(), Stdout: os.Stderr, Stderr: os.Stderr, Three: three, Four: four,
	}
}

func pipes(t *testing.T) (said, three, four, tell *os.File) {
	t.Helper()
	said, three, err := os.Pipe()
	require.NoError(t, err)
	four, tell, err = os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = said.Close(); _ = tell.Close() })
	require.NoError(t, said.SetReadDeadline(time.Now().Add(patience)))
	return said, three, four, tell
}

func start(t *testing.T, script string, deadline time.Duration) *program {
	t.Helper()
	return startCommand(t, deadline, func(three, four *os.File) Command { return command(script, three, four) })
}

func startCommand(t *testing.T, deadline time.Duration, of func(three, four *os.File) Command) *program {
	t.Helper()
	said, three, four, tell := pipes(t)
	process, err := Start(of(three, four), deadline)
	require.NoError(t, err)
	t.Cleanup(func() { process.Release(); await(t, process.Gone(), "gone") })
	require.NoError(t, three.Close())
	require.NoError(t, four.Close())
	return &program{Process: process, t: t, said: bufio.NewReader(said), three: said, tell: tell}
}

func await(t *testing.T, happened <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(patience):
		t.Fatalf("not %s after %v", what, patience)
	}
}

// says waits for a line.
func (p *program) says(want string) {
	p.t.Helper()
	line, err := p.said.ReadString('\n')
	require.NoError(p.t, err)
	require.Equal(p.t, want, strings.TrimSpace(line))
}

// silent waits until nobody is left who could say something, and returns when that was.
func (p *program) silent() time.Duration {
	p.t.Helper()
	rest, err := io.ReadAll(p.said)
	require.NoError(p.t, err)
	require.Empty(p.t, string(rest))
	return Now()
}

// outcome waits for the end.
func (p *program) result() Outcome {
	p.t.Helper()
	await(p.t, p.Ended(), "ended")
	p.Release()
	await(p.t, p.Gone(), "gone")
	return p.Outcome()
}

func TestStatusIsThatOfTheProgram(t *testing.T) {
	for _, code := range []int{0, 1, 7, 126, 127, 255} {
		outcome := start(t, fmt.Sprintf("exit %d", code), Now()+long).result()
		require.NoError(t, outcome.Err)
		require.False(t, outcome.Expired)
		require.True(t, outcome.Status.Exited())
		require.Equal(t, code, outcome.Status.ExitStatus())
	}
	for _, signal := range []syscall.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGUSR1, unix.SIGABRT} {
		outcome := start(t, fmt.Sprintf("kill -%d $$", signal), Now()+long).result()
		require.NoError(t, outcome.Err)
		require.True(t, outcome.Status.Signaled())
		require.Equal(t, signal, outcome.Status.Signal())
	}
}

func TestProgramsThatCannotBeStarted(t *testing.T) {
	p := startCommand(t, Now()+long, func(three, four *os.File) Command {
		c := command("", three, four)
		c.Path = "/nowhere"
		return c
	})
	require.ErrorContains(t, p.result().Err, "no such file")
	p = start(t, "echo started >&3", Now())
	require.ErrorContains(t, p.result().Err, "has passed")
	p.silent()
}

func TestProgramsSurroundings(t *testing.T) {
	p := start(t, `read nothing || echo empty >&3
		for i in 5 6; do [ ! -e /dev/fd/$i ] || echo "descriptor $i is open" >&3; done
		read line <&4; echo "$line" >&3`, Now()+long)
	p.says("empty")
	_, err := p.tell.WriteString("hello\n")
	require.NoError(t, err)
	p.says("hello")
	p.silent()
	require.NoError(t, p.result().Err)
}

func TestProgramLeadsAProcessGroup(t *testing.T) {
	p := start(t, "echo $$ >&3; read line <&4", Now()+long)
	line, err := p.said.ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	await(t, p.Started(), "started") // the program may be heard before its shim
	require.Equal(t, pid, p.Pid())
	for _, led := range []int{pid, p.shim.Process.Pid} {
		group, err := unix.Getpgid(led)
		require.NoError(t, err)
		require.Equal(t, led, group)
	}
}

func TestDeadlineEndsTheProgramAndItsChildren(t *testing.T) {
	deadline := Now() + soon
	p := start(t, "trap '' TERM; sleep 1000 & echo ready >&3; wait", deadline)
	p.says("ready")
	at := p.silent()
	require.GreaterOrEqual(t, at, deadline)
	t.Logf("%v after the deadline", at-deadline)
	outcome := p.result()
	require.NoError(t, outcome.Err)
	require.True(t, outcome.Expired)
	require.Equal(t, unix.SIGKILL, outcome.Status.Signal())
}

func TestDeadlineMoves(t *testing.T) {
	p := start(t, "sleep 1000 & wait", Now()+long)
	deadline := Now() + soon
	p.Trust(deadline)
	require.GreaterOrEqual(t, p.silent(), deadline)
	p = start(t, "sleep 1000 & wait", Now()+soon)
	deadline = Now() + 2*soon
	p.Trust(deadline)
	require.GreaterOrEqual(t, p.silent(), deadline)
	p = start(t, "sleep 1000 & wait", Now()+long)
	p.Trust(Now())
	p.silent()
}

func TestTerminateReachesTheProgramFirstAndItsChildrenAfterIt(t *testing.T) {
	p := start(t, `sh -c 'trap "echo child; exit" TERM; echo born; while :; do sleep 1 >&- 3>&- & wait $!; done' >&3 &
		trap 'echo asked >&3; exit 3' TERM; echo ready >&3; while :; do wait; done`, Now()+long)
	p.says2("born", "ready")
	p.Terminate()
	p.says("asked")
	await(t, p.Ended(), "ended")
	p.Terminate()
	p.says("child")
	p.silent()
	require.Equal(t, 3, p.result().Status.ExitStatus())
}

// says2 waits for two lines in any order.
func (p *program) says2(one, other string) {
	p.t.Helper()
	first, err := p.said.ReadString('\n')
	require.NoError(p.t, err)
	second, err := p.said.ReadString('\n')
	require.NoError(p.t, err)
	require.ElementsMatch(p.t, []string{one, other}, []string{strings.TrimSpace(first), strings.TrimSpace(second)})
}

func TestReleaseEndsWhatIsLeft(t *testing.T) {
	p := start(t, "trap '' TERM; sleep 1000 & exit 5", Now()+long)
	await(t, p.Ended(), "ended")
	p.Release()
	p.silent()
	require.Equal(t, 5, p.result().Status.ExitStatus())
	p = start(t, "trap '' TERM; echo ready >&3; while :; do sleep 1000; done", Now()+long)
	p.says("ready")
	p.Release()
	p.silent()
	require.Equal(t, unix.SIGKILL, p.result().Status.Signal())
}

func TestShimThatIsKilledTakesTheProgramWithIt(t *testing.T) {
	p := start(t, "trap '' TERM; sleep 1000 & echo ready >&3; wait", Now()+long)
	p.says("ready")
	await(t, p.Started(), "started")
	require.NoError(t, p.shim.Process.Kill())
	p.silent()
	require.ErrorContains(t, p.result().Err, "its shim ended before it: signal: killed")
}

func TestShimThatIsStoppedHoldsNothingUp(t *testing.T) {
	p := start(t, "trap '' TERM; sleep 1000 & echo ready >&3; wait", Now()+long)
	p.says("ready")
	await(t, p.Started(), "started")
	require.NoError(t, p.shim.Process.Signal(unix.SIGSTOP))
	p.Release()
	p.silent()
	require.Error(t, p.result().Err)
}

func TestShimPassesOverSignals(t *testing.T) {
	p := start(t, "echo ready >&3; read line <&4; exit 4", Now()+long)
	p.says("ready")
	for _, signal := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGUSR1} {
		require.NoError(t, p.shim.Process.Signal(signal))
	}
	_, err := p.tell.WriteString("go on\n")
	require.NoError(t, err)
	require.Equal(t, 4, p.result().Status.ExitStatus())
}

func TestShimIsOfNoUseByHand(t *testing.T) {
	out, err := exec.Command(os.Args[0], "shim", "x", "/bin/true", "true").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "started by others")
}

// supervisor runs a script until the deadline, after SIGTERM if asked, and waits to be stopped or killed.
func supervisor(args []string) {
	deadline, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		panic(err)
	}
	three, four := os.NewFile(3, "three"), os.NewFile(4, "four")
	p, err := Start(command(args[2], three, four), time.Duration(deadline))
	if err != nil {
		panic(err)
	}
	_ = three.Close()
	_ = four.Close()
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		panic(err)
	}
	if args[1] == "asked" {
		p.Terminate()
	}
	select {}
}

// supervise starts a supervisor of a script that says "ready".
func supervise(t *testing.T, deadline time.Duration, asked, script string) (*exec.Cmd, *program) {
	t.Helper()
	said, three, four, tell := pipes(t)
	cmd := exec.Command(os.Args[0], "supervisor", strconv.FormatInt(int64(deadline), 10), asked, script)
	cmd.ExtraFiles = []*os.File{three, four}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.NoError(t, three.Close())
	require.NoError(t, four.Close())
	p := &program{t: t, said: bufio.NewReader(said), three: said, tell: tell}
	p.says("ready")
	_, err = stdin.Write([]byte("\n"))
	require.NoError(t, err)
	return cmd, p
}

const stubborn = `trap 'echo asked >&3' TERM; sleep 1000 & echo ready >&3; while :; do wait; done`

func TestSupervisorThatIsStoppedLeavesNothingPastTheDeadline(t *testing.T) {
	deadline := Now() + 2*soon
	cmd, p := supervise(t, deadline, "", stubborn)
	require.NoError(t, cmd.Process.Signal(unix.SIGSTOP))
	require.GreaterOrEqual(t, p.silent(), deadline)
}

func TestSupervisorThatIsKilledLeavesNothingPastTheDeadline(t *testing.T) {
	deadline := Now() + 2*soon
	cmd, p := supervise(t, deadline, "", stubborn)
	require.NoError(t, cmd.Process.Kill())
	p.says("asked")
	require.GreaterOrEqual(t, p.silent(), deadline)
}

func TestSupervisorThatIsKilledLeavesNothingThatWasAskedToEnd(t *testing.T) {
	cmd, p := supervise(t, Now()+long, "asked", stubborn)
	p.says("asked")
	require.NoError(t, cmd.Process.Kill())
	p.silent()
}
