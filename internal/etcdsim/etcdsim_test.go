package etcdsim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestLeasesExpireInTheBubblesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(t, 1)
		client, link := e.Client()
		began := time.Now()
		granted, err := client.Grant(t.Context(), 5)
		require.NoError(t, err)
		_, err = client.Put(t.Context(), "a", "1", clientv3.WithLease(granted.ID))
		require.NoError(t, err)
		events := client.Watch(t.Context(), "a", clientv3.WithRev(1))
		require.True(t, (<-events).Events[0].IsCreate())
		gone := <-events
		require.Equal(t, clientv3.EventTypeDelete, gone.Events[0].Type)
		require.Greater(t, time.Since(began), 5*time.Second)
		require.Less(t, time.Since(began), 6*time.Second)

		link.Cut(ToServer)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = client.Put(ctx, "b", "1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		link.Heal()
		<-time.After(time.Second)
		got, err := client.Get(t.Context(), "b")
		require.NoError(t, err)
		require.Len(t, got.Kvs, 1, "a late copy lands")
	})
}
