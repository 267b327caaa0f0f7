package etcdtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"golang.org/x/sync/errgroup"
)

const (
	startTimeout = time.Minute
	startTries   = 5
)

// Cluster is an etcd whose members run in the test's process.
type Cluster struct {
	tb      testing.TB
	members []*Member
}

// Start runs an etcd of one member until the test ends.
func Start(tb testing.TB, options ...Option) *Cluster {
	tb.Helper()
	return StartCluster(tb, 1, options...)
}

// StartCluster runs an etcd of n members until the test ends.
func StartCluster(tb testing.TB, n int, options ...Option) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	tb.TempDir() // so that it is removed after the members have stopped: etcd exits the process if it misses its files
	tb.Cleanup(c.stop)
	for try := 1; ; try++ {
		c.members = nil
		var group errgroup.Group
		for _, cfg := range configure(tb, n, options) {
			m := &Member{tb: tb, cfg: cfg}
			c.members = append(c.members, m)
			group.Go(m.start)
		}
		err := group.Wait()
		if err == nil {
			return c
		}
		c.stop()
		if !errors.Is(err, syscall.EADDRINUSE) || try == startTries {
			tb.Fatalf("etcdtest: start etcd: %v", err)
		}
	}
}

// stop stops all members, the leader last: it hands its leadership over first, and waits long for a member that is
// about to stop as well.
func (c *Cluster) stop() {
	var stopping sync.WaitGroup
	var leaders []*Member
	for _, m := range c.members {
		if m.leads() {
			leaders = append(leaders, m)
		} else {
			stopping.Go(m.Stop)
		}
	}
	stopping.Wait()
	for _, m := range leaders {
		m.Stop()
	}
}

// Endpoints returns the members' client URLs.
func (c *Cluster) Endpoints() []string {
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.Endpoint())
	}
	return endpoints
}

// Client returns a client of all members, closed when the test tb ends.
func (c *Cluster) Client(tb testing.TB, changes ...func(*clientv3.Config)) *clientv3.Client {
	tb.Helper()
	return NewClient(tb, c.Endpoints(), changes...)
}

// Member returns the i-th member.
func (c *Cluster) Member(i int) *Member {
	return c.members[i]
}

// Leader returns the index of the member that leads, once there is one.
func (c *Cluster) Leader() int {
	c.tb.Helper()
	return leader(c.tb, c.Endpoints())
}

// Isolate cuts the i-th member off from the others, and returns when another one leads. Clients still reach it.
func (c *Cluster) Isolate(i int) {
	c.tb.Helper()
	c.betweenPeers(i, (*etcdserver.EtcdServer).CutPeer)
	leader(c.tb, slices.Delete(c.Endpoints(), i, i+1))
}

// Heal ends what [Cluster.Isolate] did.
func (c *Cluster) Heal(i int) { c.betweenPeers(i, (*etcdserver.EtcdServer).MendPeer) }

func (c *Cluster) betweenPeers(i int, change func(*etcdserver.EtcdServer, types.ID)) {
	one := c.members[i].server.Server
	for j, m := range c.members {
		if j != i {
			change(one, m.server.Server.MemberID())
			change(m.server.Server, one.MemberID())
		}
	}
}

// Member is one member of a cluster.
type Member struct {
	tb     testing.TB
	cfg    *embed.Config
	server *embed.Etcd
}

// Endpoint returns the member's client URL.
func (m *Member) Endpoint() string {
	return m.cfg.ListenClientUrls[0].String()
}

// Address returns the host and port of the member's client URL.
func (m *Member) Address() string {
	return m.cfg.ListenClientUrls[0].Host
}

// Server returns the running server.
func (m *Member) Server() *embed.Etcd {
	return m.server
}

// Stop stops the member. Stopping it again is harmless.
func (m *Member) Stop() {
	if m.server != nil {
		m.server.Close()
		m.server = nil
	}
}

func (m *Member) leads() bool {
	return m.server != nil && m.server.Server.Leader() == m.server.Server.MemberID()
}

// Restart starts the member again with its data and ports, after stopping it if it runs.
func (m *Member) Restart() {
	m.tb.Helper()
	m.Stop()
	if err := m.start(); err != nil {
		m.tb.Fatalf("etcdtest: restart etcd: %v", err)
	}
}

func (m *Member) start() error {
	cfg := *m.cfg
	server, err := embed.StartEtcd(&cfg)
	if err != nil {
		return err
	}
	m.server = server
	select {
	case <-server.Server.ReadyNotify():
		return nil
	case err := <-server.Err():
		return err
	case <-time.After(startTimeout):
		return fmt.Errorf("%s is not ready after %v", cfg.Name, startTimeout)
	}
}
