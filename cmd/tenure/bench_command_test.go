package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/cmd/tenure/internal/benchmark"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// It measures with keys of its own, and leaves none.
func TestAnEtcdIsMeasured(t *testing.T) {
	cluster := etcdtest.Start(t)
	client := cluster.Client(t)
	before, err := client.Put(t.Context(), "/tenure/v1/local/orders/billing/checkpoint/0", `{"sequence_number":1}`)
	require.NoError(t, err)
	args := []string{
		"bench", "--endpoints", cluster.Endpoints()[0], "--ttl", "1s", "--partitions", "70", "--callers", "1,64",
		"--duration", "100ms", "-o", "json",
	}
	r := command(t, nil, args...)
	r.require(t, exitOK, "measuring checkpoints, 64 at a time")
	var result benchmark.Result
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &result))
	require.Equal(t, 70, result.Partitions)
	require.Len(t, result.Checkpoints, 2)
	require.Greater(t, result.Checkpoints[1].PerSecond, result.Checkpoints[0].PerSecond)
	require.Equal(t, result.Checkpoints[1], result.Best())
	require.Positive(t, result.Read.Median)
	require.Positive(t, result.Commit.P99)
	require.GreaterOrEqual(t, result.GrantedTTL, time.Second)
	require.Greater(t, result.Freed, result.GrantedTTL-100*time.Millisecond)

	all, err := client.Get(t.Context(), "", clientv3.WithPrefix())
	require.NoError(t, err)
	require.Len(t, all.Kvs, 1, "what was there before")
	require.Equal(t, before.Header.Revision, all.Kvs[0].ModRevision)
	leases, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Empty(t, leases.Leases)

	r = command(t, nil, append(args[:len(args)-2], "--checkpoint-interval", "2s")...)
	r.require(t, exitOK)
	require.Regexp(t, `(?m)^checkpoint, 64 at a time +[\d,]+ +[\d.]+m?s +[\d.]+m?s$`, r.stdout)
	require.Regexp(t, `carries [\d,]+ checkpoints a second, and so [\d,]+ partitions\nthat are checkpointed every 2s`,
		r.stdout)

	wrong := command(t, nil, "bench", "--callers", "64", "--partitions", "8", "--ttl", "1.5s", "--duration", "0s")
	wrong.require(t, exitUsage, "--callers must be numbers from 1 to --partitions", "--ttl must be whole seconds",
		"--duration must be above 0")
}
