package member

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// Run works as a member until the process gets SIGTERM, and then leaves the group.
func Run(config Config) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log, err := zap.NewProduction(zap.Fields(zap.Int64("boot_time", int64(Now()))))
	if err != nil {
		return fmt.Errorf("make a logger: %w", err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: config.Endpoints, Logger: zap.NewNop()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	keeper, err := lease.NewKeeper(ctx, client, &lease.Options{TTL: config.TTL, Logger: log})
	if err != nil {
		return err
	}
	store, err := etcdstore.New(client, keeper, &etcdstore.Options{Logger: log})
	if err != nil {
		return err
	}
	group, err := etcdstore.ParseGroup(config.Group)
	if err != nil {
		return err
	}
	reporter := newReporter()
	source := func(context.Context) ([]string, error) { return PartitionIDs(config.Partitions), nil }
	m, err := balancer.New(store, group, source, handler(&config, reporter), &balancer.Options{
		OwnerID: config.OwnerID, Weight: config.Weight, Events: reporter.events(), Logger: log,
	})
	if err != nil {
		return err
	}
	return m.Run(ctx)
}
