package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

var claims = []test{
	{name: "a free partition is granted to a claim without etag", run: claimFree},
	{name: "an owned partition is not granted to a claim without etag", run: claimOwned},
	{name: "the listed etag wins and is rotated", run: claimListed},
	{name: "a renewal rotates etag and time", run: renew},
	{name: "another owner takes a partition with its etag", run: takeAway},
	{name: "a stale etag loses", run: claimStale},
	{name: "a malformed etag loses", run: claimMalformed},
	{name: "a lost claim does not stop later ones", run: claimMixed},
	{name: "one of twenty concurrent claims without etag wins", run: contendFree},
	{name: "one of twenty concurrent claims with one etag wins", run: contendOwned},
	{name: "claims of nothing win nothing", run: claimNothing},
	{name: "an empty name is refused before anything is sent", run: claimUnnamed},
	{name: "a partition named twice is refused before anything is sent", run: claimTwice},
	{name: "an oversize owner is refused before anything is sent", run: claimOversize},
	{name: "any owner id is kept", run: claimOwnerIDs},
	{name: "the empty owner id relinquishes", run: relinquish},
	{name: "an etag has no meaning in another group", run: claimElsewhere},
	{name: "one call claims in several groups", run: claimGroups},
	{name: "more than a thousand partitions are claimed in one call", run: claimMany},
	{name: "an etag whose record has gone loses", run: claimGoneStrictly, needs: []need{strict, etcd}},
	{name: "an etag whose record has gone wins if asked for", run: claimGone, needs: []need{etcd}},
	{name: "a context that has ended gives its error", run: claimCancelled},
}

func claimFree(t *scope) {
	won := t.winOne(t.a, etcdstore.Ownership{Group: t.group, PartitionID: "0", OwnerID: "ann"})
	want := etcdstore.Ownership{
		Group: t.group, PartitionID: "0", OwnerID: "ann", ETag: won.ETag, LastModifiedTime: won.LastModifiedTime,
		Reason: won.Reason, // if the store has reasons
	}
	require.Equal(t, want, won)
	t.requireOwned(want)
	require.WithinDuration(t, time.Now(), won.LastModifiedTime, time.Minute)
}

func claimOwned(t *scope) {
	t.claim(t.a, "ann", "0")
	t.lose(t.a, t.ownerships("ann", "0")...)
	t.lose(t.b, t.ownerships("bob", "0")...)
}

func claimListed(t *scope) {
	won := t.claim(t.a, "ann", "0")
	listed := t.list(t.b, t.group)
	require.Len(t, listed, 1)
	require.Equal(t, won.ETag, listed[0].ETag)
	t.win(t.a, listed...)
	t.lose(t.a, listed...)
}

func renew(t *scope) {
	last := t.claim(t.a, "ann", "0")
	for range 10 {
		next := t.winOne(t.a, last)
		require.NotEqual(t, last.ETag, next.ETag)
		require.True(t, next.LastModifiedTime.After(last.LastModifiedTime), "%v, then %v",
			last.LastModifiedTime, next.LastModifiedTime)
		last = next
	}
	t.requireOwned(last)
}

func takeAway(t *scope) {
	first := t.claim(t.a, "ann", "0")
	second := t.winOne(t.b, as("bob", first))
	require.Equal(t, "bob", t.owned()[0].OwnerID)
	t.lose(t.a, first)
	third := t.winOne(t.a, as("ann", second))
	t.lose(t.b, second)
	t.requireOwned(third)
}

func claimStale(t *scope) {
	first := t.claim(t.a, "ann", "0")
	t.winOne(t.a, first)
	t.lose(t.a, first)
	t.lose(t.b, as("bob", first))
}

func claimMalformed(t *scope) {
	owned := t.claim(t.a, "ann", "owned")
	etags := []string{
		"abc", "non-matching-etag", "007", "+7", "-1", "1e3", "0", "00", "0x10", "1_0", "1.0", " ", "*", `""`, "７",
		strconv.FormatUint(math.MaxUint64, 10), strconv.Itoa(math.MinInt64), strings.Repeat("9", 4096), "\x00", "\xff",
		"0" + owned.ETag, "+" + owned.ETag, " " + owned.ETag, owned.ETag + " ", `"` + owned.ETag + `"`, owned.ETag + ".0",
	}
	for _, etag := range etags {
		stolen := as("bob", owned)
		stolen.ETag = etag
		free := t.ownerships("bob", "free")[0]
		free.ETag = etag
		t.lose(t.b, stolen, free)
		require.Empty(t, t.tryWith(t.b, &etcdstore.ClaimOptions{GrantIfGone: true}, stolen, free), "%q", etag)
	}
	t.requireOwned(owned)
}

