package compare_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
)

// What is measured, by name.
const (
	time_   = "time"
	rate    = "rate"
	typical = "median latency"
	slow    = "p99 latency"
	entries = "raft entries for 1,000"
	logged  = "bytes of etcd's log for 1,000"
)

// write is one write of a caller, its nth.
type write func(ctx context.Context, caller int, n int64) error

// checkpoints is the contest of writing checkpoints: each caller waits for its answer before it writes again.
func (w *world) checkpoints(t *testing.T, callers, partitions int) contest {
	t.Helper()
	group := groupOf(fmt.Sprintf("checkpoints-%d-%d", callers, partitions))
	won, err := w.store.ClaimOwnership(t.Context(), claimsOf(group, partitions), nil)
	require.NoError(t, err)
	require.Len(t, won, partitions)
	t.Cleanup(func() { _ = w.store.Release(context.WithoutCancel(t.Context()), won...) })
	offset := "123456789"
	ours := func(ctx context.Context, caller int, n int64) error {
		o := won[caller%partitions]
		return w.store.UpdateCheckpoint(ctx, etcdstore.Checkpoint{
			Group: o.Group, PartitionID: o.PartitionID, SequenceNumber: &n, Offset: &offset,
		}, &etcdstore.UpdateOptions{Fence: &o})
	}
	keys := make([]string, partitions)
	for i := range keys {
		keys[i] = "/peer/checkpoints/" + strconv.Itoa(i)
	}
	put := func(ctx context.Context, caller int, _ int64) error {
		_, err := w.client.Put(ctx, keys[caller%partitions], record)
		return err
	}
	const (
		puts   = "plain puts"
		packed = "unconditional puts, 100 in a transaction"
		blob   = "the Go BlobStore on Azurite"
	)
	contenders := []contender{
		{"Tenure", func(t *testing.T) measures { return w.takeTurn(t, callers, ours) }},
		{puts, func(t *testing.T) measures { return w.takeTurn(t, callers, put) }},
	}
	rows := []row{
		{measure: rate, unit: "a second", scale: 1, peer: puts, bar: rateBar(callers, partitions)},
		{measure: typical, unit: "ms", scale: 1e3, less: true, peer: puts},
		{measure: slow, unit: "ms", scale: 1e3, less: true, peer: puts},
	}
	if callers > 1 && callers == partitions {
		rows[2].bar = 1
		contenders = append(contenders, contender{packed, func(t *testing.T) measures {
			p := &packer{client: w.client, keys: keys, waiting: make(chan *packedPut, callers)}
			stop := p.run(t.Context())
			defer stop()
			return w.takeTurn(t, callers, p.put)
		}})
		rows = append(rows, row{measure: rate, unit: "a second", scale: 1, peer: packed, bar: 0.6})
		rows = append(rows,
			row{measure: entries, unit: "a count", scale: 1, less: true, peer: puts, bar: entriesBar(callers)},
			row{measure: logged, unit: "KB", scale: 1e-3, less: true, peer: puts})
	}
	if callers == 1 {
		rows[1].bar = 1 / 1.15
	}
	if w.blobs != nil && callers == 64 && callers == partitions {
		contenders = append(contenders, contender{blob, func(t *testing.T) measures {
			return w.takeTurn(t, callers, w.putBlob)
		}})
		rows = append(rows, row{measure: rate, unit: "a second", scale: 1, peer: blob})
	}
	name := fmt.Sprintf("Checkpoints, %d callers, each its own partition", callers)
	switch {
	case callers == 1:
		name = "Checkpoints, a lone caller"
	case partitions == 1:
		name = fmt.Sprintf("Checkpoints, %d callers on one partition", callers)
	}
	return contest{
		name: name,
		about: "Tenure's are fenced by the ownership and chained to the one before; a put is neither. Each caller waits for " +
			"its answer before it writes again.",
		contenders: contenders, rows: rows,
	}
}

// The bars of the ratio of rates to plain puts.
func rateBar(callers, partitions int) float64 {
	switch {
	case partitions == 1 && callers > 1:
		return 2.5
	case callers == 64:
		return 1.3
	case callers == 256:
		return 2.5
	case callers == 1024:
		return 3
	}
	return 0
}

func entriesBar(callers int) float64 {
	if callers == 256 {
		return 10
	}
	return 0
}

// takeTurn has callers write for a while.
func (w *world) takeTurn(t *testing.T, callers int, write write) measures {
	t.Helper()
	took := make([][]float64, callers)
	failures := make([]error, callers)
	proposals, bytes := w.raft(t)
	began := time.Now()
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			for n := int64(0); time.Since(began) < w.turn && failures[caller] == nil; n++ {
				sent := time.Now()
				failures[caller] = write(t.Context(), caller, n)
				took[caller] = append(took[caller], time.Since(sent).Seconds())
			}
		})
	}
	running.Wait()
	elapsed := time.Since(began).Seconds()
	for _, err := range failures {
		require.NoError(t, err)
	}
	proposalsNow, bytesNow := w.raft(t)
	all := slices.Concat(took...)
	slices.Sort(all)
	thousands := float64(len(all)) / 1000
	w.latencies = all
	return measures{
		rate: float64(len(all)) / elapsed, typical: all[len(all)/2], slow: all[len(all)*99/100],
		entries: (proposalsNow - proposals) / thousands, logged: (bytesNow - bytes) / thousands,
	}
}

// raft returns how many proposals etcd has applied and how many bytes it has written to its log. With several members in
// this process it is the sum of what each has.
func (w *world) raft(t *testing.T) (proposals, bytes float64) {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	require.NoError(t, err)
	for _, family := range families {
		switch family.GetName() {
		case "etcd_server_proposals_applied_total":
			proposals = family.GetMetric()[0].GetGauge().GetValue()
		case "etcd_disk_wal_write_bytes_total":
			bytes = family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return proposals, bytes
}

// packer packs the puts that wait into transactions of up to 100, three of them under way at a time. It knows nothing
// of owners, of the order of writes, or of answers that are lost: it is what could be had without all that.
type packer struct {
	client  *clientv3.Client
	keys    []string
	waiting chan *packedPut
}

type packedPut struct {
	key  string
	done chan error
}

func (p *packer) run(ctx context.Context) (stop func()) {
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			for first := range p.waiting {
				batch := []*packedPut{first}
				for more := true; more && len(batch) < 100; {
					select {
					case next, open := <-p.waiting:
						if more = open; open {
							batch = append(batch, next)
						}
					default:
						more = false
					}
				}
				puts := make([]clientv3.Op, len(batch))
				for i, b := range batch {
					puts[i] = clientv3.OpPut(b.key, record)
				}
				_, err := p.client.Txn(ctx).Then(puts...).Commit()
				for _, b := range batch {
					b.done <- err
				}
			}
		})
	}
	return func() {
		close(p.waiting)
		running.Wait()
	}
}

func (p *packer) put(_ context.Context, caller int, _ int64) error {
	one := &packedPut{key: p.keys[caller], done: make(chan error, 1)}
	p.waiting <- one
	return <-one.done
}

func (w *world) putBlob(ctx context.Context, caller int, n int64) error {
	offset := "123456789"
	return w.blobs.SetCheckpoint(ctx, azeventhubs.Checkpoint{
		FullyQualifiedNamespace: "bench.example", EventHubName: "checkpoints", ConsumerGroup: "bench",
		PartitionID: strconv.Itoa(caller), SequenceNumber: &n, Offset: &offset,
	}, nil)
}
