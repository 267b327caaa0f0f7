package etcdstore

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tenure-go/tenure/internal/metrics"
)

// What becomes of claims and checkpoints, as labels.
const (
	outcomeWon           = "won"
	outcomeLost          = "lost"
	outcomeDurable       = "durable"
	outcomeOwnershipLost = "ownership_lost"
	outcomeConflict      = "conflict"
	outcomeUnknown       = "unknown"
	outcomeFailed        = "failed"
)

// meters are what a store counts. Those that each claim and checkpoint passes are there by their labels, so that
// counting is an addition.
type meters struct {
	claims, checkpoints, resyncs *prometheus.CounterVec

	won, lost, unclaimed prometheus.Counter
	durable, folded      prometheus.Counter

	latency, batch prometheus.Observer
	all            metrics.Set
}

func newMeters() meters {
	m := meters{
		claims: metrics.Counters("tenure_claims_total",
			"Claims of partitions by outcome; failed is an error, with which a claim may have been won.",
			"outcome", outcomeWon, outcomeLost, outcomeFailed),
		checkpoints: metrics.Counters("tenure_checkpoints_total",
			"Checkpoints by outcome; ownership_lost and conflict were rejected by etcd, unknown may have been written.",
			"outcome", outcomeDurable, outcomeOwnershipLost, outcomeConflict, outcomeUnknown, outcomeFailed),
		folded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tenure_checkpoints_folded_total",
			Help: "Checkpoints that were covered by a newer one of the same partition and so not written themselves.",
		}),
		resyncs: metrics.Counters("tenure_watch_resyncs_total",
			"Times that records were listed again: lost with the watch, periodic to make good for events that etcd lost.",
			"reason", resyncLost, resyncPeriodic),
	}
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "tenure_checkpoint_duration_seconds", Buckets: metrics.Requests(),
		Help: "How long checkpoints took from the call until they were known to be durable.",
	})
	batch := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "tenure_checkpoint_batch_partitions", Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		Help: "How many partitions' checkpoints went to etcd in one transaction.",
	})
	m.won, m.lost = m.claims.WithLabelValues(outcomeWon), m.claims.WithLabelValues(outcomeLost)
	m.unclaimed = m.claims.WithLabelValues(outcomeFailed)
	m.durable = m.checkpoints.WithLabelValues(outcomeDurable)
	m.latency, m.batch = latency, batch
	m.all = metrics.Set{m.claims, m.checkpoints, m.folded, m.resyncs, latency, batch}
	return m
}

// countCheckpoint counts a checkpoint that was begun then.
func (m *meters) countCheckpoint(began time.Time, err error) {
	outcome := outcomeFailed
	switch {
	case err == nil:
		m.durable.Inc()
		m.latency.Observe(time.Since(began).Seconds())
		return
	case errors.Is(err, ErrOutcomeUnknown):
		outcome = outcomeUnknown
	case errors.Is(err, ErrOwnershipLost):
		outcome = outcomeOwnershipLost
	case errors.Is(err, ErrCheckpointConflict):
		outcome = outcomeConflict
	}
	m.checkpoints.WithLabelValues(outcome).Inc()
}

// Metrics returns the Prometheus metrics of the store and of its keeper, to be registered; docs/operations.md describes
// them. They are the same for each store: where a process has several, prometheus.WrapRegistererWith tells them apart
// by a label. The metrics of a balancer's member include those of its store.
func (s *Store) Metrics() prometheus.Collector { //nolint:ireturn // It is what registries take.
	owned := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tenure_partitions_owned", Help: "Partitions that this process owns.",
	}, func() float64 { return float64(len(s.held())) })
	all := append(metrics.Set{owned}, s.meters.all...)
	if s.keeper != nil {
		all = append(all, s.keeper.Metrics())
	}
	return all
}
