package compare_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/integration/internal/azurite"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// record has the length of a record of Tenure's, for what peers put.
const record = `{"sequence_number":123456,"offset":123456789,"owner_id":"consumer-0",` +
	`"last_modified_time":"2026-01-01T00:00:00.000000000Z","write_id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ-1a"}`

func groupOf(name string) etcdstore.Group {
	return etcdstore.Group{FullyQualifiedNamespace: "bench.example", EventHubName: name, ConsumerGroup: "bench"}
}

func claimsOf(group etcdstore.Group, n int) []etcdstore.Ownership {
	claims := make([]etcdstore.Ownership, n)
	for i := range claims {
		claims[i] = etcdstore.Ownership{Group: group, PartitionID: strconv.Itoa(i), OwnerID: "consumer-0"}
	}
	return claims
}

// world is an etcd with its data synced to disk, and what works on it.
type world struct {
	endpoints []string
	client    *clientv3.Client
	keeper    *lease.Keeper
	store     *etcdstore.Store
	turn      time.Duration // how long callers write in one turn

	blobs      *checkpoints.BlobStore // nil for none
	blobGroups int

	groups    int
	latencies []float64 // of the last turn, sorted
}

func newWorld(t *testing.T, members int, turn time.Duration) *world {
	t.Helper()
	cluster := etcdtest.StartCluster(t, members, etcdtest.Defaults)
	w := &world{endpoints: cluster.Endpoints(), client: cluster.Client(t), turn: turn}
	var err error
	w.keeper, err = lease.NewKeeper(t.Context(), w.client, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.keeper.Close(context.Background()) }) // with the store
	w.store, err = etcdstore.New(w.client, w.keeper, nil)
	require.NoError(t, err)
	return w
}

// withBlobs gives a world a container of blobs.
func (w *world) withBlobs(t *testing.T) {
	t.Helper()
	client, err := container.NewClientFromConnectionString(azurite.Start(t).ConnectionString(), "checkpoints", nil)
	require.NoError(t, err)
	_, err = client.Create(t.Context(), nil)
	require.NoError(t, err)
	w.blobs, err = checkpoints.NewBlobStore(client, nil)
	require.NoError(t, err)
}

// TestBenchmarks measures everything in turns of one run and writes what has come of it into TENURE_BENCH_OUT: a page
// and its plots. TENURE_BENCH is full or quick; without it the test is skipped. A bar that is missed is told and does
// not fail it: machines differ.
func TestBenchmarks(t *testing.T) {
	mode := os.Getenv("TENURE_BENCH")
	rounds, turn := 7, 2*time.Second
	switch mode {
	case "full":
	case "quick":
		rounds, turn = 3, 300*time.Millisecond
	default:
		t.Skip("make bench and make bench-quick measure, for minutes: TENURE_BENCH is neither full nor quick")
	}
	out := os.Getenv("TENURE_BENCH_OUT")
	require.NotEmpty(t, out, "TENURE_BENCH_OUT is the folder to write to")
	require.NoError(t, os.MkdirAll(filepath.Join(out, "benchmarks"), 0o755))
	began := time.Now()
	var page bytes.Buffer
	rates, tails := newLines("callers", "writes a second"), newLines("latency, ms", "part of the writes")
	converged := newLines("partitions", "seconds to an even share")

	t.Run("one member", func(t *testing.T) {
		w := newWorld(t, 1, turn)
		w.withBlobs(t)
		page.WriteString("## One member\n\n")
		page.WriteString(w.claims(t, 1024).hold(t, rounds).table() + "\n")
		for _, callers := range []int{1, 64, 256, 1024} {
			o := w.checkpoints(t, callers, callers).hold(t, rounds)
			page.WriteString(o.table() + "\n")
			for _, c := range o.contenders {
				rates.add(c.name, float64(callers), median(o.values(c.name, rate)))
				if callers == 256 {
					c.turn(t)
					tails.addDistribution(c.name, w.latencies)
				}
			}
		}
		page.WriteString(w.checkpoints(t, 64, 1).hold(t, rounds).table() + "\n")
		page.WriteString(w.listing(t, 1024).hold(t, rounds).table() + "\n")
	})
	t.Run("groups", func(t *testing.T) {
		w := newWorld(t, 1, turn)
		page.WriteString("### Groups\n\nMembers in one process, with a client and a lease each. A settling time of 250 ms is " +
			"in each figure.\n\n| | median (least to most) | bar |\n|---|--:|--:|\n")
		for _, size := range []struct {
			partitions, members int
			within              float64
		}{{16, 8, 0}, {128, 8, 1}, {1024, 8, 0}, {1024, 32, 2}} {
			figures := w.convergence(t, size.partitions, size.members, min(rounds, 5), size.within)
			for _, f := range figures {
				page.WriteString(f.String())
			}
			if size.members == 8 {
				converged.add("cold start, 8 members", float64(size.partitions), median(figures[0].values))
				converged.add("one more member", float64(size.partitions), median(figures[1].values))
			}
		}
		page.WriteString("\n")
	})
	t.Run("three members", func(t *testing.T) {
		w := newWorld(t, 3, turn)
		page.WriteString("## Three members\n\nAll on this machine and its one disk.\n\n")
		page.WriteString(w.claims(t, 1024).hold(t, rounds).table() + "\n")
		page.WriteString(w.checkpoints(t, 256, 256).hold(t, rounds).table() + "\n")
	})
	if t.Failed() {
		return
	}
	rates.p.Title.Text, tails.p.Title.Text = "Checkpoints against callers", "Latency of checkpoints, 256 callers"
	converged.p.Title.Text = "Sharing partitions out"
	rates.logX()
	converged.logX()
	tails.logX()
	rates.save(t, filepath.Join(out, "benchmarks", "rates.svg"))
	tails.save(t, filepath.Join(out, "benchmarks", "latencies.svg"))
	converged.save(t, filepath.Join(out, "benchmarks", "convergence.svg"))
	text := fmt.Sprintf(intro, mode, machine(t), rounds, turn, time.Since(began).Round(time.Second)) + page.String()
	require.NoError(t, os.WriteFile(filepath.Join(out, "benchmarks.md"), []byte(strings.TrimSpace(text)+"\n"), 0o644))
	t.Log(page.String())
}