func claimMixed(t *scope) {
	owned := t.claim(t.a, "ann", "3")
	stale := t.claim(t.a, "ann", "5")
	t.win(t.a, stale)
	malformed := t.ownerships("bob", "1")[0]
	malformed.ETag = "abc"
	won := t.try(t.b,
		t.ownerships("bob", "9")[0],
		malformed,
		t.ownerships("bob", "2")[0],
		as("bob", stale),
		as("bob", owned),
		t.ownerships("bob", "4")[0],
	)
	require.Equal(t, []string{"9", "2", "3", "4"}, partitionsOf(won))
	require.Equal(t, []string{"2", "3", "4", "5", "9"}, partitionsOf(t.owned()))
}

func partitionsOf(ownerships []etcdstore.Ownership) []string {
	ids := make([]string, len(ownerships))
	for i, o := range ownerships {
		ids[i] = o.PartitionID
	}
	return ids
}

// contend has twenty callers, half of them of each store, make claims at once. It requires that one of them wins each
// partition, and that the winner is who is listed.
func (t *scope) contend(claims []etcdstore.Ownership) {
	const callers = 20
	won := make([][]etcdstore.Ownership, callers)
	errs := make([]error, callers)
	var calls sync.WaitGroup
	start := make(chan struct{})
	for i := range callers {
		store := []etcdstore.CheckpointStore{t.a, t.b}[i%2]
		mine := slices.Clone(claims)
		for j := range mine {
			mine[j].OwnerID = fmt.Sprintf("owner %d", i)
		}
		calls.Go(func() {
			<-start
			won[i], errs[i] = store.ClaimOwnership(t.Context(), mine, nil)
		})
	}
	close(start)
	calls.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	winners := slices.Concat(won...)
	require.Len(t, winners, len(claims))
	t.requireOwned(winners...)
}

func contendFree(t *scope) {
	t.contend(t.ownerships("", partitionIDs(8)...))
}

func contendOwned(t *scope) {
	t.contend(t.win(t.a, t.ownerships("ann", partitionIDs(8)...)...))
}

func partitionIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}

func claimNothing(t *scope) {
	for _, nothing := range [][]etcdstore.Ownership{nil, {}} {
		require.Empty(t, t.try(t.a, nothing...))
		won, err := t.a.ClaimOwnership(t.Context(), nothing, nil)
		require.NoError(t, err)
		require.Empty(t, won)
	}
}

// refused requires that a call was refused for its arguments, naming the field, and that it left nothing.
func (t *scope) refused(err error, field string) {
	t.Helper()
	require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
	var argument *etcdstore.ArgumentError
	require.ErrorAs(t, err, &argument)
	require.Contains(t, err.Error(), field)
	require.Empty(t, t.owned())
	require.Empty(t, t.positions())
}

func claimUnnamed(t *scope) {
	for field, empty := range map[string]func(*etcdstore.Ownership){
		"FullyQualifiedNamespace": func(o *etcdstore.Ownership) { o.FullyQualifiedNamespace = "" },
		"EventHubName":            func(o *etcdstore.Ownership) { o.EventHubName = "" },
		"ConsumerGroup":           func(o *etcdstore.Ownership) { o.ConsumerGroup = "" },
		"PartitionID":             func(o *etcdstore.Ownership) { o.PartitionID = "" },
	} {
		claims := t.ownerships("ann", "0", "1", "2")
		empty(&claims[1])
		won, err := t.a.ClaimOwnership(t.Context(), claims, nil)
		t.refused(err, "[1]."+field)
		require.Empty(t, won)
	}
}

func claimTwice(t *scope) {
	won, err := t.a.ClaimOwnership(t.Context(), t.ownerships("ann", "0", "1", "0"), nil)
	t.refused(err, "[2].PartitionID")
	require.Empty(t, won)
}

func claimOversize(t *scope) {
	won, err := t.a.ClaimOwnership(t.Context(), t.ownerships(strings.Repeat("x", 2<<20), "0"), nil)
	t.refused(err, "[0]")
	require.Empty(t, won)
}

func claimOwnerIDs(t *scope) {
	owners := []string{
		"a/b", "%2F", " ", `"`, "\\", "\n", "\x00", "\u65e5\u672c", "\u2028", "<&>", strings.Repeat("x", 1000),
	}
	var claims []etcdstore.Ownership
	for i, owner := range owners {
		claims = append(claims, t.ownerships(owner, strconv.Itoa(i))...)
	}
	t.requireOwned(t.win(t.a, claims...)...)
}

