package demo

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// wired is an etcd behind a wire, and what the wire has told.
type wired struct {
	wire
	*clientv3.Client

	t       *testing.T
	mu      sync.Mutex
	refused map[string]bool // by write_id
}

func newWired(t *testing.T) *wired {
	t.Helper()
	w := &wired{t: t, refused: make(map[string]bool)}
	w.judged = func(member, writeID string, refused bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refused[member+" "+writeID] = refused
	}
	dir := t.TempDir()
	etcd, err := startEtcd(t.Context(), filepath.Join(dir, "etcd"), filepath.Join(dir, "log"), &w.wire)
	require.NoError(t, err)
	t.Cleanup(etcd.Close)
	w.Client, err = clientv3.New(clientv3.Config{
		Endpoints: []string{etcd.Clients[0].Addr().String()}, Logger: zap.NewNop(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func (w *wired) told() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

func checkpointOf(member, writeID string) clientv3.Op {
	return clientv3.OpPut(groupPrefix+"checkpoint/00", fmt.Sprintf(`{"owner_id":%q,"write_id":%q}`, member, writeID))
}

// exists holds if there is an ownership.
func exists() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(groupPrefix+"ownership/00"), ">", 0)
}

func TestRefusedCheckpointsAreSeen(t *testing.T) {
	t.Parallel()
	w := newWired(t)
	ops := func(ops ...clientv3.Op) []clientv3.Op { return ops }
	commit := func(then, otherwise []clientv3.Op) {
		t.Helper()
		_, err := w.Txn(t.Context()).If(exists()).Then(then...).Else(otherwise...).Commit()
		require.NoError(t, err)
	}
	commit(ops(checkpointOf("a", "1")), nil)
	commit(ops(clientv3.OpTxn(nil, ops(checkpointOf("a", "2")), nil)), nil)
	commit(nil, ops(checkpointOf("a", "3"), clientv3.OpGet("/x")))
	nested := clientv3.OpTxn([]clientv3.Cmp{exists()}, ops(checkpointOf("a", "4")), ops(checkpointOf("a", "5")))
	other := clientv3.OpPut(groupPrefix+"checkpoint/01", `{"owner_id":"b","write_id":"6"}`)
	commit(nil, ops(clientv3.OpGet("/x"), nested, clientv3.OpTxn(nil, ops(other), nil)))
	commit(ops(checkpointOf("a", "7")), ops(checkpointOf("a", "7"))) // written in either case
	commit(ops(clientv3.OpPut("/elsewhere/checkpoint/00", `{"owner_id":"a","write_id":"8"}`)), nil)
	require.Equal(t, map[string]bool{
		"a 1": true, "a 2": true, "a 3": false, "a 4": true, "a 5": false, "b 6": false, "a 7": false,
	}, w.told())
}

func TestCheckpointsAreHeldUp(t *testing.T) {
	t.Parallel()
	w := newWired(t)
	put := func(member, writeID string) error {
		_, err := w.Txn(t.Context()).Then(checkpointOf(member, writeID)).Commit()
		return err
	}
	require.NoError(t, put("a", "1"))
	w.hold("a")
	require.NoError(t, put("b", "2"))
	done := make(chan error)
	go func() { done <- put("a", "3") }()
	require.Eventually(t, func() bool { return w.onTheWay() == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, map[string]bool{"a 1": false, "b 2": false}, w.told())
	w.release()
	w.release()
	require.NoError(t, <-done)
	require.Zero(t, w.onTheWay())
	require.NoError(t, put("a", "4"))
	require.Equal(t, map[string]bool{"a 1": false, "b 2": false, "a 3": false, "a 4": false}, w.told())
}
