package integration_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// etcd is lost and restored from a snapshot that is some seconds old, with higher revisions, as etcd's documentation
// asks for. Members go on from the checkpoints of the snapshot: events are handled again, and none is left out, by
// handlers that do not run beside each other.
func TestEtcdIsRestoredFromAnOlderSnapshot(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "etcdutl")
	build := exec.Command("go", "build", "-C", "servers/etcdutl", "-o", tool, "go.etcd.io/etcd/etcdutl/v3")
	built, err := build.CombinedOutput()
	require.NoError(t, err, "%s", built)
	etcd := etcdtest.StartProcessesOf(t, cast(t), 1)
	c := newCrew(t, etcd.Endpoints(), 16)
	c.start("a", "b", "c")
	c.awaitShared("a", "b", "c")

	snapshot := filepath.Join(t.TempDir(), "snapshot")
	save(t, c, snapshot)
	hold(t, 3*time.Second) // in which checkpoints are written that will be lost
	etcd.Kill(0)
	lost := member.Now()
	require.NoError(t, os.RemoveAll(etcd.Dir(0)))
	restore := exec.Command(tool, append([]string{
		"snapshot", "restore", snapshot, "--bump-revision=1000000000", "--mark-compacted",
	}, etcd.RestoreFlags(0)...)...)
	restored, err := restore.CombinedOutput()
	require.NoError(t, err, "%s", restored)
	etcd.Restart(0)

	c.etcd.Stop()
	c.client = etcd.Client(t)
	now, err := c.client.Get(t.Context(), c.prefix)
	require.NoError(t, err)
	c.etcd = proof.RecordFrom(c.client, c.prefix, now.Header.Revision, member.Now, c.follow)
	t.Cleanup(c.etcd.Stop)
	c.awaitHandled()
	c.start("d")
	c.await("the new member has a share", func() bool { return c.shares()["d"] > 0 })
	c.awaitHandled()
	c.leave("a", "b", "c", "d")
	account, violations := proof.Check(c.run())
	for _, check := range []string{proof.NoOverlap, proof.Trusted, proof.InOrder, proof.NothingLost, proof.Handled} {
		require.Empty(t, violations.Of(check), "%v", violations)
	}
	require.Positive(t, account.Repeated, "what came after the snapshot is handled again")
	t.Logf("%d of %d events handled again; %v from the loss to the end", account.Repeated, account.Events,
		(member.Now() - lost).Round(time.Millisecond))
}

// save saves a snapshot of etcd.
func save(t *testing.T, c *crew, path string) {
	t.Helper()
	from, err := c.client.Snapshot(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, from.Close()) }()
	to, err := os.Create(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, to.Close()) }()
	_, err = io.Copy(to, from)
	require.NoError(t, err)
}
