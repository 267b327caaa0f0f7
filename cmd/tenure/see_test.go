package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/golden"
)

// seen is an etcd with a fleet of every kind in it.
type seen struct {
	t         *testing.T
	client    *clientv3.Client
	endpoints string
	lease     clientv3.LeaseID
}

// ago writes when something was that shows as the same age for the half of its smaller unit.
func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

const (
	hours   = 3*time.Hour + 5*time.Minute + 30*time.Second
	days    = 49*time.Hour + 30*time.Minute
	minutes = 30 * time.Second
)

func see(t *testing.T) *seen {
	t.Helper()
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	s := &seen{t: t, client: etcd.Client(t), endpoints: strings.Join(etcd.Endpoints(), ",")}
	granted, err := s.client.Grant(t.Context(), 600)
	require.NoError(t, err)
	s.lease = granted.ID
	const group = "/tenure/v1/local/orders/billing/"
	s.put(group+"control/partitions", `{"partitions":["0","1","10","11","2","3","4"]}`)
	s.put(group+"member/pod-2",
		`{"owner_id":"pod-2","instance":"b","weight":2,"capacity":40,"started_at":"`+ago(days)+`"}`)
	s.put(group+"member/pod-10", `{"owner_id":"pod-10","instance":"a","started_at":"`+ago(hours)+`","leaving":true}`)
	owned := func(id, owner string, d time.Duration, why string) {
		s.put(group+"ownership/"+id, fmt.Sprintf(`{"owner_id":%q,"last_modified_time":%q%s}`, owner, ago(d), why))
	}
	owned("0", "pod-2", days, `,"reason":"nobody had it"`)
	owned("1", "pod-2", hours, `,"previous_owner":"pod-7","reason":"to balance"`)
	owned("2", "pod-10", hours, `,"reason":"released by pod-2"`)
	owned("10", "3ad0f4f2-the-sdks", hours, `,"reason":"it was free"`)
	s.put(group+"ownership/11", `{"owner_id":`)
	s.put(group+"reserved/pod-3", `{"partitions":["3"]}`)
	s.put(group+"checkpoint/0", `{"sequence_number":41,"offset":8589934592,"owner_id":"pod-2","last_modified_time":"`+
		ago(hours)+`"}`)
	s.put(group+"checkpoint/1", `{"sequence_number":7,"owner_id":"pod-2","last_modified_time":"`+ago(days)+`"}`)
	s.put(group+"checkpoint/10", `{"offset":"opaque-1","last_modified_time":"`+ago(days)+`"}`)
	s.put(group+"control/pause/4", `{"reason":"poisoned event","set_by":"ann@laptop","set_at":"`+ago(hours)+`"}`)
	s.put(group+"control/pin/1", `{"owner_id":"pod-2","reason":"it has the cache"}`)
	s.put(group+"control/avoid/2/pod-7", `{"reason":"its handler failed 5 times in a row"}`)
	s.put(group+"control/cordon/pod-2", `{"reason":"node goes","set_by":"ann@laptop","set_at":"`+ago(hours)+
		`","expires_at":"`+ago(-hours)+`"}`)
	s.put("/tenure/v1/ns.servicebus.windows.net/orders/$default/ownership/0",
		`{"owner_id":"a\u001b[2Jb","last_modified_time":"`+ago(minutes)+`"}`)
	s.put("/tenure/v1/not/a group", "x")
	return s
}

func (s *seen) put(key, value string) {
	s.t.Helper()
	lease := clientv3.LeaseID(0)
	if strings.Contains(key, "/ownership/") || strings.Contains(key, "/member/") || strings.Contains(key, "/reserved/") {
		lease = s.lease
	}
	_, err := s.client.Put(s.t.Context(), key, value, clientv3.WithLease(lease))
	require.NoError(s.t, err)
}

func (s *seen) command(args ...string) result {
	s.t.Helper()
	return command(s.t, nil, append(args, "--endpoints", s.endpoints)...)
}

var times = regexp.MustCompile(`"20\d\d-\d\d-\d\dT[^"]+"`)

// What people see of a fleet, and what scripts read.
func TestAFleetIsSeen(t *testing.T) {
	s := see(t)
	for name, args := range map[string]string{
		"group-list.txt":       "group list",
		"group-list.json":      "group list -o json",
		"group-show.txt":       "group show orders/billing",
		"group-show.json":      "group show orders/billing -o json",
		"member-list.txt":      "member list orders/billing",
		"member-show.txt":      "member show orders/billing pod-2",
		"member-show.json":     "member show orders/billing pod-2 -o json",
		"partition-list.txt":   "partition list orders/billing",
		"partition-list.json":  "partition list local/orders/billing -o json",
		"partition-show.txt":   "partition show orders/billing 1",
		"partition-show.json":  "partition show orders/billing 1 -o json",
		"checkpoint-list.txt":  "checkpoint list orders/billing",
		"checkpoint-show.json": "checkpoint show orders/billing 0 -o json",
		"foreign.txt":          "partition list NS.servicebus.windows.net/Orders/$Default",
	} {
		r := s.command(strings.Fields(args)...)
		r.require(t, exitOK)
		require.Empty(t, r.stderr, args)
		golden.Require(t, name, times.ReplaceAllString(r.stdout, `"TIME"`))
	}
}

