package etcdtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// filler is the key that fills a cluster up.
const filler = "/filler"

// FillUp writes until the cluster of one member says that it is out of space. Its quota should be small.
func (c *Cluster) FillUp(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	client, value := c.Client(tb), strings.Repeat("x", 16<<10)
	var full error
	for full == nil {
		_, full = client.Put(ctx, filler, value)
	}
	require.ErrorIs(tb, full, rpctypes.ErrNoSpace)
}

// FreeSpace gives the cluster of one member its space back, as its operator would, and keeps the alarm off for the rest
// of the test: etcd first finds that there is no space for a request and then raises it, which may be after all this.
func (c *Cluster) FreeSpace(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	client := c.Client(tb)
	deleted, err := client.Delete(ctx, filler)
	require.NoError(tb, err)
	// Without waiting for the compaction there may be nothing yet that can be freed.
	_, err = client.Compact(ctx, deleted.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(tb, err)
	_, err = client.Defragment(ctx, c.Endpoints()[0])
	require.NoError(tb, err)
	disarm := func(ctx context.Context) error {
		_, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		return err
	}
	require.NoError(tb, disarm(ctx))

	operating, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	stopped := make(chan error, 1)
	go func() {
		for {
			select {
			case <-operating.Done():
				stopped <- operating.Err()
				return
			case <-time.After(time.Second):
				if err := disarm(operating); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	tb.Cleanup(func() {
		stop()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			tb.Errorf("etcd's alarm could not be kept off: %v", err)
		}
	})
}
