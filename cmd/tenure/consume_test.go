package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
)

// Flags that mean nothing with the others are refused, all together, each with what it is for.
func TestFlagsThatDoNotGoTogether(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		want []string // every line that is said
	}{
		"native": {
			[]string{"--strategy", "greedy", "--update-interval", "1s", "--group", "a/b"},
			[]string{
				"--group is for --source files:DIR; an event hub's is given by --namespace, --event-hub and --consumer-group",
				"--strategy is for --balancer sdk",
				"--update-interval is for --balancer sdk",
			},
		},
		"sdk": {
			[]string{
				"--balancer", "sdk", "--weight", "2", "--capacity", "3", "--grace", "30s", "--drain-timeout", "1s",
				"--owner-id", "a",
			},
			[]string{
				"--weight is for --balancer native",
				"--capacity is for --balancer native",
				"--grace is for --balancer native",
				"--drain-timeout is for --balancer native",
			},
		},
		"files": {
			[]string{
				"--source", "files:" + dir, "--balancer", "sdk", "--event-hub", "h", "--namespace", "n", "--consumer-group", "g",
				"--connection-string-file", "f", "--from", "2026-05-01T12:00:00Z",
			},
			[]string{
				"--connection-string-file is for --source eventhubs",
				"--namespace is for --source eventhubs",
				"--event-hub is for --source eventhubs",
				"--consumer-group is for --source eventhubs",
				`--from: "2026-05-01T12:00:00Z" is none of earliest, latest, offset:N and sequence:N; lines have no time`,
				"--group is needed with --source files:DIR, for the processes that share the files to find each other by, " +
					"such as --group orders/billing",
				"--balancer sdk reads event hubs only; leave it out for --source files:DIR",
			},
		},
		"values": {
			[]string{
				"--source", "files:", "--group", "a/b/c/d", "--from", "sequence:-1", "--weight", "0", "--capacity", "-1",
				"--grace", "1500ms", "--drain-timeout", "0s",
			},
			[]string{
				"--source files: names no folder; write files:DIR, such as files:./orders",
				"--from: sequence:-1 is before any line: the number must be 0 or more",
				`--group must be topic/group or namespace/topic/group, such as orders/billing, not "a/b/c/d"`,
				"--weight must be at least 1, not 0",
				"--capacity must be at least 1, or 0 for no limit, not -1",
				"--grace must be whole seconds, such as 30s, not 1.5s",
				"--grace needs an --owner-id that stays the same over restarts: a random one does not come back",
				"--drain-timeout must be above 0, not 0s",
			},
		},
		"a folder alone": {
			[]string{"--source", dir, "--balancer", "mine"},
			[]string{
				`--source must be eventhubs or files:DIR, not "` + dir + `"; did you mean files:` + dir + "?",
				`--balancer must be native or sdk, not "mine"`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := command(t, nil, append([]string{"consume"}, test.args...)...)
			r.require(t, exitUsage)
			require.Equal(t, "tenure: wrong flags: "+strings.Join(test.want, "\n")+"\n", r.stderr)
		})
	}
}

func TestFoldersThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for path, words := range map[string]string{
		file:                         file + " is no folder",
		filepath.Join(dir, "orders"): "no such file or directory",
	} {
		command(t, nil, "consume", "--dev", "--source", "files:"+path, "--group", "orders/billing").
			require(t, exitUsage, "--source files:"+path, words, "Name a folder that this user can read")
	}
	// Everything else is right.
	command(t, nil, "consume", "--source", "files:"+dir, "--group", "orders/billing").
		require(t, exitUsage, "no etcd endpoints")
}

func TestGroupNames(t *testing.T) {
	for text, want := range map[string]string{
		"Orders/Billing":             "local/Orders/Billing",
		"local/Orders/Billing":       "local/Orders/Billing",
		"NS.example/Orders/$Default": "ns.example/orders/$default",
		"a%2Fb/c d":                  "local/a%2Fb/c%20d",
	} {
		got, err := parseGroup(text)
		require.NoError(t, err)
		require.Equal(t, want, got.String())
	}
	for _, text := range []string{"", "orders", "a//b", "a/b/c/d", "%/b"} {
		_, err := parseGroup(text)
		require.Error(t, err, text)
	}
}

// The whole of it, as a newcomer does it: --dev, a folder, nothing else. What was printed is not printed again by the
// next process, and SIGTERM is success.
func TestConsumeFilesWithNothingButGo(t *testing.T) {
	dev, dir := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("a", "one\r\n\xff\nthree")
	consumed := func(lines int) (printed []string) {
		process := exec.Command(os.Args[0], "consume", "--dev", "--dev-dir", dev, "--dev-linger", "0s",
			"--source", "files:"+dir, "--group", "orders/billing")
		process.Env = append(os.Environ(), "TENURE_TEST_AS_COMMAND=1")
		process.Stderr = os.Stderr
		stdout, err := process.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, process.Start())
		reader := bufio.NewReader(stdout)
		for range lines {
			line, err := reader.ReadString('\n')
			require.NoError(t, err)
			printed = append(printed, line)
		}
		require.NoError(t, process.Process.Signal(syscall.SIGTERM))
		rest, err := reader.ReadString('\n')
		require.Error(t, err, "it printed more: %s", rest)
		require.NoError(t, process.Wait())
		return printed
	}
	require.Equal(t, []string{
		`{"partition":"a","sequence_number":0,"offset":"5","body":"one"}` + "\n",
		`{"partition":"a","sequence_number":1,"offset":"7","body_base64":"/w=="}` + "\n",
	}, consumed(2))
	write("a", "one\r\n\xff\nthree\n")
	require.Equal(t, []string{`{"partition":"a","sequence_number":2,"offset":"13","body":"three"}` + "\n"}, consumed(1))
	_, err := flock.New(filepath.Join(dev, "server")).TryLockContext(t.Context(), 20*time.Millisecond)
	require.NoError(t, err, "the etcd is to be gone before its folder is")
}
