package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

const (
	trialsEnv     = "TENURE_LEASE_TRIALS"
	defaultTrials = 20

	// trialsAtOnce keeps the machine idle enough for its timestamps to mean something.
	trialsAtOnce = 100

	trialPatience = 2 * time.Minute
)

func trials(t *testing.T) int {
	t.Helper()
	given := os.Getenv(trialsEnv)
	if given == "" {
		return defaultTrials
	}
	n, err := strconv.Atoi(given)
	require.NoError(t, err)
	return n
}

// testSeed returns the seed of a randomised test, which it prints and takes back from TENURE_SEED.
func testSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("TENURE_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("TENURE_SEED=%d", seed)
	return seed
}

// watched is what a trial watches: a term of the keeper, or a session of the client library.
type watched struct {
	name string
	id   clientv3.LeaseID
	done <-chan struct{}
}

// lead puts a key on the lease and returns how long before the key was gone the lease's owner knew. What the network
// between the two does is up to the caller.
func (w *watched) lead(ctx context.Context, direct *clientv3.Client, key string) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	put, err := direct.Put(ctx, key, "", clientv3.WithLease(w.id))
	if err != nil {
		return 0, fmt.Errorf("%s: put: %w", w.name, err)
	}
	events := direct.Watch(ctx, key, clientv3.WithRev(put.Header.Revision+1))
	var known, gone time.Time
	done := w.done
	for known.IsZero() || gone.IsZero() {
		select {
		case <-done:
			known, done = time.Now(), nil
		case event := <-events:
			if event.Err() != nil || len(event.Events) == 0 {
				return 0, fmt.Errorf("%s: watch: %w", w.name, event.Err())
			}
			gone, events = time.Now(), nil
		case <-ctx.Done():
			return 0, fmt.Errorf("%s: known %v, gone %v: %w", w.name, known, gone, ctx.Err())
		}
	}
	return gone.Sub(known), nil
}

// stallMeter measures how late this process's timers are, for want of processors. What is known that much too late is
// not the keeper's fault.
func stallMeter(ctx context.Context) (worst func() time.Duration) {
	const tick = 5 * time.Millisecond
	measured := make(chan time.Duration, 1)
	go func() {
		var worst time.Duration
		for ctx.Err() == nil {
			start := time.Now()
			pause(ctx, tick)
			worst = max(worst, time.Since(start)-tick)
		}
		measured <- worst
	}()
	return func() time.Duration { return <-measured }
}

// keepOldLease is a holder that never has taken over, so that the keeper leaves a lost lease to run out.
var keepOldLease = &fakeHolder{takeOver: func(ctx context.Context, _ *Term, _ error) error {
	<-ctx.Done()
	return ctx.Err()
}}

// leads collects trials' results.
type leads struct {
	mu       sync.Mutex
	n, late  int
	smallest time.Duration
}

// requireEarly fails if one of n was late by more than the machine stalled.
func (l *leads) requireEarly(t *testing.T, n int, stalled time.Duration) {
	t.Helper()
	require.Equal(t, n, l.n)
	require.Positive(t, l.smallest+stalled)
}

func (l *leads) add(lead time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 || lead < l.smallest {
		l.smallest = lead
	}
	l.n++
	if lead < 0 {
		l.late++
	}
}

func (l *leads) String() string {
	return fmt.Sprintf("smallest lead %v, late %d of %d", l.smallest.Round(time.Millisecond), l.late, l.n)
}

// fault is what a network does to one trial until its lease is lost for good. ended ends when the term has.
type fault func(ended context.Context, random *rand.Rand, p *faultproxy.Proxy, ttl time.Duration)

func pause(ended context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended.Done():
	}
}

func part(random *rand.Rand, ttl time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(ttl)))
}

