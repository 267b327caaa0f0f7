package compare_test

import (
	"testing"
	"time"
)

// atRest has a group own all its partitions and do nothing for a while.
func atRest(t *testing.T, partitions, members int, length time.Duration) []figure {
	t.Helper()
	const ttl = 10 * time.Second // the default
	a := newApart(t)
	g := newGroup(t, a.store, a.endpoints, groupOf("at-rest"), partitions, ttl)
	defer g.end()
	g.add(members)
	g.awaitBalance(members)
	g.awaitRest()
	before := a.metrics(t)
	time.Sleep(length) // this is what is measured: that nothing happens, which nothing could tell of
	after := a.metrics(t)
	elapsed := after.at.Sub(before.at)
	rounds := float64(members) * elapsed.Seconds() / (ttl.Seconds() / 3)
	one := func(name string, value float64, unit string, most *float64) figure {
		return figure{name: name, values: []float64{value}, unit: unit, most: most}
	}
	return []figure{
		one("revisions of etcd", after.since(before, "etcd_debugging_mvcc_current_revision", ""), "", new(0.0)),
		one("raft proposals", after.since(before, "etcd_server_proposals_applied_total", ""), "", nil),
		one("keepalives a member in a third of a TTL", after.since(before, "grpc_server_msg_received_total",
			"LeaseKeepAlive")/rounds, "×", new(1.05)),
		one("reads a member in a third of a TTL", after.since(before, "grpc_server_msg_received_total", "Range")/rounds,
			"×", new(1.05)),
		one("a member's processor", 100*(after.ours-before.ours)/float64(members)/elapsed.Seconds(), "% of a core", new(0.5)),
		one("etcd's processor", 100*after.since(before, "process_cpu_seconds_total", "")/elapsed.Seconds(), "% of a core", nil),
	}
}
