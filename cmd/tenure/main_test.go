package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The test binary is also the command, for what needs processes.
func TestMain(m *testing.M) {
	if os.Getenv("TENURE_TEST_AS_WAITER") != "" {
		waitForSignals()
	}
	helper := len(os.Args) > 1 && (os.Args[1] == devEtcdName || os.Args[1] == shimName)
	if helper || os.Getenv("TENURE_TEST_AS_COMMAND") != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

const connectionString = "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0;" +
	"UseDevelopmentEmulator=true"

type result struct {
	status         int
	stdout, stderr string
}

// command runs a command line with that environment and no other.
func command(t *testing.T, environment map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(args, &stdout, &stderr, func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	})
	require.NotContains(t, stderr.String(), "c2VjcmV0", "a key was shown")
	require.NotContains(t, stderr.String(), "open-sesame", "a password was shown")
	return result{status, stdout.String(), stderr.String()}
}

func (r result) require(t *testing.T, status int, words ...string) {
	t.Helper()
	require.Equal(t, status, r.status, r.stderr)
	for _, word := range words {
		require.Contains(t, r.stderr, word)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"consume", "--help"}} {
		r := command(t, nil, args...)
		r.require(t, exitOK)
		require.Contains(t, r.stdout, "--endpoints")
		require.NotContains(t, r.stdout, devEtcdName)
		require.NotContains(t, r.stdout, "dev-linger")
		for line := range strings.Lines(r.stdout) {
			if !strings.Contains(line, "  --") {
				require.LessOrEqual(t, len(strings.TrimRight(line, "\n")), 130, line)
			}
		}
	}
	for _, args := range [][]string{{"version"}, {"--version"}} {
		r := command(t, nil, args...)
		r.require(t, exitOK)
		require.Regexp(t, `^tenure .+\netcd 3\..+\ngo1\..+\n$`, r.stdout)
	}
}

func TestWrongUse(t *testing.T) {
	hub := map[string]string{"EVENTHUB_CONNECTION_STRING": connectionString}
	file := filepath.Join(t.TempDir(), "connection")
	require.NoError(t, os.WriteFile(file, []byte(connectionString+"\n"), 0o600))
	command(t, nil, "consum").require(t, exitUsage, `there is no command "consum"`, "Did you mean consume?")
	command(t, nil, "consume", "--wrong").require(t, exitUsage, "unknown flag: --wrong", "tenure consume --help")
	command(t, nil, "consume", "orders").require(t, exitUsage, "takes no argument")
	command(t, nil, "consume", "--ttl", "long").require(t, exitUsage, "--ttl")
	command(t, nil, "consume", "--from", "then", "--ttl", "1500ms", "--strategy", "mean", "--checkpoint-count", "0").
		require(t, exitUsage, "--from", "--ttl", "--strategy", "--checkpoint-count")
	command(t, nil, "consume", "--balancer", "sdk", "--update-interval", "0s", "--checkpoint-count", "0", "--ttl", "1.5s",
		"--owner-id", "").
		require(t, exitUsage, "--update-interval must be above 0, not 0s", "--checkpoint-count must be at least 1, not 0",
			"--ttl must be whole seconds, such as 2s, not 1.5s", "--owner-id is empty")
	for _, prefix := range []string{"", "/", "//"} {
		command(t, nil, "version", "--prefix", prefix).require(t, exitUsage, "--prefix is", defaultPrefix)
	}
	command(t, hub, "consume", "--event-hub", "orders", "--endpoints", "localhost").
		require(t, exitUsage, `--endpoints: "localhost" has no port; etcd's is usually 2379`)
	command(t, nil, "version", "--log-level", "loud").require(t, exitUsage, "--log-level")
	command(t, nil, "version", "--log-format", "xml").require(t, exitUsage, "--log-format")
	command(t, nil, "consume").require(t, exitUsage, "EVENTHUB_CONNECTION_STRING", "--namespace")
	command(t, hub, "consume").require(t, exitUsage, "no event hub is given")
	command(t, hub, "consume", "--event-hub", "orders").
		require(t, exitUsage, "no etcd endpoints", "--endpoints", "TENURE_ENDPOINTS", "ETCDCTL_ENDPOINTS", "--dev")
	command(t, nil, "consume", "--event-hub", "orders", "--connection-string-file", file).
		require(t, exitUsage, "no etcd endpoints")
	command(t, nil, "consume", "--namespace", "a.b", "--connection-string-file", file).
		require(t, exitUsage, "exclude each other")
	command(t, nil, "consume", "--connection-string-file", file+"x").require(t, exitUsage, "cannot be read")
	for _, flag := range connectionFlags() {
		value := "x"
		if flag == "insecure-skip-tls-verify" {
			value = "true"
		}
		command(t, hub, "consume", "--dev", "--"+flag+"="+value).
			require(t, exitUsage, "--dev and --"+flag+" exclude each other")
	}
	r := command(t, hub, "consume", "--event-hub", "orders", "--log-format", "json")
	r.require(t, exitUsage)
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	var last map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
	require.Equal(t, "failed", last["msg"])
	require.Contains(t, last["error"], "no etcd endpoints")
}