var faults = map[string]fault{
	"silent": func(_ context.Context, _ *rand.Rand, p *faultproxy.Proxy, _ time.Duration) {
		p.Silence()
	},
	"slow": func(ended context.Context, random *rand.Rand, p *faultproxy.Proxy, ttl time.Duration) {
		p.Delay(500 * time.Millisecond)
		pause(ended, part(random, ttl))
		p.Silence()
	},
	"reset": func(ended context.Context, random *rand.Rand, p *faultproxy.Proxy, ttl time.Duration) {
		for range 5 {
			p.Reset()
			pause(ended, part(random, ttl/5))
		}
		p.Cut()
	},
	"one way": func(_ context.Context, random *rand.Rand, p *faultproxy.Proxy, _ time.Duration) {
		if random.IntN(2) == 0 {
			p.CutToServer()
		} else {
			p.CutToClient()
		}
	},
	"comes back late": func(ended context.Context, random *rand.Rand, p *faultproxy.Proxy, ttl time.Duration) {
		for range 2 {
			p.Silence()
			pause(ended, ttl/4+part(random, ttl))
			p.Heal(faultproxy.DeliverHeld)
			pause(ended, part(random, ttl/4))
		}
		p.Silence()
	},
}

// TestDoneClosesBeforeTheKeyIsGone breaks the network between a keeper and etcd in every way while a second client,
// whose network is sound, watches a key on the keeper's lease. The client library's session goes through the same for
// comparison.
func TestDoneClosesBeforeTheKeyIsGone(t *testing.T) {
	seed := testSeed(t)
	cluster := etcdtest.Start(t, etcdtest.Defaults, func(cfg *embed.Config) { cfg.UnsafeNoFsync = true })
	direct := cluster.Client(t)
	n := trials(t)
	results := map[string]*[2]leads{}
	for name := range faults {
		results[name] = &[2]leads{}
	}
	metering, stop := context.WithCancel(t.Context())
	defer stop()
	worst := stallMeter(metering)
	var group errgroup.Group
	group.SetLimit(trialsAtOnce)
	stream := uint64(0)
	for trial := range n {
		for name, fault := range faults {
			stream++ // maps have no order; which network gets which numbers need not be the same again
			random := rand.New(rand.NewPCG(seed, stream))
			result := results[name]
			ttl := time.Duration(2+trial%4) * time.Second
			key := fmt.Sprintf("trial/%s/%d", name, trial)
			group.Go(func() error {
				err := runTrial(t, cluster.Member(0).Address(), direct, key, ttl, random, fault, result)
				if err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				return nil
			})
		}
	}
	require.NoError(t, group.Wait())
	stop()
	stalled := worst()
	t.Logf("timers were up to %v late", stalled)
	for name, result := range results {
		t.Logf("%-16s keeper: %v; concurrency.Session: %v", name, &result[0], &result[1])
	}
	for _, result := range results {
		result[0].requireEarly(t, n, stalled)
	}
}

func runTrial(
	t *testing.T, target string, direct *clientv3.Client, key string, ttl time.Duration, random *rand.Rand,
	fault fault, results *[2]leads,
) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), trialPatience)
	defer cancel()
	p := faultproxy.New(t, target)
	defer p.Close()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{p.Addr()}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	k, err := NewKeeper(ctx, client, &Options{TTL: ttl})
	if err != nil {
		return err
	}
	defer func() {
		p.Heal(faultproxy.DropHeld)
		_ = k.Close(ctx) // whether the lease could be revoked is not what is tried here
	}()
	if _, err := k.Attach(keepOldLease); err != nil {
		return err
	}
	term, err := k.Term(ctx)
	if err != nil {
		return err
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(int(ttl/time.Second)))
	if err != nil {
		return err
	}
	defer session.Orphan()

	ended, end := context.WithCancel(ctx)
	defer end()
	var group errgroup.Group
	group.Go(func() error {
		defer end()
		w := watched{name: "keeper", id: term.ID(), done: term.Done()}
		lead, err := w.lead(ctx, direct, key+"/keeper")
		if err == nil {
			results[0].add(lead)
		}
		return err
	})
	group.Go(func() error {
		w := watched{name: "session", id: session.Lease(), done: session.Done()}
		lead, err := w.lead(ctx, direct, key+"/session")
		if err == nil {
			results[1].add(lead)
		}
		return err
	})
	group.Go(func() error {
		pause(ctx, part(random, ttl)) // somewhere between two renewals
		fault(ended, random, p, ttl)
		return nil
	})
	return group.Wait()
}
