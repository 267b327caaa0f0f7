package etcdstore

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/backoff"
)

// resyncEvery is how often a feed lists again although its watch runs: etcd has lost watch events in some releases
// (etcd issues 17529, 18089, 19179).
const resyncEvery = 10 * time.Minute

// Why a feed lists again, as labels.
const (
	resyncLost     = "lost"
	resyncPeriodic = "periodic"
)

// feed is what happens in a range of keys: all records at one revision, and then each later revision, whole and in
// order.
type feed struct {
	from, to string
	reset    func(kvs []*mvccpb.KeyValue, revision int64)
	apply    func(events []*clientv3.Event, revision int64)
}

// follow feeds until ctx ends. When the watch is lost, to compaction or to a member without a leader, and every ten
// minutes or so, it lists again. The error is ctx's cause, or one that will not pass.
func (s *Store) follow(ctx context.Context, f feed) error {
	pause := backoff.New(shortestPause, longestPause)
	for {
		resp, err := s.read(ctx, f.from, clientv3.WithRange(f.to))
		if err != nil {
			return err
		}
		f.reset(resp.Kvs, resp.Header.Revision)
		began := time.Now()
		why := resyncPeriodic
		if err := s.watch(ctx, f, resp.Header.Revision+1); err != nil {
			why = resyncLost
			s.log.Warn("lost the watch, listing again", zap.String("from", f.from), zap.Error(err))
		}
		if time.Since(began) > longestPause {
			pause.Reset()
		}
		if pause.Wait(ctx) != nil {
			return context.Cause(ctx)
		}
		s.meters.resyncs.WithLabelValues(why).Inc()
	}
}

// watch feeds what comes from a revision on, until it is time to resync, which is no error, or the watch is lost.
func (s *Store) watch(ctx context.Context, f feed, revision int64) error {
	ctx, cancel := context.WithTimeout(ctx, resyncEvery+backoff.Jitter(resyncEvery/10))
	defer cancel()
	events := s.client.Watch(clientv3.WithRequireLeader(ctx), f.from, clientv3.WithRange(f.to), clientv3.WithRev(revision))
	for resp := range events {
		if err := resp.Err(); err != nil {
			return err
		}
		if len(resp.Events) > 0 {
			// The header may be ahead of the events that have come.
			f.apply(resp.Events, resp.Events[len(resp.Events)-1].Kv.ModRevision)
		}
	}
	return nil
}
