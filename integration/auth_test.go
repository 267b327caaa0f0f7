package integration_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// Authentication is switched on while members work that have credentials, which nobody asked for until then. Their
// tokens last a second and expire while one of them is paused. All go on, and nothing is lost.
func TestAuthenticationIsSwitchedOn(t *testing.T) {
	t.Parallel()
	const root = "root" // user, role and password
	etcd := etcdtest.StartProcessesOf(t, cast(t), 1, func(cfg *embed.Config) { cfg.AuthTokenTTL = 1 })
	client := etcdtest.NewClient(t, etcd.Endpoints(), func(cfg *clientv3.Config) {
		cfg.Username, cfg.Password = root, root
	})
	c := crewOf(t, client, etcd.Endpoints(), "local/events/auth", 16, func(config *member.Config) { config.User = root })
	c.cast = cast(t)
	c.etcd = proof.Record(client, c.prefix, member.Now, c.follow)
	t.Cleanup(c.etcd.Stop)
	c.start("a", "b", "c")
	c.awaitShared("a", "b", "c")

	etcdtest.EnableAuth(t, client, root)
	c.awaitHandled()
	held := c.held("b")
	c.signal("b", syscall.SIGSTOP)
	c.awaitTaken("b", held)
	hold(t, 2*time.Second)
	c.signal("b", syscall.SIGCONT)
	c.awaitShared("a", "b", "c")
	c.start("d")
	c.awaitShared("a", "b", "c", "d")
	c.leave("a", "b", "c", "d")
	all := c.requireSound()
	require.False(t, slices.ContainsFunc(c.reports["a"], func(r member.Report) bool { return r.Kind == member.Lost }),
		"a member that was not disturbed has lost partitions")
	t.Logf("%d of %d events handled again; %d checkpoints", all.Repeated, all.Events, all.Checkpoints)
}
