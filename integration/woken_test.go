package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// A leader of etcd is paused for longer than leases live, and goes on. In the meantime they are renewed with its
// successor, each renewal confirmed by a read in the same term of Raft. It is counted how often leases end all the
// same, sooner than trust in them: this is what etcd does, without the code under test, and why G2 has the bound that
// it has.
func TestWokenLeaders(t *testing.T) {
	trials, err := strconv.Atoi(os.Getenv("TENURE_WOKEN_LEADERS"))
	if err != nil {
		t.Skip("make woken-leaders measures it: a trial takes six seconds")
	}
	etcd := etcdtest.StartProcessesOf(t, cast(t), 3, etcdtest.Defaults, func(cfg *embed.Config) {
		cfg.TickMs, cfg.ElectionMs = 50, 500
	})
	early := 0
	for range trials {
		if ended := wake(t, etcd); ended > 0 {
			early++
		}
	}
	fmt.Printf("leases ended early in %d of %d trials\n", early, trials)
}

// wake pauses the leader, lets it go on, and returns how many of five leases ended early.
func wake(t *testing.T, etcd *etcdtest.Processes) (early int) {
	t.Helper()
	leader := etcd.Leader()
	client := etcdtest.NewClient(t, slices.Delete(etcd.Endpoints(), leader, leader+1))
	defer func() { require.NoError(t, client.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make([]bool, 5)
	var renewing sync.WaitGroup
	for i := range ended {
		granted, err := client.Grant(ctx, int64(ttl/time.Second))
		require.NoError(t, err)
		renewing.Go(func() { ended[i] = endsEarly(ctx, client, granted.ID) })
	}
	etcd.Pause(leader)
	hold(t, 2*ttl)
	etcd.Resume(leader)
	hold(t, ttl)
	cancel()
	renewing.Wait()
	for _, one := range ended {
		if one {
			early++
		}
	}
	return early
}

// endsEarly renews a lease until it is gone, and reports whether it was confirmed less than its time before.
func endsEarly(ctx context.Context, client *clientv3.Client, id clientv3.LeaseID) bool {
	var confirmed time.Time // when the latest confirmed renewal was sent
	again := time.NewTicker(ttl / 20)
	defer again.Stop()
	for {
		sent := time.Now()
		attempt, cancel := context.WithTimeout(ctx, ttl/4)
		renewed, err := client.KeepAliveOnce(attempt, id)
		if err == nil {
			read, readErr := client.Get(attempt, "confirmed")
			if readErr == nil && read.Header.RaftTerm == renewed.RaftTerm {
				confirmed = sent
			}
		}
		cancel()
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return time.Since(confirmed) < ttl
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
}
