package etcdstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// Claims and checkpoints wait for space, the log says so once for all of them, and nothing is lost.
func TestWritesWaitForSpace(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.Start(t, func(cfg *embed.Config) { cfg.QuotaBackendBytes = 256 << 10 })
	core, logged := observer.New(zapcore.WarnLevel)
	client := etcd.Client(t)
	s := startStore(t, client, startKeeper(t, client, 2*time.Second), &Options{Logger: zap.New(core)})
	group := testGroup(t)
	ids := partitions(20)
	held := claimAll(t, s, claimsOf(group, "owner", ids[:10]), nil)
	etcd.FillUp(t)
	require.True(t, s.NoSpace(t.Context()))

	ctx := soon(t)
	done := make(chan error, len(held)+1)
	for _, o := range held {
		go func() { done <- s.UpdateCheckpoint(ctx, at(o, 1), &UpdateOptions{Fence: &o}) }()
	}
	go func() {
		won, err := s.ClaimOwnership(ctx, claimsOf(group, "owner", ids[10:]), nil)
		if err == nil && len(won) != 10 {
			err = ErrOwnershipLost
		}
		done <- err
	}()
	require.Eventually(t, func() bool { return logged.Len() > 0 }, patience, 10*time.Millisecond)
	for _, entry := range logged.All() {
		require.Equal(t, "etcd does not take requests, which are tried again until it does", entry.Message)
		require.Contains(t, entry.ContextMap()["error"], lease.ErrNoSpace.Error())
	}
	require.Empty(t, done, "nothing has been given up")

	etcd.FreeSpace(t)
	for range len(held) + 1 {
		require.NoError(t, <-done)
	}
	require.Less(t, logged.Len(), len(held), "once for all")
}