// prepared runs the preparation that all commands share.
func prepared(t *testing.T, environment map[string]string, args ...string) (*app, string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, lookup: func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}}
	root := a.rootCommand()
	root.SetArgs(append([]string{"version"}, args...))
	err := root.Execute()
	return a, stderr.String(), err
}

func TestFlagsAndEnvironment(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("from-file\n"), 0o600))
	environment := map[string]string{
		"TENURE_ENDPOINTS": "a:1,b:2", "ETCDCTL_ENDPOINTS": "c:3", "ETCDCTL_CACERT": "ca.pem", "TENURE_CACERT": "",
		"ETCDCTL_USER": "me", "ETCDCTL_PASSWORD": "open-sesame", "TENURE_DIAL_TIMEOUT": "3s", "TENURE_DEV": "true",
		"ETCDCTL_PREFIX": "/not-ours", "ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "true",
	}
	a, log, err := prepared(t, environment)
	require.NoError(t, err)
	require.Equal(t, []string{"a:1", "b:2"}, a.etcd.Endpoints)
	require.Equal(t, "ca.pem", a.etcd.CACert)
	require.Equal(t, "me", a.etcd.User)
	require.Equal(t, "open-sesame", a.etcd.Password)
	require.Equal(t, 3*time.Second, a.etcd.DialTimeout)
	require.Equal(t, "/tenure/v1", a.etcd.Prefix)
	require.True(t, a.etcd.InsecureSkipVerify)
	require.False(t, a.etcd.Dev, "no variable chooses --dev")
	require.Contains(t, log, "TENURE_DEV\"", "and the log says so")
	for _, variable := range []string{"TENURE_ENDPOINTS", "ETCDCTL_CACERT", "ETCDCTL_USER", "TENURE_DIAL_TIMEOUT"} {
		require.Contains(t, log, variable)
	}
	require.NotContains(t, log, "ETCDCTL_ENDPOINTS")
	require.NotContains(t, log, "open-sesame")

	a, log, err = prepared(t, environment, "--endpoints", "d:4", "--endpoints", "e:5", "--prefix", "/mine/",
		"--user", "you:pass:word")
	require.NoError(t, err)
	require.Equal(t, []string{"d:4", "e:5"}, a.etcd.Endpoints)
	require.Equal(t, "/mine", a.etcd.Prefix)
	require.Equal(t, "you", a.etcd.User)
	require.Equal(t, "pass:word", a.etcd.Password)
	require.NotContains(t, log, "TENURE_ENDPOINTS")

	a, _, err = prepared(t, environment, "--password-file", password)
	require.NoError(t, err)
	require.Equal(t, "from-file", a.etcd.Password)

	dir := t.TempDir()
	environment["TENURE_DEV_DIR"] = dir
	a, log, err = prepared(t, environment, "--dev")
	require.NoError(t, err)
	require.Empty(t, a.etcd.Endpoints)
	require.Empty(t, a.etcd.User)
	require.Empty(t, a.etcd.CACert)
	require.Equal(t, dir, a.etcd.DevDir)
	require.Contains(t, log, "--dev is given")
	require.Contains(t, log, "TENURE_ENDPOINTS")

	_, _, err = prepared(t, map[string]string{
		"TENURE_DIAL_TIMEOUT": "open-sesame", "ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "perhaps",
	})
	require.ErrorContains(t, err, "TENURE_DIAL_TIMEOUT is no duration")
	require.ErrorContains(t, err, "ETCDCTL_INSECURE_SKIP_TLS_VERIFY is no bool")
	require.NotContains(t, err.Error(), "open-sesame")
}

