package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// Run works as a member until the process gets SIGTERM, then leaves the group and exits, if [Start] started this
// process; otherwise it returns at once.
func Run() {
	encoded := os.Getenv(configEnv)
	if encoded == "" {
		return
	}
	var config Config
	err := json.Unmarshal([]byte(encoded), &config)
	if err == nil {
		err = run(&config)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(config *Config) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logging := zap.NewProductionConfig()
	logging.Sampling = nil // every partition counts
	if config.Quiet {
		logging.Level.SetLevel(zap.WarnLevel)
	}
	log, err := logging.Build()
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
	reporter := newReporter(config.Quiet)
	source := func(context.Context) ([]string, error) { return PartitionIDs(config.Partitions), nil }
	m, err := balancer.New(store, group, source, handler(config, reporter), &balancer.Options{
		OwnerID: config.OwnerID, Weight: config.Weight, Grace: config.Grace, Events: reporter.events(), Logger: log,
	})
	if err != nil {
		return err
	}
	defer reporter.flush()
	return m.Run(ctx)
}