func relinquish(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	relinquished := t.winOne(t.a, as("", owned))
	t.requireOwned(relinquished)
	t.lose(t.b, t.ownerships("bob", "0")...)
	t.lose(t.a, owned)
	t.winOne(t.b, as("bob", relinquished))
	require.Equal(t, "bob", t.owned()[0].OwnerID)
}

func claimElsewhere(t *scope) {
	first := t.claim(t.a, "ann", "0")
	before := t.owned()
	for name, rename := range map[string]func(*etcdstore.Group){
		"namespace": func(g *etcdstore.Group) { g.FullyQualifiedNamespace += ".other" },
		"hub":       func(g *etcdstore.Group) { g.EventHubName += "-other" },
		"group":     func(g *etcdstore.Group) { g.ConsumerGroup += "-other" },
	} {
		elsewhere := first
		rename(&elsewhere.Group)
		elsewhere.ETag = ""
		second := t.winOne(t.b, as("bob", elsewhere))
		crossed := second
		crossed.ETag = first.ETag
		require.Empty(t, t.try(t.b, crossed), name)
		crossed = first
		crossed.ETag = second.ETag
		require.Empty(t, t.try(t.b, crossed), name)
		t.requireListed(t.a, elsewhere.Group, second)
	}
	require.Equal(t, before, t.owned())
}

func claimGroups(t *scope) {
	claims := t.ownerships("ann", "0", "0", "0")
	claims[1].EventHubName = "invoices"
	claims[2].ConsumerGroup = "billing"
	for _, won := range t.win(t.a, claims...) {
		t.requireListed(t.b, won.Group, won)
	}
}

func claimMany(t *scope) {
	const n = 1100
	ids := partitionIDs(n)
	won := t.win(t.a, t.ownerships("ann", ids...)...)
	t.requireOwned(won...)
	renewed := t.win(t.a, won...)
	t.requireOwned(renewed...)

	free := []string{"new 0", "new 1", "new 2"}
	some := slices.Insert(slices.Clone(ids), n, free[2])
	some = slices.Insert(some, n/2, free[1])
	some = slices.Insert(some, 0, free[0])
	require.Equal(t, free, partitionsOf(t.try(t.b, t.ownerships("bob", some...)...)))
	for i := range renewed {
		if i%2 == 1 {
			renewed[i] = won[i] // stale by now
		}
	}
	taken := t.try(t.b, renewed...)
	require.Len(t, taken, n/2)
	for i, w := range taken {
		require.Equal(t, ids[2*i], w.PartitionID)
	}
}

func claimGoneStrictly(t *scope) {
	gone := t.claim(t.a, "ann", "0")
	t.vanish("0")
	t.lose(t.a, gone)
	t.lose(t.b, as("bob", gone))
	t.win(t.b, t.ownerships("bob", "0")...)
}

func claimGone(t *scope) {
	ifGone := &etcdstore.ClaimOptions{GrantIfGone: true}
	gone := t.win(t.a, t.ownerships("ann", "0", "1", "2")...)
	t.vanish("0")
	t.vanish("1")
	t.claim(t.b, "bob", "1")
	won := t.tryWith(t.a, ifGone, gone...)
	require.Equal(t, []string{"0", "2"}, partitionsOf(won), "what is free, and what is held under that etag")
	require.Equal(t, "bob", t.owned()[1].OwnerID)
	require.Empty(t, t.tryWith(t.b, ifGone, as("bob", gone[0])), "it is held again, under another etag")
}

func claimCancelled(t *scope) {
	calls := map[string]func(context.Context) error{
		"ClaimOwnership": func(ctx context.Context) error {
			won, err := t.a.ClaimOwnership(ctx, t.ownerships("ann", "0"), nil)
			require.Empty(t, won)
			return err
		},
		"ListOwnership": func(ctx context.Context) error {
			_, err := t.a.ListOwnership(ctx, t.group)
			return err
		},
		"ListCheckpoints": func(ctx context.Context) error {
			_, err := t.a.ListCheckpoints(ctx, t.group)
			return err
		},
		"UpdateCheckpoint": func(ctx context.Context) error {
			return t.a.UpdateCheckpoint(ctx, t.checkpoint("0", 1), nil)
		},
	}
	for name, call := range calls {
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, call(cancelled), context.Canceled, name)
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		require.ErrorIs(t, call(late), context.DeadlineExceeded, name)
		cancel()
	}
	require.Empty(t, t.owned())
	require.Empty(t, t.positions())
}