func TestEtcdThatCannotBeReached(t *testing.T) {
	environment := map[string]string{"EVENTHUB_CONNECTION_STRING": connectionString, "TENURE_ENDPOINTS": "127.0.0.1:1"}
	command(t, environment, "consume", "--event-hub", "orders", "--dial-timeout", "300ms").
		require(t, exitEtcd, "etcd cannot be reached", "nothing listens at 127.0.0.1:1", "taken from the environment")
}

func TestHubThatCannotBeReached(t *testing.T) {
	dir := t.TempDir()
	process := exec.Command(os.Args[0], "consume", "--dev", "--dev-dir", dir, "--dev-linger", "0s",
		"--event-hub", "orders")
	process.Env = append(os.Environ(), "TENURE_TEST_AS_COMMAND=1", "EVENTHUB_CONNECTION_STRING="+connectionString)
	log, err := process.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, exitEventHubs, process.ProcessState.ExitCode(), string(log))
	require.Contains(t, string(log), "connecting to Event Hubs")
	require.Contains(t, string(log), "nothing listens at localhost:1")
	// The etcd is to be gone before its folder is.
	_, err = flock.New(filepath.Join(dir, "server")).TryLockContext(t.Context(), 20*time.Millisecond)
	require.NoError(t, err)
}

// A command that waits for a hub that does not answer has nothing to finish when it is told to end.
func TestSignals(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close() //nolint:errcheck // It has not accepted anything.
	unanswered := strings.Replace(connectionString, "localhost:1", silent.Addr().String(), 1)
	for _, test := range []struct {
		signal syscall.Signal
		status int
	}{{syscall.SIGTERM, exitOK}, {syscall.SIGINT, exitOK}} {
		dir := t.TempDir()
		process := exec.Command(os.Args[0], "consume", "--dev", "--dev-dir", dir, "--dev-linger", "0s",
			"--event-hub", "orders", "--log-format", "json")
		process.Env = append(os.Environ(), "TENURE_TEST_AS_COMMAND=1", "EVENTHUB_CONNECTION_STRING="+unanswered)
		stderr, err := process.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, process.Start())
		decoder := json.NewDecoder(stderr)
		for {
			var line struct{ Msg string }
			require.NoError(t, decoder.Decode(&line))
			if line.Msg == "connecting to Event Hubs" {
				break
			}
		}
		require.NoError(t, process.Process.Signal(test.signal))
		_ = process.Wait()
		require.Equal(t, test.status, process.ProcessState.ExitCode())
		// The etcd is to be gone before its folder is.
		_, err = flock.New(filepath.Join(dir, "server")).TryLockContext(t.Context(), 20*time.Millisecond)
		require.NoError(t, err)
	}
}

// waitForSignals is a command that has been told to end and does not.
func waitForSignals() {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("ending")
	select {}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), "TENURE_TEST_AS_WAITER=1")
	stdout, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	defer process.Process.Kill() //nolint:errcheck // It has ended, or has to.
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	// As timeout(1) does, which signals the child and the group.
	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ending\n", line)
	first := time.Now()
	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = process.Wait()
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if time.Since(first) > duplicate {
				_ = process.Process.Signal(syscall.SIGTERM) // It may be gone by now.
			}
			continue
		case <-ended:
		}
		break
	}
	require.Greater(t, time.Since(first), duplicate-50*time.Millisecond, "a duplicate is no second signal")
	require.Equal(t, exitBySignal+int(syscall.SIGTERM), process.ProcessState.ExitCode())
}
