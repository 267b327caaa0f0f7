package member

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/tenure-go/tenure/internal/clock"
)

// Run works as a member, or as a caller of the store, until the process gets SIGTERM, then leaves the group and exits,
// if [Start] started this process; otherwise it returns at once.
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

// run works as this process was told to.
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
	client, err := clientv3.New(clientv3.Config{
		Endpoints: config.Endpoints, Username: config.User, Password: config.User, Logger: zap.NewNop(),
		DialKeepAliveTime: config.TTL, DialKeepAliveTimeout: config.TTL,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: backoff.DefaultConfig.Multiplier,
				Jitter: backoff.DefaultConfig.Jitter, MaxDelay: time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		})},
	})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	reporter := newReporter(config.Quiet)
	defer reporter.flush()
	orders := make(chan string)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- lines.Text()
		}
	}()
	return Play(ctx, config, &Stage{
		Client: client, Logger: log, Now: Now, Clock: clock.Boot(), Report: reporter.report, Orders: orders,
		Seed: rand.Uint64(),
	})
}
