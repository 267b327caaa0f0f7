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
	"go.uber.org/goleak"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/integration/internal/azurite"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(memberVariable); spec != "" {
		fmt.Fprintln(os.Stderr, "the member has ended:", beMember(spec))
		os.Exit(1)
	}
	os.Exit(etcdtest.Run(m,
		// azeventhubs/v2 v2.0.2 leaves its token renewers behind.
		goleak.IgnoreTopFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/internal."+
			"(*Namespace).startNegotiateClaimRenewer.func3")))
}

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
	rounds, turn, resting, planned, planners := 5, 2*time.Second, time.Minute, 1_000_000, 2_000
	short := size{5000, 100}
	sizes := []size{{1000, 50}, {1000, 200}, {10_000, 50}, {10_000, 200}}
	switch mode {
	case full:
	case quick:
		rounds, turn, resting, planned, planners = 3, 200*time.Millisecond, 3*time.Second, 100_000, 200
		sizes, short = []size{{1000, 20}}, size{1000, 20}
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
		var all []figure
		for _, size := range []struct {
			partitions, members int
			within              *float64
		}{{16, 8, nil}, {128, 8, new(1.0)}, {1024, 8, nil}, {1024, 32, new(2.0)}} {
			converging := w.convergence(t, size.partitions, size.members, min(rounds, 5), size.within)
			if size.members == 8 {
				converged.add("cold start, 8 members", float64(size.partitions), median(converging[0].values))
				converged.add("one more member", float64(size.partitions), median(converging[1].values))
			}
			all = append(all, converging...)
		}
		page.WriteString(figures("### Groups\n\nMembers in one process, with a client and a lease each. A settling time of "+
			"250 ms is in each figure.", all...))
		page.WriteString(figures(aboutProcessors, w.rebalancing(t, 128, 8, rounds-2, 200*time.Millisecond)...))
		if mode == full {
			page.WriteString(figures("At the SDK's own intervals, once each:", w.rebalancingByDefault(t, 128, 8)...))
		}
		for _, c := range planning(planned, planners) {
			page.WriteString(c.hold(t, min(rounds, 5)).table() + "\n")
		}
		page.WriteString(figures(aboutLeases, w.leases(t, rounds-2)...))
		page.WriteString(figures(fmt.Sprintf(aboutRest, resting), atRest(t, 1024, 8, resting)...))
		page.WriteString(figures(aboutAllocations, allocations(t)...))
	})
	t.Run("scale", func(t *testing.T) {
		var all []load
		for _, size := range sizes {
			all = append(all, carry(t, size.partitions, size.members, min(resting, 10*time.Second)))
		}
		largest := all[len(all)-1]
		what := fmt.Sprintf("%d partitions, %d members: ", largest.partitions, largest.members)
		page.WriteString(figures(aboutScale,
			figure{name: what + "from a cold start to an even share", values: []float64{largest.cold}, unit: "s", most: new(15.0)},
			figure{
				name: what + "from the death of a member to an even share", values: []float64{largest.recovered}, unit: "s",
				most: new(usualTTL.Seconds() + 2),
			},
			figure{name: what + "heap a member", values: []float64{largest.heap / (1 << 20)}, unit: "MiB", most: new(8.0)},
			figure{
				name: fmt.Sprintf("%d partitions, %d members, leases of 2 s: from the death of a member to an even share",
					short.partitions, short.members),
				values: []float64{bereaveSlowly(t, short.partitions, short.members)}, unit: "s",
				most: new(shortTTL.Seconds() + 2),
			}) + loads(all))
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

const (
	full  = "full"
	quick = "quick"
)

type size struct{ partitions, members int }

const aboutProcessors = "### The Event Hubs SDK's Processor\n\nWhat the SDK balances by itself with Tenure's store, and a stand-in " +
	"of the service: every 200 ms here, give or take, and every 10 s unless a program says otherwise. Rounds are those of the " +
	"processor that made most."

const aboutLeases = "### Leases\n\nOf 2 s, through a network that falls silent between two renewals. Below 0 whoever keeps the " +
	"lease is told in time; above it, it goes on for so long after others may own what it owned."

const aboutRest = "### At rest\n\n8 members with a client and a lease of 10 s each own 1,024 partitions and nothing happens for %v. " +
	"Etcd is a process of its own, and the members are another, whose processor time is shared out among them."

const aboutAllocations = "### Allocations\n\nBy the store and etcd's client together. Etcd is a process of its own. A test guards the bars."

const aboutScale = "### Scale\n\nAll members in one process, with a client and a lease of 10 s each, and all of them begin at once; but one, which " +
	"is a process of its own and is killed. Etcd is a process of its own on the same machine. Every member is told of every change " +
	"in its group, which is what a cold start costs: partitions times members. The group with leases of 2 s came 20 members at a time."

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
