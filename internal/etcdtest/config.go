package etcdtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gofrs/flock"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Option changes a member's configuration before it starts.
type Option func(*embed.Config)

// Defaults gives etcd's own timing (100 ms heartbeats, 1 s elections, so leases of at least 2 s) and fsync.
func Defaults(cfg *embed.Config) {
	defaults := embed.NewConfig()
	cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = defaults.TickMs, defaults.ElectionMs, false
}

// configure returns the configurations of a new cluster of n members.
func configure(tb testing.TB, n int, options []Option) []*embed.Config {
	tb.Helper()
	dir := tb.TempDir()
	cfgs := make([]*embed.Config, n)
	cluster := make([]string, n)
	for i := range cfgs {
		cfg := embed.NewConfig()
		cfg.Name = fmt.Sprintf("member%d", i)
		cfg.Dir = filepath.Join(dir, cfg.Name)
		cfg.InitialClusterToken = filepath.Base(filepath.Dir(dir)) + filepath.Base(dir)
		cfg.ListenClientUrls = freeURL(tb)
		cfg.ListenPeerUrls = freeURL(tb)
		cfg.AdvertiseClientUrls, cfg.AdvertisePeerUrls = cfg.ListenClientUrls, cfg.ListenPeerUrls
		cfg.UnsafeNoFsync = true
		cfg.TickMs, cfg.ElectionMs = 10, 100
		if n > 1 {
			// Faster elections than this are lost to a busy machine's scheduler.
			cfg.TickMs, cfg.ElectionMs = 50, 500
		}
		cfg.EnableGRPCGateway = false
		cfg.BcryptCost = 4
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		cfgs[i] = cfg
	}
	for i, cfg := range cfgs {
		for _, option := range options {
			option(cfg)
		}
		cluster[i] = cfg.Name + "=" + cfg.AdvertisePeerUrls[0].String()
	}
	for _, cfg := range cfgs {
		cfg.InitialCluster = strings.Join(cluster, ",")
	}
	return cfgs
}

// freeURL returns the URL of a port that nobody listens on, and that nobody takes while a member is stopped: it is
// below the ports that outgoing connections get, and other test processes are kept from it by a lock on a file named
// for it.
func freeURL(tb testing.TB) []url.URL {
	tb.Helper()
	locks := filepath.Join(os.TempDir(), "etcdtest-ports")
	if err := os.MkdirAll(locks, 0o700); err != nil {
		tb.Fatalf("etcdtest: reserve a port: %v", err)
	}
	var errs []error
	for range 100 {
		port := strconv.Itoa(10000 + rand.N(22000))
		lock := flock.New(filepath.Join(locks, port))
		if locked, err := lock.TryLock(); !locked {
			errs = append(errs, errors.Join(errors.New("port "+port+" is reserved"), err))
			continue
		}
		address := net.JoinHostPort("127.0.0.1", port)
		listener, err := net.Listen("tcp", address)
		if err != nil {
			errs = append(errs, err, lock.Unlock())
			continue
		}
		tb.Cleanup(func() { _ = lock.Unlock() }) // after the members have stopped; the process's end unlocks it too
		if err := listener.Close(); err != nil {
			tb.Fatalf("etcdtest: free a port: %v", err)
		}
		return []url.URL{{Scheme: "http", Host: address}}
	}
	tb.Fatalf("etcdtest: find a free port: %v", errors.Join(errs...))
	return nil
}
