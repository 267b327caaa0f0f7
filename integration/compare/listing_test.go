package compare_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// listing is the contest of seeing who owns what.
func (w *world) listing(t *testing.T, partitions int) contest {
	t.Helper()
	ctx, group := t.Context(), groupOf("listing")
	won, err := w.store.ClaimOwnership(ctx, claimsOf(group, partitions), nil)
	require.NoError(t, err)
	require.Len(t, won, partitions)
	mirror, err := w.store.Watch(ctx, group, nil)
	require.NoError(t, err)
	t.Cleanup(mirror.Close)
	prefix := "/tenure/v1/" + group.String() + "/ownership/"
	const (
		raw   = "etcd's range read alone"
		times = 20
	)
	return contest{
		name:  fmt.Sprintf("List %d ownerships", partitions),
		about: fmt.Sprintf("A turn is %d of them. The mirror follows etcd's watch and reads nothing.", times),
		contenders: []contender{
			{"Tenure", func(*testing.T) measures {
				took := howLong(func() {
					for range times {
						all, err := w.store.ListOwnership(ctx, group)
						require.NoError(t, err)
						require.Len(t, all, partitions)
					}
				})
				seen := howLong(func() {
					for range times {
						require.Len(t, mirror.Snapshot().Ownerships, partitions)
					}
				})
				return measures{time_: took / times, fromMirror: seen / times}
			}},
			{raw, func(*testing.T) measures {
				took := howLong(func() {
					for range times {
						resp, err := w.client.Get(ctx, prefix, clientv3.WithPrefix())
						require.NoError(t, err)
						require.Len(t, resp.Kvs, partitions)
					}
				})
				return measures{time_: took / times, fromMirror: took / times}
			}},
		},
		rows: []row{
			{measure: time_, unit: "ms", scale: 1e3, less: true, peer: raw, bar: 1 / 1.3},
			{measure: fromMirror, unit: "µs", scale: 1e6, less: true, peer: raw},
		},
	}
}

const fromMirror = "time, from the mirror"
