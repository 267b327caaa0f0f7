package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/cmd/tenure/internal/doctor"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// findings returns what the doctor says, by what it is about.
func findings(t *testing.T, r result) map[string][]doctor.Finding {
	t.Helper()
	var all []doctor.Finding
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &all), r.stderr)
	found := make(map[string][]doctor.Finding)
	for _, f := range all {
		found[f.About] = append(found[f.About], f)
	}
	return found
}

// An etcd on which a fleet works well has nothing but good findings, and nothing is written to it.
func TestTheDoctorFindsNothing(t *testing.T) {
	f := newFleet(t, 3)
	f.run("--owner-id", "a", "--", "sh", "-c", beater)
	f.awaitBeats(nil)
	r := f.operate("doctor -o json")
	r.require(t, exitOK)
	found := findings(t, r)
	for about, all := range found {
		for _, finding := range all {
			if about != "latency" { // a busy machine
				require.Equal(t, doctor.OK, finding.Severity, finding)
			}
		}
	}
	require.Equal(t, "3 partitions, 3 owned, by 1 members", found["local/orders/billing"][0].What)
	require.Contains(t, found["permissions"][0].What, "may read and write everything under /tenure/v1/")
	require.Contains(t, found["leases"][0].What, "leases live for 2s at the least")
}

// What is wrong with groups is found.
func TestTheDoctorFindsWhatIsWrongWithGroups(t *testing.T) {
	s := see(t)
	s.put("/tenure/v1/local/Orders/billing/checkpoint/0", `{"sequence_number":1}`)
	r := s.command("doctor", "-o", "json", "--ttl", "1s")
	r.require(t, exitFailure, "findings are problems")
	var texts []string
	for _, finding := range findings(t, r)["local/orders/billing"] {
		texts = append(texts, string(finding.Severity)+": "+finding.What)
	}
	text := strings.Join(texts, "\n")
	for _, want := range []string{
		"warning: differs from local/Orders/billing in letter case only",
		"problem: these have no owner although there are members: 11", // 3 is kept for pod-3, 4 is paused
		`problem: corrupt record "/tenure/v1/local/orders/billing/ownership/11"`,
		"warning: no checkpoint for over 10m0s: 0 1",
		"note: member pod-2 is cordoned by ann@laptop 3h05m ago: node goes (for another 3h05m)",
		"note: partition 4 is paused by ann@laptop 3h05m ago: poisoned event",
		"note: partition 1 is pinned to pod-2: it has the cache",
	} {
		require.Contains(t, text, want)
	}
	require.Contains(t, findings(t, r)["leases"][0].What, "longer than --ttl 1s")
	plain := s.command("doctor")
	require.Contains(t, plain.stdout, "PROBLEM  local/orders/billing: ")
	s.command("doctor", "--stale", "0s", "--ttl", "1500ms").
		require(t, exitUsage, "--stale must be above 0", "--ttl must be whole seconds")
}

// A server with lower limits, and a user with too few permissions, are told of with what to do.
func TestTheDoctorFindsLimitsAndPermissions(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults, func(cfg *embed.Config) { cfg.MaxTxnOps = 40 })
	etcdtest.EnableAuth(t, etcd.Client(t), password, etcdtest.Grant{
		User: "reader", Prefix: "/tenure/v1/other/", Permission: clientv3.PermissionType(clientv3.PermRead),
	})
	endpoints := strings.Join(etcd.Endpoints(), ",")
	r := command(t, map[string]string{"TENURE_PASSWORD": password}, "doctor", "-o", "json", "--endpoints", endpoints,
		"--user", "reader", "--prefix", "/tenure/v1/other")
	found := findings(t, r)
	require.Contains(t, found["transactions"][0].What, "at least 32")
	require.Equal(t, doctor.Problem, found["permissions"][0].Severity)
	require.Contains(t, found["permissions"][0].Do, "grant-permission ROLE readwrite --prefix=true /tenure/v1/other/")
	require.Equal(t, exitFailure, r.status)
}