// Whoever mistypes is told what there is, with an exit status of its own, and nothing is written.
func TestWhatIsNotThereIsNamed(t *testing.T) {
	s := see(t)
	before, err := s.client.Get(t.Context(), "x")
	require.NoError(t, err)
	for args, words := range map[string][]string{
		"group show order/billing":                         {`no group "local/order/billing"`, "mean local/orders/billing?"},
		"group show x":                                     {"namespace/hub/group", "tenure group list"},
		"group lsit":                                       {`there is no command "group lsit"`, "Did you mean list?"},
		"member show orders/billing pod":                   {`no member "pod" in local/orders/billing`, "pod-2 or pod-3"},
		"partition show orders/billing 12":                 {"Did you mean", "10"},
		"checkpoint show orders/billing 2":                 {`there is no checkpoint of partition "2"`},
		"partition list":                                   {"tenure partition list takes GROUP", "--help"},
		"partition list orders/billing -o xml":             {`--output is "xml"`, "table or json"},
		"member drain orders/billing pod-4":                {`there is no member "pod-4"`, "Did you mean pod-2"},
		"member cordon orders/billing pod-4":               {"pod-4"},
		"member uncordon orders/billing pod-4":             {"pod-4"},
		"member drain orders/billing pod-2 --for 1ms":      {"--for must be at least 1s, not 1ms"},
		"partition pause orders/billing 12":                {"12"},
		"partition resume orders/billing 12":               {"12"},
		"partition pin orders/billing 1":                   {"--to is needed", "tenure member list local/orders/billing"},
		"partition pin orders/billing 1 12 --to pod-4":     {`"12"`, `"pod-4"`},
		"partition release orders/billing 12":              {"12"},
		"partition release orders/billing 10":              {"no member", "10", "--now"},
		"partition release orders/billing 1 --timeout -1s": {"--timeout must be at least 0"},
	} {
		r := s.command(strings.Fields(args)...)
		r.require(t, exitUsage, words...)
		require.Empty(t, r.stdout, args)
	}
	after, err := s.client.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, before.Header.Revision, after.Header.Revision)
}

// A shell is offered the names that there are, and nothing where etcd cannot be asked.
func TestNamesAreCompleted(t *testing.T) {
	s := see(t)
	for args, want := range map[string]string{
		"partition show |":                        "local/orders/billing ns.servicebus.windows.net/orders/$default",
		"top |":                                   "local/orders/billing ns.servicebus.windows.net/orders/$default",
		"partition pause orders/billing |":        "0 1 2 3 4 10 11",
		"partition pause orders/billing 2 10 |":   "0 1 3 4 11",
		"member drain orders/billing |":           "3ad0f4f2-the-sdks pod-2 pod-3 pod-10",
		"checkpoint reset orders/billing --all |": "0 1 2 3 4 10 11",
		"partition list orders/billing |":         "",
		"member drain orders/nobody |":            "",
	} {
		words := append(strings.Fields(strings.TrimSuffix(args, "|")), "")
		words = slices.Insert(words, 1, "--endpoints", s.endpoints)
		r := command(t, nil, append([]string{"__complete"}, words...)...)
		r.require(t, exitOK)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		require.Equal(t, want, strings.Join(lines[:len(lines)-1], " "), args)
	}
	r := command(t, nil, "__complete", "top", "--endpoints", "localhost:1", "--dial-timeout", "100ms", "")
	r.require(t, exitOK)
	require.Equal(t, ":36\n", r.stdout, "nothing but what a shell is to do with it")
}

// Every change is a line, as it comes, until a signal ends it.
func TestChangesAreFollowed(t *testing.T) {
	s := see(t)
	const group = "/tenure/v1/local/orders/billing/"
	follow := func(args string, first string, change func()) []string {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &syncBuffer{}
		a := &app{stdout: out, stderr: os.Stderr, lookup: func(string) (string, bool) { return "", false }}
		root := a.rootCommand()
		root.SetArgs(append(strings.Fields(args), "--endpoints", s.endpoints))
		ended := make(chan error, 1)
		go func() { ended <- root.ExecuteContext(ctx) }()
		// What it sees of it first may have come before it began to look.
		require.Eventually(t, func() bool { change(); return strings.Contains(out.String(), first) }, time.Minute,
			50*time.Millisecond)
		cancel()
		require.NoError(t, <-ended)
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	n := 0
	lines := follow("partition list orders/billing --watch", "pod-2: released by x", func() {
		n++
		s.put(group+"ownership/4", fmt.Sprintf(`{"owner_id":"pod-2","reason":"released by x","claim_id":"%d"}`, n))
	})
	require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3}  partition 4 (nobody ->|is claimed again by) pod-2: released by x$`,
		lines[0])
	lines = follow("member list orders/billing --watch -o json", "pod-11", func() {
		n++
		s.put(group+"member/pod-11", fmt.Sprintf(`{"owner_id":"pod-11","instance":"%d"}`, n))
	})
	var change map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &change))
	require.Equal(t, "pod-11", change["member"])
	lines = follow("checkpoint list orders/billing -w", "partition 2", func() {
		n++
		s.put(group+"checkpoint/2", fmt.Sprintf(`{"sequence_number":%d,"owner_id":"pod-10"}`, n))
	})
	require.Regexp(t, `partition 2 is at sequence number \d+, offset -, written by pod-10$`, lines[0])
	lines = follow("group list --watch", "local/orders/other", func() {
		n++
		s.put("/tenure/v1/local/orders/other/checkpoint/"+strconv.Itoa(n), `{"sequence_number":1}`)
	})
	require.Regexp(t, `group local/orders/billing: \d+ of \d+ partitions owned, \d+ members, \d+ checkpoints`,
		strings.Join(lines, "\n"))
}
