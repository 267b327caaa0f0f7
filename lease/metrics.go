package lease

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tenure-go/tenure/internal/metrics"
)

// meters are what a keeper counts.
type meters struct {
	granted  prometheus.Counter
	lost     *prometheus.CounterVec
	renewals prometheus.Histogram
	failures prometheus.Counter
}

func newMeters() meters {
	losses := lossReasons()
	reasons := make([]string, len(losses))
	for i, r := range losses {
		reasons[i] = r.label
	}
	return meters{
		granted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tenure_lease_grants_total", Help: "Leases granted: one at the start, and one for each that was lost.",
		}),
		lost: metrics.Counters("tenure_lease_losses_total",
			"Leases that could no longer be trusted, by what had become of them.", "reason", reasons...),
		renewals: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tenure_lease_renewal_duration_seconds", Buckets: metrics.Requests(),
			Help: "How long confirmed renewals of the lease took, the quorum read that confirms them included.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tenure_lease_renewal_failures_total",
			Help: "Renewals of the lease that failed. The next follows soon, and trust lasts from the last confirmed one.",
		}),
	}
}

// lossReason is a reason for which a term ends, and its label.
type lossReason struct {
	err   error
	label string
}

// lossReasons are all of them, of which the first that matches counts.
func lossReasons() []lossReason {
	return []lossReason{
		{ErrLeaseGone, "lease_gone"},
		{ErrClusterChanged, "cluster_changed"},
		{ErrNoSpace, "no_space"},
		{ErrPermissionDenied, "permission_denied"},
		{ErrNoLeader, "no_leader"},
		{ErrUnreachable, "unreachable"},
	}
}

// countLoss counts the end of a term that had begun.
func (m *meters) countLoss(err error) {
	for _, r := range lossReasons() {
		if errors.Is(err, r.err) {
			m.lost.WithLabelValues(r.label).Inc()
			return
		}
	}
}

// Metrics returns the keeper's Prometheus metrics, to be registered; docs/operations.md describes them. The metrics of
// a store include those of its keeper.
func (k *Keeper) Metrics() prometheus.Collector { //nolint:ireturn // It is what registries take.
	remaining := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tenure_lease_trust_remaining_seconds",
		Help: "For how long the lease can be trusted unless it is renewed. 0 means that no partition is handled.",
	}, func() float64 { return k.remaining().Seconds() })
	return metrics.Set{remaining, k.meters.granted, k.meters.lost, k.meters.renewals, k.meters.failures}
}

// remaining returns how long the current term can be trusted, 0 if there is none.
func (k *Keeper) remaining() time.Duration {
	k.mu.Lock()
	current := k.current
	k.mu.Unlock()
	if current == nil {
		return 0
	}
	return max(0, current.Remaining())
}
