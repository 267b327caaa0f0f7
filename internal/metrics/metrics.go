// Package metrics holds what the packages' Prometheus metrics have in common.
package metrics

import "github.com/prometheus/client_golang/prometheus"

// Set is collectors that are registered together.
type Set []prometheus.Collector

// Describe describes them all.
func (s Set) Describe(to chan<- *prometheus.Desc) {
	for _, c := range s {
		c.Describe(to)
	}
}

// Collect collects them all.
func (s Set) Collect(to chan<- prometheus.Metric) {
	for _, c := range s {
		c.Collect(to)
	}
}

// Counters returns a counter for each value of a label, which are all there from the start: a rate is of no use where
// the first event makes the series.
func Counters(name, help, label string, values ...string) *prometheus.CounterVec {
	counters := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	for _, value := range values {
		counters.WithLabelValues(value)
	}
	return counters
}

// Requests are the buckets of what takes etcd a round trip or a few: 1 ms to 8 s.
func Requests() []float64 { return prometheus.ExponentialBuckets(0.001, 2, 14) }

// Moves are the buckets of what takes a partition to move: 10 ms to 82 s.
func Moves() []float64 { return prometheus.ExponentialBuckets(0.01, 2, 14) }
