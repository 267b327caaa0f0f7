package etcdtest

import (
	"context"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	// statusTimeout is how long a member has to answer who leads. One that is paused never does.
	statusTimeout = time.Second

	leaderTimeout = 30 * time.Second
	leaderPoll    = 20 * time.Millisecond
)

// NewClient returns a quiet client, closed when the test ends.
func NewClient(tb testing.TB, endpoints []string, changes ...func(*clientv3.Config)) *clientv3.Client {
	tb.Helper()
	cfg := clientv3.Config{
		Endpoints: endpoints, Logger: zap.NewNop(),
		// A client that looks for an etcd that is back only after seconds would have lost its lease by then.
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 50 * time.Millisecond, Multiplier: backoff.DefaultConfig.Multiplier,
				Jitter: backoff.DefaultConfig.Jitter, MaxDelay: 500 * time.Millisecond,
			},
			MinConnectTimeout: 5 * time.Second,
		})},
	}
	for _, change := range changes {
		change(&cfg)
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		tb.Fatalf("etcdtest: new client: %v", err)
	}
	tb.Cleanup(func() {
		// A client whose context has ended says so here; a test that closed it already is fine.
		_ = client.Close()
	})
	return client
}

// leader returns the index of the endpoint whose member leads, once there is one.
func leader(tb testing.TB, endpoints []string) int {
	tb.Helper()
	clients := make([]*clientv3.Client, len(endpoints))
	for i, endpoint := range endpoints {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
		if err != nil {
			tb.Fatalf("etcdtest: new client: %v", err)
		}
		defer func() { _ = client.Close() }()
		clients[i] = client
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaderTimeout)
	defer cancel()
	poll := time.NewTicker(leaderPoll)
	defer poll.Stop()
	for {
		if i := askLeader(ctx, clients); i >= 0 {
			return i
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			tb.Fatalf("etcdtest: no leader after %v", leaderTimeout)
		}
	}
}

// askLeader asks all members at once and believes the one with the highest term.
func askLeader(ctx context.Context, clients []*clientv3.Client) int {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	statuses := make([]*clientv3.StatusResponse, len(clients))
	var asking sync.WaitGroup
	for i, client := range clients {
		asking.Go(func() {
			if status, err := client.Status(ctx, client.Endpoints()[0]); err == nil {
				statuses[i] = status
			}
		})
	}
	asking.Wait()
	leads, term := -1, uint64(0)
	for i, status := range statuses {
		if status != nil && status.Leader == status.Header.MemberId && status.RaftTerm > term {
			leads, term = i, status.RaftTerm
		}
	}
	return leads
}
