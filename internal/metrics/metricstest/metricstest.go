// Package metricstest reads metrics in tests.
package metricstest

import (
	"math"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
)

// Read returns what a collector has by name and labels, such as a_total{reason="b"}, in whole numbers; of histograms,
// how many there were, by their name. It checks that names and help texts are as Prometheus wants them.
func Read(tb testing.TB, collector prometheus.Collector) map[string]int {
	tb.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(tb, registry.Register(collector))
	families, err := registry.Gather()
	require.NoError(tb, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(tb, err)
	require.Empty(tb, problems)
	values := make(map[string]int)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := make([]string, len(metric.GetLabel()))
			for i, pair := range metric.GetLabel() {
				labels[i] = pair.GetName() + `="` + pair.GetValue() + `"`
			}
			name := family.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			// Only one of them is there.
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() +
				float64(metric.GetHistogram().GetSampleCount())
			values[name] = int(math.Round(value))
		}
	}
	return values
}
