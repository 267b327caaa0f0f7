package lease

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) {
	etcdtest.RunMember()
	goleak.VerifyTestMain(m)
}

const patience = 30 * time.Second

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func startKeeper(t *testing.T, client *clientv3.Client, ttl time.Duration) *Keeper {
	t.Helper()
	k, err := NewKeeper(soon(t), client, &Options{TTL: ttl, Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, k.Close(ctx))
	})
	return k
}

func requireTerm(t *testing.T, k *Keeper) *Term {
	t.Helper()
	term, err := k.Term(soon(t))
	require.NoError(t, err)
	require.NoError(t, term.Err())
	return term
}

func requireEnd(t *testing.T, term *Term, reason error) {
	t.Helper()
	select {
	case <-term.Done():
		require.ErrorIs(t, term.Err(), reason)
	case <-soon(t).Done():
		t.Fatal("the term did not end")
	}
}

func putKey(t *testing.T, client *clientv3.Client, term *Term, key string) {
	t.Helper()
	_, err := client.Put(soon(t), key, "", clientv3.WithLease(term.ID()))
	require.NoError(t, err)
}

func requireKey(t *testing.T, client *clientv3.Client, key string, there bool) {
	t.Helper()
	got, err := client.Get(soon(t), key)
	require.NoError(t, err)
	require.Equal(t, there, len(got.Kvs) == 1)
}

func TestTermOutlivesItsTTLAndCloseRevokes(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	k := startKeeper(t, client, time.Second)
	term := requireTerm(t, k)
	putKey(t, client, term, "key")
	select {
	case <-term.Done():
		t.Fatal(term.Err())
	case <-time.After(3 * time.Second): // three TTLs
	}
	require.True(t, term.TrustedUntil().After(time.Now()))
	requireKey(t, client, "key", true)
	require.NoError(t, k.Close(soon(t)))
	requireKey(t, client, "key", false)
	require.ErrorIs(t, term.Err(), ErrClosed)
	require.False(t, term.TrustedUntil().After(time.Now()))
	_, err := k.Term(soon(t))
	require.ErrorIs(t, err, ErrClosed)
}

func TestLeaseRevokedFromOutside(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	k := startKeeper(t, client, time.Second)
	term := requireTerm(t, k)
	_, err := client.Revoke(soon(t), term.ID())
	require.NoError(t, err)
	requireEnd(t, term, ErrLeaseGone)
	next := requireTerm(t, k)
	require.NotEqual(t, term.ID(), next.ID())
	requireEnd(t, term, ErrLeaseGone)
}