const intro = "# Benchmarks\n\n" +
	"Written by `make bench` (this run: %s), on %s. Everything runs on that machine: callers, etcd with its data synced\nto disk, and " +
	"what it is compared with. In each of %d rounds all take a turn, in another order each time, of %v where callers write on; " +
	"ratios are those of one round, above 1 where Tenure does better. Absolute figures are the machine's. The run took %v.\n\n" +
	"![Checkpoints against callers](benchmarks/rates.svg)\n\n![Latency of checkpoints](benchmarks/latencies.svg)\n\n" +
	"![Sharing partitions out](benchmarks/convergence.svg)\n\n"

// machine says what this is measured on.
func machine(t *testing.T) string {
	t.Helper()
	model := "a processor that does not say its name"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, found := strings.CutPrefix(line, "model name\t: "); found {
				model = strings.TrimSpace(name)
				break
			}
		}
	}
	return fmt.Sprintf("%d processors (%s), %s/%s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH,
		runtime.Version())
}

// lines is a plot of a line for each contender.
type lines struct {
	p     *plot.Plot
	names []string
	of    map[string]plotter.XYs
}

func newLines(x, y string) *lines {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	return &lines{p: p, of: make(map[string]plotter.XYs)}
}

func (l *lines) add(name string, x, y float64) {
	if _, known := l.of[name]; !known {
		l.names = append(l.names, name)
	}
	l.of[name] = append(l.of[name], plotter.XY{X: x, Y: y})
}

// addDistribution adds which part of all latencies was below each.
func (l *lines) addDistribution(name string, sorted []float64) {
	for i := range 200 {
		part := float64(i+1) / 200
		at := int(math.Ceil(part*float64(len(sorted)))) - 1
		l.add(name, sorted[at]*1e3, part)
	}
}

func (l *lines) logX() { l.p.X.Scale, l.p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1} }

func (l *lines) save(t *testing.T, path string) {
	t.Helper()
	var all []any
	for _, name := range l.names {
		all = append(all, name, l.of[name])
	}
	require.NoError(t, plotutil.AddLines(l.p, all...))
	require.NoError(t, l.p.Save(16*vg.Centimeter, 10*vg.Centimeter, path))
}
