package balancer

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/metrics"
)

// meters are what a member counts.
type meters struct {
	plans, failures, givenUp *prometheus.CounterVec

	lost            prometheus.Counter
	drains, handoff prometheus.Histogram
}

// Why partitions are given up and handlers fail, as labels.
const (
	givenUpMoves  = "planned"
	givenUpLeaves = "leaving"

	failedError   = "error"
	failedStalled = "stalled"
	failedCorrupt = "corrupt_checkpoint"
	failedUnknown = "unknown_partition"
)

func newMeters() meters {
	return meters{
		plans: metrics.Counters("tenure_plans_total",
			"Plans that gave this member something to claim or to give up, by what had changed.",
			"reason", changeKinds()...),
		givenUp: metrics.Counters("tenure_partitions_given_up_total",
			"Partitions that this member began to give up: planned for another member, or leaving the group.",
			"reason", givenUpMoves, givenUpLeaves),
		failures: metrics.Counters("tenure_handler_failures_total",
			"Handlers that failed and are started again.",
			"reason", failedError, failedStalled, failedCorrupt, failedUnknown),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tenure_partitions_lost_total",
			Help: "Partitions that were taken from this member: with its lease, by hand, or by another owner.",
		}),
		drains: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tenure_partition_drain_duration_seconds", Buckets: metrics.Moves(),
			Help: "How long handlers took to finish when their partition was given up.",
		}),
		handoff: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tenure_partition_handoff_duration_seconds", Buckets: metrics.Moves(),
			Help: "How long partitions that this member took had been without an owner, since it saw that.",
		}),
	}
}

func (m *meters) countFailure(err error) {
	reason := failedError
	switch {
	case errors.Is(err, ErrStalled):
		reason = failedStalled
	case errors.Is(err, etcdstore.ErrCorruptRecord):
		reason = failedCorrupt
	case errors.Is(err, errUnknownPartition):
		reason = failedUnknown
	}
	m.failures.WithLabelValues(reason).Inc()
}

// Metrics returns the Prometheus metrics of the member, of its store and of its keeper, to be registered; see
// docs/operations.md for what they are. All have the label group. Where a process has several members of one group,
// prometheus.WrapRegistererWith tells them apart by another one.
//
// Once it was called, [Options.Lag] is asked.
func (m *Member) Metrics() prometheus.Collector { //nolint:ireturn // It is what registries take.
	m.measured.Store(true)
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tenure_member_ready", Help: "1 if the member has joined its group and its lease can be trusted.",
	}, func() float64 {
		if m.Ready() != nil {
			return 0
		}
		return 1
	})
	return prometheus.WrapCollectorWith(prometheus.Labels{"group": m.group.String()}, metrics.Set{
		ready, m.meters.plans, m.meters.givenUp, m.meters.failures, m.meters.lost, m.meters.drains, m.meters.handoff,
		newPartitionMetrics(m), m.store.Metrics(),
	})
}

// partitionMetrics are those that tell how things stand with the member's partitions when they are collected.
type partitionMetrics struct {
	member                       *Member
	phases, overdue, age, lag    *prometheus.Desc
	members, partitions, unowned *prometheus.Desc
}

func newPartitionMetrics(m *Member) *partitionMetrics {
	return &partitionMetrics{
		member: m,
		phases: prometheus.NewDesc("tenure_partitions",
			"This member's partitions by where they stand: docs/operations.md tells the phases.", []string{"phase"}, nil),
		overdue: prometheus.NewDesc("tenure_handlers_overdue",
			"Handlers that have not returned although their context has ended.", nil, nil),
		age: prometheus.NewDesc("tenure_partition_checkpoint_age_seconds",
			"How long ago the partition's handler wrote a checkpoint, or began.", []string{"partition"}, nil),
		lag: prometheus.NewDesc("tenure_partition_lag_events",
			"Events of the partition after its checkpoint, as the stream told within the last half minute.",
			[]string{"partition"}, nil),
		members: prometheus.NewDesc("tenure_group_members",
			"Members of the group, as this one knows it.", nil, nil),
		partitions: prometheus.NewDesc("tenure_group_partitions",
			"Partitions of the group, as this member knows it.", nil, nil),
		unowned: prometheus.NewDesc("tenure_group_partitions_unowned",
			"Partitions of the group that nobody owns although they are not paused, as this member knows it.", nil, nil),
	}
}

func (c *partitionMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- c.phases
	to <- c.overdue
	to <- c.age
	to <- c.lag
	to <- c.members
	to <- c.partitions
	to <- c.unowned
}

// collectWithin bounds how long a member that is busy may keep a scrape waiting.
const collectWithin = time.Second

func (c *partitionMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectWithin)
	defer cancel()
	state, err := c.member.ask(ctx)
	if err != nil {
		return // it is not at work, and owns nothing; or it is stuck, which Alive tells
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for phase := claiming; phase <= releasing; phase++ {
		gauge(c.phases, float64(state.phases[phase]), phase.String())
	}
	gauge(c.overdue, float64(state.overdue))
	gauge(c.members, float64(state.members))
	gauge(c.partitions, float64(state.partitions))
	gauge(c.unowned, float64(state.unowned))
	for _, p := range state.handled {
		last, _ := p.progress()
		gauge(c.age, time.Since(last).Seconds(), p.ID())
		if lag := p.lag.Load(); lag >= 0 {
			gauge(c.lag, float64(lag), p.ID())
		}
	}
}
