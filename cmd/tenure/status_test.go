package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/faultproxy"
)

// A process whose etcd is away is not ready, and not to be restarted for it.
func TestProbesWhileEtcdIsAway(t *testing.T) {
	f := newFleet(t, 2)
	away := faultproxy.New(t, strings.TrimPrefix(f.endpoints, "http://"))
	f.endpoints = away.Addr()
	p := f.startPod("a", nil)
	f.awaitBeats(nil)
	require.Equal(t, http.StatusOK, p.probe("healthz"))
	metrics := p.get("metrics")
	require.Contains(t, metrics, `tenure_partitions_owned{group="local/orders/billing"} 2`)
	require.Contains(t, metrics, "go_goroutines")

	away.Cut()
	require.Eventually(t, func() bool { return p.probe("readyz") == http.StatusServiceUnavailable }, time.Minute,
		20*time.Millisecond)
	require.Contains(t, p.get("readyz"), "there is no lease that can be trusted: ")
	require.Equal(t, http.StatusOK, p.probe("healthz"))
	require.Contains(t, p.get("metrics"), `tenure_member_ready{group="local/orders/billing"} 0`)
	away.Heal(faultproxy.DropHeld)
	require.Eventually(t, func() bool { return p.probe("readyz") == http.StatusOK }, time.Minute, 20*time.Millisecond)
	p.term()
}

// get returns what is served at a path.
func (p pod) get(path string) string {
	p.t.Helper()
	response, err := http.Get("http://" + p.address + "/" + path)
	require.NoError(p.t, err)
	defer response.Body.Close() //nolint:errcheck // It was only read.
	text, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	return string(text)
}

func TestTheAddressOfMetricsIsTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // It never got a connection.
	for _, args := range [][]string{
		{"run", "--group", "orders/billing", "--partitions", "1", "--", "sh"},
		{"consume", "--source", "files:" + t.TempDir(), "--group", "orders/billing"},
	} {
		args = append(args[:1:1], append([]string{"--metrics-addr", listener.Addr().String()}, args[1:]...)...)
		command(t, nil, args...).require(t, exitUsage, "--metrics-addr: listen on "+listener.Addr().String(),
			"address already in use", "Give a free address")
	}
}
