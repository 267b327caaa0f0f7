package demo

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
)

const readyLimit = 30 * time.Second

// startEtcd starts an etcd on a free port, for members on this machine, behind the wire. It returns when it can be
// used.
func startEtcd(ctx context.Context, dir, logFile string, w *wire) (*embed.Etcd, error) {
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c := embed.NewConfig()
	c.Name = "tenure-demo"
	c.Dir = dir
	c.ListenClientUrls, c.AdvertiseClientUrls = anyPort, anyPort
	c.ListenPeerUrls, c.AdvertisePeerUrls = anyPort, anyPort
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.UnsafeNoFsync = true // What it holds is thrown away, and a slow disk is not what the demo is about.
	c.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainUnaryInterceptor(w.intercept)}
	c.LogOutputs = []string{logFile}
	c.LogLevel = zapcore.WarnLevel.String()
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("start the embedded etcd: %w", err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err = <-etcd.Err():
		err = fmt.Errorf("the embedded etcd stopped: %w", err)
	case <-time.After(readyLimit):
		err = fmt.Errorf("the embedded etcd was not ready within %v", readyLimit)
	case <-ctx.Done():
		err = ctx.Err()
	}
	etcd.Close()
	return nil, err
}
