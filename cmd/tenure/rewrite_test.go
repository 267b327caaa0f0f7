package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/golden"
)

// Checkpoints are shown before they are rewritten, refused where they are owned, and set and deleted otherwise.
func TestCheckpointsAreReset(t *testing.T) {
	s := see(t)
	r := s.command("checkpoint", "reset", "orders/billing", "--all", "--to", "sequence:7", "--dry-run")
	r.require(t, exitOK)
	golden.Require(t, "checkpoint-reset-dry-run.txt", r.stdout)
	r = s.command("checkpoint", "reset", "orders/billing", "--all", "--to", "sequence:7", "--take-away", "--dry-run")
	r.require(t, exitOK)
	golden.Require(t, "checkpoint-reset-take-away-dry-run.txt", r.stdout)
	list := func() string { return s.command("checkpoint", "list", "orders/billing").stdout }
	before := list()

	s.command("checkpoint", "reset", "orders/billing", "3", "0", "--to", "sequence:7").
		require(t, exitFailure, `partition is owned: "0" by "pod-2"`, "tenure partition pause", "--take-away")
	require.Equal(t, before, list(), "nothing was done")

	r = s.command("checkpoint", "reset", "orders/billing", "3", "--to", "offset:abc")
	r.require(t, exitOK)
	require.Equal(t, "1 checkpoint was written, 0 were so already\n", r.stdout)
	r = s.command("checkpoint", "reset", "orders/billing", "3", "0", "--to", "offset:abc", "--take-away")
	r.require(t, exitOK)
	require.Equal(t, "1 checkpoint was written, 1 were so already\n", r.stdout)
	require.Regexp(t, `(?m)^0 +- +abc `, list())
	require.Regexp(t, `(?m)^0 +- +- +abc`, s.command("partition", "list", "orders/billing").stdout, "nobody owns it")

	s.command("checkpoint", "delete", "orders/billing", "3").require(t, exitOK)
	require.NotContains(t, list(), "\n3 ")
	s.put("/tenure/v1/local/orders/billing/checkpoint/4", "{")
	r = s.command("checkpoint", "delete", "orders/billing", "4")
	r.require(t, exitOK)
	require.Equal(t, "1 checkpoint was written, 0 were so already\n", r.stdout, "also one that cannot be read")

	for args, words := range map[string][]string{
		"checkpoint reset orders/billing 3":                     {"--to is needed", "sequence:N"},
		"checkpoint reset orders/billing 3 --to yesterday":      {`--to is "yesterday"`},
		"checkpoint reset orders/billing 3 --to sequence:1.5":   {`"1.5" is no integer`},
		"checkpoint reset orders/billing --to sequence:1":       {"name partitions, or give --all"},
		"checkpoint reset orders/billing 3 --all --to offset:1": {"name partitions, or give --all"},
		"checkpoint delete orders/billing 33":                   {`there is no partition "33"`, "Did you mean 3"},
		"checkpoint import orders/billing /nowhere/file":        {"FILE cannot be read"},
		"checkpoint export orders/billing /nowhere/file":        {"FILE cannot be written"},
		"checkpoint import orders/billing":                      {"takes GROUP FILE"},
	} {
		s.command(strings.Fields(args)...).require(t, exitUsage, words...)
	}
}

// What was exported is imported, into an empty etcd too, and a wrong file changes nothing.
func TestCheckpointsAreCarried(t *testing.T) {
	from, to := see(t), see(t)
	file := filepath.Join(t.TempDir(), "billing.jsonl")
	from.command("checkpoint", "export", "orders/billing", file).require(t, exitOK, "3 checkpoints of revision")
	exported, err := os.ReadFile(file)
	require.NoError(t, err)
	golden.Require(t, "export.jsonl", times.ReplaceAllString(string(exported), `"TIME"`))
	require.Equal(t, string(exported), from.command("checkpoint", "export", "orders/billing").stdout)

	_, err = to.client.Delete(t.Context(), "\x00", clientv3.WithFromKey())
	require.NoError(t, err)
	r := to.command("checkpoint", "import", "orders/billing", file)
	r.require(t, exitOK)
	require.Equal(t, "3 checkpoints were written, 0 were so already\n", r.stdout)
	position := regexp.MustCompile(`"(partition|sequence_number|offset)":[^,}]+`)
	require.Equal(t, position.FindAllString(string(exported), -1),
		position.FindAllString(to.command("checkpoint", "export", "orders/billing").stdout, -1))
	r = to.command("checkpoint", "import", "orders/billing", file)
	r.require(t, exitOK)
	require.Equal(t, "0 checkpoints were written, 3 were so already\n", r.stdout)

	before, err := to.client.Get(t.Context(), "x")
	require.NoError(t, err)
	to.command("checkpoint", "import", "orders/other", file).require(t, exitUsage,
		"line 1: it is one of local/orders/billing, and not of local/orders/other", "line 3:", "--any-group")
	require.NoError(t, os.WriteFile(file, append(exported, "{\n"...), 0o600))
	to.command("checkpoint", "import", "orders/billing", file).
		require(t, exitUsage, "line 4: no checkpoint", "nothing was done")
	after, err := to.client.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, before.Header.Revision, after.Header.Revision)
}

// A fleet at work has its partitions taken away and handles again what came after the new checkpoints, and no more.
func TestAFleetReplays(t *testing.T) {
	f := newFleet(t, 3)
	r := f.run("--owner-id", "a", "--", "sh", "-c", beater)
	fences := f.awaitBeats(nil)
	require.Eventually(t, func() bool {
		for _, id := range f.ids {
			if len(f.read(id)) < 20 {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond)
	f.operate("checkpoint reset orders/billing 0 1 --to sequence:5").require(t, exitFailure, "owned")
	done := f.operate("checkpoint reset orders/billing 0 1 --to sequence:5 --take-away")
	done.require(t, exitOK)
	require.Eventually(t, func() bool {
		for _, id := range f.ids[:2] {
			beats := f.read(id)
			if beats[len(beats)-1].fence == fences[id] {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond)
	r.signal(syscall.SIGTERM)
	require.NoError(t, r.ended())
	f.requireOneAtATime()
	for _, id := range f.ids {
		went := 0
		for i, b := range f.read(id)[1:] {
			if before := f.read(id)[i]; b.n != before.n+1 {
				went++
				require.Equal(t, int64(6), b.n, "partition %s goes on after the new checkpoint", id)
			}
		}
		require.Equal(t, map[string]int{"0": 1, "1": 1, "2": 0}[id], went, "partition %s, of %s", id, strconv.Itoa(went))
	}
}
