package devetcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap/zapcore"
)

const (
	// DefaultLinger is how long the server stays after its last client has gone, so that commands typed one after the
	// other share one server.
	DefaultLinger = 5 * time.Second

	// serverLockWait outlasts the moments at which clients hold the server lock to see whether a server is there.
	serverLockWait = time.Second

	clientsPoll  = 100 * time.Millisecond
	readyTimeout = time.Minute

	// quota is small beside etcd's 2 GiB because it is a laptop's disk, and large beside what a development fleet
	// keeps, which is compacted every few minutes.
	quota = 512 << 20
)

// Serve runs the folder's etcd until its last client has been gone for the linger or ctx ends. It returns nil at once
// when another server already serves the folder.
func Serve(ctx context.Context, dir string, linger time.Duration) (err error) {
	if !supported {
		return errUnsupported
	}
	f := folder(dir)
	if err := f.create(); err != nil {
		return err
	}
	held := f.serverLock()
	lockCtx, cancel := context.WithTimeout(ctx, serverLockWait)
	defer cancel()
	if locked, err := held.TryLockContext(lockCtx, 10*time.Millisecond); err != nil && lockCtx.Err() == nil {
		return fmt.Errorf("lock the --dev data folder: %w", err)
	} else if !locked {
		return nil
	}
	// Deferred first, so unlocked last: etcd has let go of its data when the next server may start.
	defer func() { err = errors.Join(err, held.Unlock()) }()

	if err := f.checkVersion(version.Version); err != nil {
		return err
	}
	etcd, err := start(f)
	if err != nil {
		return err
	}
	defer etcd.Close()
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		return fmt.Errorf("the embedded etcd stopped: %w", err)
	case <-time.After(readyTimeout):
		return fmt.Errorf("the embedded etcd was not ready within %v", readyTimeout)
	case <-ctx.Done():
		return nil
	}
	if err := f.writeVersion(version.Version); err != nil {
		return err
	}
	err = f.writeAddress(address{
		Endpoint:  "http://" + etcd.Clients[0].Addr().String(),
		ClusterID: uint64(etcd.Server.Cluster().ID()),
		PID:       os.Getpid(),
	})
	if err != nil {
		return err
	}

	clients := f.clientsLock()
	defer func() { err = errors.Join(err, clients.Unlock()) }()
	return untilUnused(ctx, clients, linger, etcd.Err())
}

// untilUnused returns nil holding the clients lock once nobody else has held it for the linger, or when ctx ends.
func untilUnused(ctx context.Context, clients *flock.Flock, linger time.Duration, failed <-chan error) error {
	tick := time.NewTicker(clientsPoll)
	defer tick.Stop()
	lastUsed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("the embedded etcd stopped: %w", err)
		case <-tick.C:
		}
		unused, err := clients.TryLock()
		if err != nil {
			return fmt.Errorf("look for clients: %w", err)
		}
		if !unused {
			lastUsed = time.Now()
			continue
		}
		if time.Since(lastUsed) >= linger {
			return nil
		}
		if err := clients.Unlock(); err != nil {
			return fmt.Errorf("look for clients: %w", err)
		}
	}
}

// start opens the data on the port that it had before, so that clients of a killed server find the next one, or on
// another where that is taken.
func start(f folder) (*embed.Etcd, error) {
	if previous := f.readAddress().Endpoint; previous != "" {
		if at, err := url.Parse(previous); err == nil {
			if etcd, err := embed.StartEtcd(config(f, at)); err == nil {
				return etcd, nil
			}
		}
	}
	etcd, err := embed.StartEtcd(config(f, &url.URL{Scheme: "http", Host: "127.0.0.1:0"}))
	if err != nil {
		return nil, fmt.Errorf("start the embedded etcd: %w", err)
	}
	return etcd, nil
}

func config(f folder, client *url.URL) *embed.Config {
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c := embed.NewConfig()
	c.Name = "tenure-dev"
	c.Dir = f.dataDir()
	c.ListenClientUrls = []url.URL{*client}
	c.AdvertiseClientUrls = []url.URL{*client}
	c.ListenPeerUrls = []url.URL{peer}
	c.AdvertisePeerUrls = []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// Counts only when the data is new: it makes the cluster id this folder's own.
	c.InitialClusterToken = uuid.NewString()
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = "5m"
	c.QuotaBackendBytes = quota
	c.LogOutputs = []string{"stderr"}
	c.LogLevel = zapcore.ErrorLevel.String()
	return c
}
