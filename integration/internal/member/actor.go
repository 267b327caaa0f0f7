package member

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/clock"
	"github.com/tenure-go/tenure/lease"
)

// Stage is what a member or a caller works on.
type Stage struct {
	Client *clientv3.Client
	Logger *zap.Logger
	Now    func() time.Duration // dates reports
	Clock  clock.Clock          // by which the lease is trusted, but for what the config does to it
	Report func(Report)
	Orders <-chan string // see [Process.Tell]; nil for none
	Seed   uint64        // of what is done at random
}

// actor is who works there.
type actor struct {
	Stage

	config  *Config
	group   etcdstore.Group
	stepped atomic.Int64  // by how much the clock was set forward, in nanoseconds
	rests   chan struct{} // closed when there are no more events
	rest    func()

	mu     sync.Mutex
	random *rand.Rand
}

// Play works on a stage until ctx ends, and then leaves the group.
func Play(parent context.Context, config *Config, stage *Stage) error {
	ctx, stop := context.WithCancelCause(context.WithoutCancel(parent))
	defer stop(nil)
	defer context.AfterFunc(parent, func() { stop(errTold) })()
	group, err := etcdstore.ParseGroup(config.Group)
	if err != nil {
		return err
	}
	a := &actor{
		Stage: *stage, config: config, group: group, rests: make(chan struct{}),
		random: rand.New(rand.NewPCG(stage.Seed, 0)),
	}
	a.rest = sync.OnceFunc(func() { close(a.rests) })
	obeying, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	go a.obey(obeying)
	keeper, err := lease.NewKeeper(clock.With(ctx, a.clock()), a.Client, &lease.Options{TTL: config.TTL, Logger: a.Logger})
	if ctx.Err() != nil && err != nil {
		return nil // told to stop before it began
	}
	if err != nil {
		return err
	}
	store, err := etcdstore.New(a.Client, keeper, &etcdstore.Options{Logger: a.Logger})
	if err != nil {
		return err
	}
	if config.Callers > 0 {
		a.call(ctx, store)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
		defer cancel()
		return keeper.Close(last)
	}
	reportTransactions(a)
	source := func(context.Context) ([]string, error) { return PartitionIDs(config.Partitions), nil }
	member, err := balancer.New(store, group, source, a.handler, &balancer.Options{
		OwnerID: config.OwnerID, Weight: config.Weight, Grace: config.Grace, DrainTimeout: config.DrainTimeout,
		Events: a.events(), Logger: a.Logger,
	})
	if err != nil {
		return err
	}
	return member.Run(ctx)
}

// chance returns a number below n.
func (a *actor) chance(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.random.IntN(n)
}

// report reports what happens now, unless it is dated.
func (a *actor) report(r Report) {
	if r.At == 0 {
		r.At = a.Now()
	}
	a.Report(r)
}

// clock returns the clock by which the lease is trusted. It may be wrong: it runs at a rate, and can be set forward.
func (a *actor) clock() clock.Clock {
	right, rate := a.Clock, a.config.clockRate()
	began := right()
	return func() time.Duration {
		passed := time.Duration(math.Round(float64(right()-began) * rate))
		return began + passed + time.Duration(a.stepped.Load())
	}
}

// obey takes orders.
func (a *actor) obey(ctx context.Context) {
	for {
		var order string
		select {
		case order = <-a.Orders:
		case <-ctx.Done():
			return
		}
		by, step := strings.CutPrefix(order, StepClock)
		switch {
		case order == Rest:
			a.rest()
		case order == TellVitals:
			a.report(vitals())
		case step:
			if d, err := time.ParseDuration(by); err == nil {
				a.stepped.Add(int64(d))
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
func (a *actor) read(ctx context.Context, partition string) (int64, error) {
	got, err := a.Client.Get(ctx, "/tenure/v1/"+a.config.Group+"/checkpoint/"+partition)
	if err != nil || len(got.Kvs) == 0 {
		return -1, err
	}
	var record struct {
		SequenceNumber int64 `json:"sequence_number"`
	}
	err = json.Unmarshal(got.Kvs[0].Value, &record)
	return record.SequenceNumber, err
}
