package compare_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	usualTTL = 10 * time.Second
	shortTTL = 2 * time.Second // the shortest that etcd grants with its defaults
)

// load is what a group of one size has cost.
type load struct {
	partitions, members int

	cold    float64 // seconds from nothing to an even share
	ours    float64 // seconds of a processor for that, all members together
	etcd    float64 // the same, of etcd
	sent    float64 // bytes that etcd sent for it
	heap    float64 // bytes a member
	resting float64 // of a processor, all members together, once nothing happens

	recovered float64 // seconds from the death of a member to an even share
}

// carry starts a group of that size, all members at once, on an etcd in a process of its own, and kills one of its
// members, which is in a process of its own as well.
func carry(t *testing.T, partitions, members int, resting time.Duration) load {
	t.Helper()
	l := load{partitions: partitions, members: members}
	a := newApart(t)
	g := newGroup(t, a.store, a.endpoints, groupOf("scale"), partitions, usualTTL)
	defer g.end()
	heap := heapNow()
	before := a.metrics(t)
	began := time.Now()
	kill := g.addProcess()
	g.add(members - 1)
	g.awaitBalance(members)
	l.cold = time.Since(began).Seconds()
	after := a.metrics(t)
	l.ours = after.ours - before.ours
	l.etcd = after.since(before, "process_cpu_seconds_total", "")
	l.sent = after.since(before, "etcd_network_client_grpc_sent_bytes_total", "")

	g.awaitRest()
	l.heap = (heapNow() - heap) / float64(members-1)
	before = a.metrics(t)
	time.Sleep(resting) // this is what is measured: that nothing happens, which nothing could tell of
	after = a.metrics(t)
	l.resting = (after.ours - before.ours) / after.at.Sub(before.at).Seconds()
	l.recovered = g.bereave(kill, members)
	return l
}

// bereave kills a member and returns how long it takes until the others have what that had.
func (g *group) bereave(kill func(), members int) float64 {
	g.t.Helper()
	began := time.Now()
	kill()
	g.awaitBalance(members - 1)
	return time.Since(began).Seconds()
}

// bereaveSlowly does that with leases as short as can be, in a group whose members have come a few at a time.
func bereaveSlowly(t *testing.T, partitions, members int) float64 {
	t.Helper()
	const step = 20
	a := newApart(t)
	g := newGroup(t, a.store, a.endpoints, groupOf("scale"), partitions, shortTTL)
	defer g.end()
	kill := g.addProcess()
	for n := 1; n < members; {
		more := min(step, members-n)
		g.add(more)
		n += more
		g.awaitBalance(n)
	}
	return g.bereave(kill, members)
}

func heapNow() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// memberVariable has this binary be a member of a group, which it describes.
const memberVariable = "TENURE_BENCH_MEMBER"

// addProcess has a member join that is a process of its own, to be killed.
func (g *group) addProcess() (kill func()) {
	g.t.Helper()
	binary, err := os.Executable()
	require.NoError(g.t, err)
	spec, err := json.Marshal(g.spec)
	require.NoError(g.t, err)
	cmd := exec.CommandContext(g.t.Context(), binary)
	cmd.Env = append(os.Environ(), memberVariable+"="+string(spec))
	cmd.Stderr = os.Stderr
	require.NoError(g.t, cmd.Start())
	return func() {
		require.NoError(g.t, cmd.Process.Kill())
		_ = cmd.Wait()
	}
}

// beMember is what such a process does.
func beMember(text string) error {
	var spec memberSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: spec.Endpoints, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	member, err := spec.member(context.Background(), client)
	if err != nil {
		return err
	}
	return member.Run(context.Background())
}

// loads is a table of them in Markdown.
func loads(all []load) string {
	var text strings.Builder
	text.WriteString("| partitions | members | cold start, s | members' processor time, s | etcd's, s | processor time for a change " +
		"told to a member, µs | bytes for it | heap a member, MiB | all members at rest, % of a core | recovered, s |\n" +
		"|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, l := range all {
		told := float64(l.partitions) * float64(l.members)
		fmt.Fprintf(&text, "| %d | %d | %s | %s | %s | %s | %s | %s | %s | %s |\n", l.partitions, l.members, number(l.cold),
			number(l.ours), number(l.etcd), number((l.ours+l.etcd)/told*1e6), number(l.sent/told), number(l.heap/(1<<20)),
			number(100*l.resting), number(l.recovered))
	}
	return text.String() + "\n"
}
