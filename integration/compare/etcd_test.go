package compare_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// apart is an etcd of one member in a process of its own, so that what members cost can be told from what etcd does.
type apart struct {
	endpoints []string
	client    *clientv3.Client
	store     *etcdstore.Store // claims nothing
}

func newApart(t *testing.T) *apart {
	t.Helper()
	etcd := etcdtest.StartProcesses(t, 1, etcdtest.Defaults)
	a := &apart{endpoints: etcd.Endpoints(), client: etcd.Client(t)}
	var err error
	a.store, err = etcdstore.New(a.client, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.store.Close(t.Context()) })
	return a
}

// metrics are etcd's own at a time, and the time that this process has computed until then.
type metrics struct {
	at       time.Time
	families map[string]*dto.MetricFamily
	ours     float64
}

func (a *apart) metrics(t *testing.T) metrics {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.endpoints[0]+"/metrics", nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	require.NoError(t, err)
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	ours := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	return metrics{at: time.Now(), families: families, ours: ours.Seconds()}
}

// sum adds a metric up over its series, or over those of one gRPC method.
func (m metrics) sum(name, method string) float64 {
	sum := 0.0
	for _, series := range m.families[name].GetMetric() {
		wanted := method == ""
		for _, label := range series.GetLabel() {
			wanted = wanted || label.GetName() == "grpc_method" && label.GetValue() == method
		}
		if wanted {
			sum += series.GetCounter().GetValue() + series.GetGauge().GetValue() + series.GetUntyped().GetValue()
		}
	}
	return sum
}

// since returns how much a metric has grown.
func (m metrics) since(before metrics, name, method string) float64 {
	return m.sum(name, method) - before.sum(name, method)
}
