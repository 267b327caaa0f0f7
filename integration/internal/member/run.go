package member

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/clock"
	"github.com/tenure-go/tenure/lease"
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

// actor is what this process does.
type actor struct {
	config   *Config
	reporter *reporter
	client   *clientv3.Client
	group    etcdstore.Group
	stepped  atomic.Int64  // by how much the clock was set forward, in nanoseconds
	rests    chan struct{} // closed when there are no more events
	rest     func()
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
	group, err := etcdstore.ParseGroup(config.Group)
	if err != nil {
		return err
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
	m := &actor{
		config: config, reporter: newReporter(config.Quiet), client: client, group: group, rests: make(chan struct{}),
	}
	m.rest = sync.OnceFunc(func() { close(m.rests) })
	defer m.reporter.flush()
	go m.obey()
	keeper, err := lease.NewKeeper(clock.With(ctx, m.clock()), client, &lease.Options{TTL: config.TTL, Logger: log})
	if err != nil {
		return err
	}
	store, err := etcdstore.New(client, keeper, &etcdstore.Options{Logger: log})
	if err != nil {
		return err
	}
	if config.Callers > 0 {
		return errors.Join(m.call(ctx, store), keeper.Close(context.Background()))
	}
	source := func(context.Context) ([]string, error) { return PartitionIDs(config.Partitions), nil }
	member, err := balancer.New(store, group, source, m.handler, &balancer.Options{
		OwnerID: config.OwnerID, Weight: config.Weight, Grace: config.Grace, DrainTimeout: config.DrainTimeout,
		Events: m.reporter.events(), Logger: log,
	})
	if err != nil {
		return err
	}
	return member.Run(ctx)
}

// clock returns the clock by which the lease is trusted. It may be wrong: it runs at a rate, and can be set forward.
func (m *actor) clock() clock.Clock {
	right, rate := clock.Boot(), m.config.clockRate()
	began := right()
	return func() time.Duration {
		passed := time.Duration(math.Round(float64(right()-began) * rate))
		return began + passed + time.Duration(m.stepped.Load())
	}
}

// obey takes the orders of whoever started the process.
func (m *actor) obey() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		order := lines.Text()
		by, step := strings.CutPrefix(order, StepClock)
		switch {
		case order == Rest:
			m.rest()
		case order == TellVitals:
			m.reporter.report(vitals())
		case step:
			if d, err := time.ParseDuration(by); err == nil {
				m.stepped.Add(int64(d))
			}
		}
	}
}

func vitals() Report {
	runtime.GC()
	runtime.GC() // what the first one had finalized
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return Report{Kind: Vitals, Goroutines: runtime.NumGoroutine(), Heap: memory.HeapAlloc}
}

// read reads the number of a partition's checkpoint from etcd, without the code under test: -1 if there is none.
func (m *actor) read(ctx context.Context, partition string) (int64, error) {
	got, err := m.client.Get(ctx, "/tenure/v1/"+m.config.Group+"/checkpoint/"+partition)
	if err != nil || len(got.Kvs) == 0 {
		return -1, err
	}
	var record struct {
		SequenceNumber int64 `json:"sequence_number"`
	}
	err = json.Unmarshal(got.Kvs[0].Value, &record)
	return record.SequenceNumber, err
}
