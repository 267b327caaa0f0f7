package etcdtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

func TestMain(m *testing.M) {
	Main(m)
}

func roundTrip(t *testing.T, client *clientv3.Client, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := client.Put(ctx, key, "value")
	require.NoError(t, err)
	requireKey(t, client, key)
}

func requireKey(t *testing.T, client *clientv3.Client, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := client.Get(ctx, key)
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
}

func TestOneMemberKeepsDataAndPortOverARestart(t *testing.T) {
	c := Start(t, func(cfg *embed.Config) { cfg.MaxTxnOps = 3 })
	client := c.Client(t)
	roundTrip(t, client, "a")
	c.Member(0).Stop()
	c.Member(0).Stop()
	c.Member(0).Restart()
	requireKey(t, client, "a")
	require.Equal(t, 0, c.Leader())
	put := clientv3.OpPut("a", "")
	_, err := client.Txn(t.Context()).Then(put, put, put, put).Commit()
	require.ErrorContains(t, err, "too many operations")
}

func TestThreeMembersSurviveTheirLeader(t *testing.T) {
	c := StartCluster(t, 3)
	client := c.Client(t)
	roundTrip(t, client, "a")
	old := c.Leader()
	c.Member(old).Stop()
	roundTrip(t, client, "b")
	require.NotEqual(t, old, c.Leader())
	c.Member(old).Restart()
	requireKey(t, NewClient(t, []string{c.Member(old).Endpoint()}), "b")
}

func TestProcessesPauseAndDie(t *testing.T) {
	p := StartProcesses(t, 3)
	roundTrip(t, p.Client(t), "a")
	old := p.Leader()
	p.Pause(old)
	next := p.Leader()
	require.NotEqual(t, old, next)
	roundTrip(t, NewClient(t, []string{p.Endpoints()[next]}), "b")
	p.Resume(old)
	requireKey(t, NewClient(t, []string{p.Endpoints()[old]}), "b")
	p.Kill(old)
	p.Kill(old)
	p.Restart(old)
	requireKey(t, NewClient(t, []string{p.Endpoints()[old]}), "b")
}
