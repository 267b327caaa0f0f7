package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
)

// operate gives a command of an operator's.
func (f *fleet) operate(args string) result {
	f.t.Helper()
	return command(f.t, nil, append(strings.Fields(args), "--endpoints", f.endpoints)...)
}

// owners asks who owns what.
func (f *fleet) owners() map[string]string {
	f.t.Helper()
	r := f.operate("partition list orders/billing -o json")
	r.require(f.t, exitOK)
	var partitions []inspect.Partition
	require.NoError(f.t, json.Unmarshal([]byte(r.stdout), &partitions))
	owners := make(map[string]string)
	for _, p := range partitions {
		owners[p.ID] = p.OwnerID
	}
	return owners
}

func (f *fleet) shares() map[string]int {
	shares := make(map[string]int)
	for _, owner := range f.owners() {
		shares[owner]++
	}
	return shares
}

// Operators steer a fleet of real processes, and nothing of it is handled twice or left out.
func TestAFleetIsSteered(t *testing.T) {
	f := newFleet(t, 6)
	var runners []*runner
	for _, id := range []string{"a", "b", "c"} {
		runners = append(runners, f.run("--owner-id", id, "--", "sh", "-c", beater))
	}
	f.awaitBeats(nil)
	balanced := func() bool {
		shares := f.shares()
		return shares["a"] == 2 && shares["b"] == 2 && shares["c"] == 2
	}
	require.Eventually(t, balanced, time.Minute, 50*time.Millisecond)

	r := f.operate("member drain orders/billing a --reason maintenance")
	r.require(t, exitOK)
	require.Contains(t, r.stdout, "draining: 2 left (")
	require.Contains(t, r.stdout, "member a owns nothing, and takes nothing\n")
	require.Zero(t, f.shares()["a"])
	r = f.operate("member list orders/billing")
	require.Contains(t, r.stdout, "working, draining  maintenance")
	f.operate("member uncordon orders/billing a").require(t, exitOK)
	require.Eventually(t, balanced, time.Minute, 50*time.Millisecond)

	r = f.operate("partition pause orders/billing 0 1 --for 1h")
	r.require(t, exitOK)
	require.Contains(t, r.stdout, "partition 0 is paused\npartition 1 is paused\n")
	paused := len(f.read("0"))
	require.Empty(t, f.owners()["0"])
	elsewhere := len(f.read("2"))
	require.Eventually(t, func() bool { return len(f.read("2")) > elsewhere+10 }, time.Minute, 20*time.Millisecond)
	require.Len(t, f.read("0"), paused, "nobody handles it")
	f.operate("partition resume orders/billing 0 1").require(t, exitOK)
	require.Eventually(t, func() bool { return len(f.read("0")) > paused }, time.Minute, 20*time.Millisecond)
	require.Eventually(t, balanced, time.Minute, 50*time.Millisecond)

	other := map[string]string{"a": "b", "b": "c", "c": "a"}
	to := other[f.owners()["2"]]
	r = f.operate("partition pin orders/billing 2 --to " + to)
	r.require(t, exitOK)
	require.Contains(t, r.stdout, "partition 2 is pinned to "+to)
	require.Equal(t, to, f.owners()["2"])
	f.operate("partition unpin orders/billing 2").require(t, exitOK)

	before := f.owners()["3"]
	r = f.operate("partition release orders/billing 3")
	r.require(t, exitOK)
	require.Contains(t, r.stdout, "partition 3: "+before+" -> ")
	require.NotEqual(t, before, f.owners()["3"])

	f.operate("member cordon orders/billing b --for 2s").require(t, exitOK)
	require.Contains(t, f.operate("member show orders/billing b").stdout, "cordoned")
	require.Eventually(t, func() bool {
		return !strings.Contains(f.operate("member show orders/billing b").stdout, "cordoned")
	}, time.Minute, 50*time.Millisecond, "it goes by itself")

	for _, runner := range runners {
		runner.signal(syscall.SIGTERM)
	}
	for _, runner := range runners {
		require.NoError(t, runner.ended())
	}
	f.requireOneAtATime()
	f.requireCountsOn()
}

// A worker that does not end keeps its partition from being drained in time: the command says so. It can be taken away
// all the same, and the next owner begins after the last checkpoint.
func TestAStuckPartitionIsTakenAway(t *testing.T) {
	f := newFleet(t, 1)
	f.run("--owner-id", "a", "--drain-timeout", "10m", "--", "sh", "-c",
		strings.Replace(beater, "trap 'draining=yes' TERM", "trap '' TERM", 1))
	f.awaitBeats(nil)
	r := f.operate("partition release orders/billing 0")
	r.require(t, exitFailure, "there is no other member", "--now", "tenure partition pause")
	f.run("--owner-id", "b", "--", "sh", "-c", beater)
	require.Eventually(t, func() bool {
		return strings.Contains(f.operate("member list orders/billing").stdout, "\nb ")
	}, time.Minute, 50*time.Millisecond)
	r = f.operate("member drain orders/billing a --timeout 1s")
	r.require(t, exitFailure, "after 1s these are still owned: 0", "tenure member uncordon")
	r = f.operate("partition release orders/billing 0 --now")
	r.require(t, exitOK)
	require.Contains(t, r.stdout, "partition 0: a -> b\n")
	r = f.operate("partition release orders/billing 0 --now") // when a is drained and passed over
	r.require(t, exitOK)
	require.Contains(t, r.stdout, "partition 0: b has it again, anew\n")
	require.Eventually(t, func() bool {
		beats := f.read("0")
		return beats[len(beats)-1].fence != beats[0].fence
	}, time.Minute, 20*time.Millisecond)
	f.requireOneAtATime()
	beats := f.read("0")
	for i := 1; i < len(beats); i++ {
		require.LessOrEqual(t, beats[i].n, beats[i-1].n+1, "nothing is left out")
	}
}
