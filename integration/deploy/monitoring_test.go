package deploy

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// served is the metrics that a real process serves, by name, with the labels that they have.
type served map[string][]string

// serve runs a member that handles a file, and returns what it serves.
func serve(t *testing.T) served {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "a"), []byte("one\n"), 0o600))
	command := exec.Command(build(t), "consume", "--source", "files:"+folder, "--group", "orders/billing",
		"--endpoints", strings.Join(etcdtest.Start(t).Endpoints(), ","), "--metrics-addr", "127.0.0.1:0", "--log-format", "json")
	log, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		require.NoError(t, command.Wait())
	})
	var address string
	lines := bufio.NewScanner(log)
	for address == "" && lines.Scan() {
		var line struct{ Address string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
		address = line.Address
	}
	require.NotEmpty(t, address, "the log tells where metrics are")
	go func() { _, _ = io.Copy(io.Discard, log) }()

	var families map[string]*dto.MetricFamily
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + address + "/metrics")
		require.NoError(t, err)
		defer response.Body.Close() //nolint:errcheck // It was only read.
		text := expfmt.NewTextParser(model.UTF8Validation)
		families, err = text.TextToMetricFamilies(response.Body)
		require.NoError(t, err)
		return families["tenure_partition_lag_events"] != nil // the last to come
	}, time.Minute, 100*time.Millisecond)

	found := make(served)
	for name, family := range families {
		if !strings.HasPrefix(name, "tenure_") {
			continue
		}
		var names []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			names = append(names, pair.GetName())
		}
		if family.GetType() == dto.MetricType_HISTOGRAM {
			found[name+"_bucket"] = append(slices.Clone(names), "le")
			found[name+"_sum"], found[name+"_count"] = names, names
		}
		found[name] = names
	}
	return found
}

// requireKnown checks that an expression asks for metrics and labels that there are.
func (s served) requireKnown(t *testing.T, where, expression string) {
	t.Helper()
	expression = strings.NewReplacer("$__rate_interval", "5m", "$group", ".*").Replace(expression)
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	require.NoError(t, err, where)
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			require.Contains(t, s, n.Name, where)
			for _, matcher := range n.LabelMatchers {
				if matcher.Name != labels.MetricName {
					require.Contains(t, s[n.Name], matcher.Name, where)
				}
			}
		case *parser.AggregateExpr:
			metric := selected(n.Expr)
			for _, by := range n.Grouping {
				if by != "instance" { // which Prometheus adds
					require.Contains(t, s[metric], by, "%s: by %s", where, by)
				}
			}
		}
		return nil
	})
}

// selected returns the metric that an expression is about.
func selected(expression parser.Expr) (name string) {
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if selector, is := node.(*parser.VectorSelector); is {
			name = selector.Name
		}
		return nil
	})
	return name
}

// documented is a line of the table of metrics.
var documented = regexp.MustCompile("(?m)^\\| `(tenure_[a-z_]+)` \\| ([^|]*) \\|([^|]*)\\|")

// Dashboard, alerts and documentation name the metrics that a process serves.
func TestMetricsAreKnownByTheirNames(t *testing.T) {
	s := serve(t)

	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	text, err := os.ReadFile("../../deploy/grafana/tenure.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &dashboard))
	require.NotEmpty(t, dashboard.Panels)
	for _, panel := range dashboard.Panels {
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			s.requireKnown(t, "panel "+panel.Title, target.Expr)
			require.NotEmpty(t, target.LegendFormat, panel.Title)
		}
	}

	text, err = os.ReadFile("../../deploy/prometheus/alerts.yaml")
	require.NoError(t, err)
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}),
		slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	require.NotEmpty(t, groups.Groups[0].Rules)
	for _, rule := range groups.Groups[0].Rules {
		s.requireKnown(t, "alert "+rule.Alert, rule.Expr)
	}

	text, err = os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	var told []string
	for _, line := range documented.FindAllStringSubmatch(string(text), -1) {
		told = append(told, line[1])
		var labels []string
		for label := range strings.FieldsFuncSeq(line[3], func(r rune) bool { return r == ',' || r == ' ' || r == '`' }) {
			labels = append(labels, label)
		}
		require.ElementsMatch(t, append(labels, "group"), s[line[1]], line[1])
	}
	var names []string
	for name := range s {
		if slices.Contains(s[name], "le") {
			name = strings.TrimSuffix(name, "_bucket")
		} else if s[strings.TrimSuffix(name, "_sum")+"_bucket"] != nil || s[strings.TrimSuffix(name, "_count")+"_bucket"] != nil {
			continue
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.Sort(told)
	require.Equal(t, names, told, "docs/operations.md tells of each metric")
}
