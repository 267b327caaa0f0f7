//go:build unix

package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sync/errgroup"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// TestTrustEndsBeforeTheKeyWhenAPausedLeaderAnswers is what the read is for: a leader that was paused and resumed
// answers renewals before it learns of its successor, which lets the lease run out all the same. The keepers talk to
// that leader only, and soon after it resumed, when it has answered, the network goes silent, so that nothing
// corrects them. Some pauses are shorter than trust lasts, so that a paused leader's answer would extend it; some are
// longer than the TTL.
func TestTrustEndsBeforeTheKeyWhenAPausedLeaderAnswers(t *testing.T) {
	seed := testSeed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	etcd := etcdtest.StartProcesses(t, 3, etcdtest.Defaults, func(cfg *embed.Config) { cfg.ElectionMs = 500 })
	metering, stop := context.WithCancel(t.Context())
	defer stop()
	worst := stallMeter(metering)
	var result leads
	core, logs := observer.New(zapcore.WarnLevel)
	rounds, each := max(2, trials(t)/10), 40
	for round := range rounds {
		paused := etcd.Leader()
		var others []string
		for i, endpoint := range etcd.Endpoints() {
			if i != paused {
				others = append(others, endpoint)
			}
		}
		direct := etcdtest.NewClient(t, others)
		leader, err := url.Parse(etcd.Endpoints()[paused])
		require.NoError(t, err)
		ttl, pausedFor := 5*time.Second, 3700*time.Millisecond
		if round%2 == 1 {
			ttl, pausedFor = 3*time.Second, 6*time.Second
		}
		resumed := make(chan struct{})
		var group errgroup.Group
		for i := range each {
			silence := time.Duration(random.IntN(300)) * time.Millisecond
			group.Go(func() error {
				key := fmt.Sprintf("trial/%d/%d", round, i)
				lead, err := pausedLeaderTrial(t, direct, leader.Host, key, ttl, zap.New(core), resumed, silence)
				if err == nil {
					result.add(lead)
				}
				return err
			})
		}
		pause(t.Context(), ttl/2+part(random, ttl/renewPart)) // all have been renewed
		etcd.Pause(paused)
		pause(t.Context(), pausedFor)
		etcd.Resume(paused)
		close(resumed)
		require.NoError(t, group.Wait())
	}
	stop()
	stalled := worst()
	t.Logf("timers were up to %v late", stalled)
	t.Logf("paused leader: %v", &result)
	t.Logf("%d renewals were refused because the leader had changed", logs.FilterMessage("a lease renewal failed").
		Filter(func(entry observer.LoggedEntry) bool {
			err, _ := entry.ContextMap()["error"].(string)
			return err == errLeaderMoved.Error()
		}).Len())
	result.requireEarly(t, rounds*each, stalled)
}

func pausedLeaderTrial(
	t *testing.T, direct *clientv3.Client, leader, key string, ttl time.Duration, log *zap.Logger,
	resumed <-chan struct{}, silence time.Duration,
) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), trialPatience)
	defer cancel()
	p := faultproxy.New(t, leader)
	defer p.Close()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{p.Addr()}, Logger: zap.NewNop()})
	if err != nil {
		return 0, err
	}
	defer func() { _ = client.Close() }()
	k, err := NewKeeper(ctx, client, &Options{TTL: ttl, Logger: log})
	if err != nil {
		return 0, err
	}
	defer func() {
		p.Heal(faultproxy.DropHeld)
		_ = k.Close(ctx) // whether the lease could be revoked is not what is tried here
	}()
	if _, err := k.Attach(keepOldLease); err != nil {
		return 0, err
	}
	term, err := k.Term(ctx)
	if err != nil {
		return 0, err
	}
	var group errgroup.Group
	group.Go(func() error {
		<-resumed
		pause(ctx, silence)
		p.Silence()
		return nil
	})
	w := watched{name: "keeper", id: term.ID(), done: term.Done()}
	lead, err := w.lead(ctx, direct, key)
	_ = group.Wait()
	return lead, err
}

func TestTermOutlivesALeaderChange(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	client := cluster.Client(t)
	k := startKeeper(t, client, 5*time.Second)
	term := requireTerm(t, k)
	putKey(t, client, term, "key")
	for range 2 {
		leader := cluster.Leader()
		cluster.Member(leader).Stop()
		requireRenewed(t, term)
		requireKey(t, client, true)
		cluster.Member(leader).Restart()
	}
}
