package etcdstore

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// lateCopies is how many late copies each of these tests makes. TENURE_LATE_COPIES changes it.
func lateCopies(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TENURE_LATE_COPIES")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "TENURE_LATE_COPIES")
	return n
}

// lateEtcd is an etcd that counts which copies reach it.
func lateEtcd(t *testing.T) (*etcdtest.Cluster, *tally) {
	t.Helper()
	reached := newTally()
	return etcdtest.Start(t, reached.onServer, func(cfg *embed.Config) {
		// Requests that are held get no window updates.
		cfg.GRPCAdditionalServerOptions = append(cfg.GRPCAdditionalServerOptions, grpc.InitialConnWindowSize(1<<24))
	}), reached
}

// TestLateClaims holds the first copy of each claim back in the network until the claim is over for its caller:
// given up, or won or lost by a second copy. Whatever the first one still does, no owner may be left that nobody
// runs.
func TestLateClaims(t *testing.T) {
	t.Parallel()
	cluster, reached := lateEtcd(t)
	for _, kind := range []struct {
		name    string
		options *ClaimOptions
		// free says that the claim asks for no record, which comes true again.
		free bool
		// before prepares a partition and returns the etag to claim it with.
		before func(t *testing.T, other *Store, claims []Ownership) []Ownership
	}{
		{name: "without etag", free: true, before: func(_ *testing.T, _ *Store, claims []Ownership) []Ownership {
			return claims
		}},
		{name: "with the etag of another owner", before: func(t *testing.T, other *Store, claims []Ownership) []Ownership {
			return etagsOf(claims, claimAll(t, other, claimsOf(claims[0].Group, "other", idsOf(claims)), nil))
		}},
		{
			name: "with the etag of a record that is gone", free: true, options: &ClaimOptions{GrantIfGone: true},
			before: func(t *testing.T, other *Store, claims []Ownership) []Ownership {
				gone := claimAll(t, other, claimsOf(claims[0].Group, "other", idsOf(claims)), nil)
				require.NoError(t, other.Release(soon(t), gone...))
				return etagsOf(claims, gone)
			},
		},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			late := func(t *testing.T) *lateClaims {
				l := newLateClaims(t, cluster, reached)
				l.claims = kind.before(t, l.other, claimsOf(l.group, "owner", partitions(lateCopies(t))))
				l.options = kind.options
				return l
			}
			t.Run("given up", func(t *testing.T) {
				t.Parallel()
				l := late(t)
				l.begin(t)
				l.road.mute()
				l.cancel()
				l.returned.Wait()
				for i, err := range l.errs {
					require.ErrorIs(t, err, ErrOutcomeUnknown, "claim %d", i)
					require.ErrorIs(t, err, context.Canceled, "claim %d", i)
					require.Empty(t, l.won[i])
				}
				l.road.lose()
				landed := l.deliver(t)
				require.GreaterOrEqual(t, landed, len(l.claims), "copies that won")
				l.awaitReleased(t, landed)
			})
			t.Run("settled and kept", func(t *testing.T) {
				t.Parallel()
				l := late(t)
				l.begin(t)
				l.road.lose()
				kept := l.settled(t)
				require.Zero(t, l.deliver(t), "copies that won")
				require.ElementsMatch(t, withoutTimes(kept), withoutTimes(l.store.held()))
				requireNobodyIdle(t, l.store, l.group)
			})
			t.Run("settled and released", func(t *testing.T) {
				t.Parallel()
				l := late(t)
				l.begin(t)
				l.road.lose()
				require.NoError(t, l.store.Release(soon(t), l.settled(t)...))
				landed := l.deliver(t)
				if kind.free {
					require.GreaterOrEqual(t, landed, len(l.claims), "copies that won")
				} else {
					require.Zero(t, landed, "copies that won")
				}
				l.awaitReleased(t, landed)
			})
		})
	}
}

// lateClaims is claims of which the network holds the first copies.
type lateClaims struct {
	road    *road
	sent    *tally
	reached *tally
	direct  *clientv3.Client
	store   *Store
	other   *Store
	group   Group
	claims  []Ownership
	options *ClaimOptions

	cancel   context.CancelFunc
	returned sync.WaitGroup
	won      [][]Ownership
	errs     []error
	first    []string // claim_ids
	from     int64    // revision before the copies were delivered
}

func newLateClaims(t *testing.T, cluster *etcdtest.Cluster, reached *tally) *lateClaims {
	t.Helper()
	l := &lateClaims{sent: newTally(), reached: reached, direct: cluster.Client(t), group: testGroup(t)}
	l.road = newRoad(t, cluster, l.sent.onClient)
	l.store = startStore(t, l.road.client, startKeeper(t, l.direct, 10*time.Second), nil)
	l.other = startStore(t, l.direct, startKeeper(t, l.direct, 10*time.Second), nil)
	return l
}

// begin makes each claim in a call of its own and returns when all of them are held.
func (l *lateClaims) begin(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(soon(t))
	t.Cleanup(cancel)
	l.cancel = cancel
	l.won, l.errs = make([][]Ownership, len(l.claims)), make([]error, len(l.claims))
	l.road.cut(l.store)
	for i, c := range l.claims {
		l.returned.Go(func() { l.won[i], l.errs[i] = l.store.ClaimOwnership(ctx, []Ownership{c}, l.options) })
	}
	l.sent.wait(t, "claims", func(counts map[string]tallied) bool { return len(counts) == len(l.claims) })
	l.first = l.sent.ids()
	l.road.await(t, l.first)
}

// settled waits for the claims, which a second copy has won.
func (l *lateClaims) settled(t *testing.T) (won []Ownership) {
	t.Helper()
	l.returned.Wait()
	for i, err := range l.errs {
		require.NoError(t, err)
		require.Len(t, l.won[i], 1, "a claim that was sent twice is won once")
		won = append(won, l.won[i]...)
	}
	l.reached.wait(t, "all claims to be counted", func(counts map[string]tallied) bool {
		applied := 0
		for _, id := range l.first {
			applied += counts[id].applied
		}
		require.LessOrEqual(t, applied, len(l.claims), "none is applied twice")
		return applied == len(l.claims)
	})
	return won
}

// deliver delivers the first copies and returns how many of them won, once all that was sent has reached etcd.
func (l *lateClaims) deliver(t *testing.T) (landed int) {
	t.Helper()
	before := l.reached.of(l.first)
	resp, err := l.direct.Get(soon(t), "/now")
	require.NoError(t, err)
	l.from = resp.Header.Revision + 1
	l.road.deliver()
	l.reached.awaitCopies(t, l.sent, l.road, l.first)
	after := l.reached.of(l.first)
	require.GreaterOrEqual(t, after.copies-before.copies, len(l.first))
	landed = after.applied - before.applied
	fmt.Printf("%s: %d of %d late copies arrived, %d won\n", t.Name(), after.copies-before.copies, len(l.first), landed)
	return landed
}

// awaitReleased waits until every record that the late copies have written is deleted.
func (l *lateClaims) awaitReleased(t *testing.T, landed int) {
	t.Helper()
	prefix := l.store.keys.key(l.group, kindOwnership, "")
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	written, deleted := 0, 0
	if landed > 0 {
		for resp := range l.direct.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(l.from)) {
			require.NoError(t, resp.Err())
			for _, e := range resp.Events {
				if e.Type == mvccpb.PUT {
					written++
				} else {
					deleted++
				}
			}
			if deleted == landed {
				break
			}
		}
		require.Equal(t, landed, deleted, "records of late copies that were deleted")
		require.Equal(t, landed, written)
	}
	requireNobodyIdle(t, l.store, l.group)
	listed, err := l.store.ListOwnership(soon(t), l.group)
	require.NoError(t, err)
	require.Empty(t, listed)
}

func idsOf(ownerships []Ownership) []string {
	ids := make([]string, len(ownerships))
	for i, o := range ownerships {
		ids[i] = o.PartitionID
	}
	return ids
}

func etagsOf(claims, records []Ownership) []Ownership {
	claims = slices.Clone(claims)
	for i := range claims {
		claims[i].ETag = records[i].ETag
	}
	return claims
}

func withoutTimes(ownerships []Ownership) []Ownership {
	ownerships = slices.Clone(ownerships)
	for i := range ownerships {
		ownerships[i].LastModifiedTime = time.Time{}
	}
	return ownerships
}

// TestLateCheckpoints holds the first copy of each checkpoint back until a newer one is acknowledged. Beside it,
// what is written with neither fence nor chain goes back, each time.
func TestLateCheckpoints(t *testing.T) { //nolint:gocognit // one story, told in order
	t.Parallel()
	cluster, reached := lateEtcd(t)
	update := func(_ *Store, won Ownership) (*UpdateOptions, func(*Store) CheckpointStore) {
		return &UpdateOptions{Fence: &won}, func(s *Store) CheckpointStore { return s }
	}
	updateAsHolder := func(*Store, Ownership) (*UpdateOptions, func(*Store) CheckpointStore) {
		return nil, func(s *Store) CheckpointStore { return s.Holder() }
	}
	for _, kind := range []struct {
		name    string
		options func(*Store, Ownership) (*UpdateOptions, func(*Store) CheckpointStore)
		giveUp  bool
	}{
		{name: "fenced and settled", options: update},
		{name: "fenced and given up", options: update, giveUp: true},
		{name: "of a holder and settled", options: updateAsHolder},
		{name: "of a holder and given up", options: updateAsHolder, giveUp: true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			sent, direct, group := newTally(), cluster.Client(t), testGroup(t)
			road := newRoad(t, cluster, sent.onClient)
			// A store has few requests under way at a time: there have to be several.
			var stores []*Store
			var owned [][]Ownership
			for len(stores)*writesInFlight < lateCopies(t) {
				s := startStore(t, road.client, startKeeper(t, direct, 10*time.Second), nil)
				ids := partitions(writesInFlight)
				for i := range ids {
					ids[i] = fmt.Sprintf("%d-%s", len(stores), ids[i])
				}
				stores = append(stores, s)
				owned = append(owned, claimAll(t, s, claimsOf(group, "owner", ids), nil))
			}
			write := func(ctx context.Context, sequence int64) (wait func() []error) {
				var mu sync.Mutex
				var errs []error
				var writing sync.WaitGroup
				for i, s := range stores {
					for _, o := range owned[i] {
						writing.Go(func() {
							options, view := kind.options(s, o)
							err := view(s).UpdateCheckpoint(ctx, at(o, sequence), options)
							mu.Lock()
							defer mu.Unlock()
							errs = append(errs, err)
						})
					}
				}
				return func() []error { writing.Wait(); return errs }
			}
			for _, err := range write(soon(t), 1)() {
				require.NoError(t, err)
			}
			before := sent.ids()

			ctx, cancel := context.WithCancel(soon(t))
			defer cancel()
			road.cut(stores...)
			wait := write(ctx, 2)
			writes := len(stores) * writesInFlight
			sent.wait(t, "checkpoints", func(counts map[string]tallied) bool { return len(counts) >= len(before)+writes })
			late := slices.DeleteFunc(sent.ids(), func(id string) bool { return slices.Contains(before, id) })
			require.Len(t, late, writes)
			road.await(t, late)
			if kind.giveUp {
				cancel()
				for _, err := range wait() {
					require.ErrorIs(t, err, ErrOutcomeUnknown)
				}
			}
			road.lose()
			for _, err := range wait() {
				if !kind.giveUp {
					require.NoError(t, err)
				}
			}
			for _, err := range write(soon(t), 3)() {
				require.NoError(t, err)
			}
			_, was := sequences(t, direct, stores[0], group)
			second := reached.of(late)
			require.Equal(t, writes, second.applied, "the second copies")

			road.deliver()
			reached.awaitCopies(t, sent, road, late)
			fmt.Printf("%s: %d of %d late copies arrived\n", t.Name(), reached.of(late).copies-second.copies, writes)
			require.GreaterOrEqual(t, reached.of(late).copies-second.copies, writes)
			require.Equal(t, writes, reached.of(late).applied, "no late copy was applied")
			numbers, is := sequences(t, direct, stores[0], group)
			require.Len(t, numbers, writes)
			for id, sequence := range numbers {
				require.Equal(t, int64(3), sequence, "partition %s", id)
			}
			require.Equal(t, was, is)
		})
	}

	t.Run("unprotected", func(t *testing.T) {
		t.Parallel()
		direct, group := cluster.Client(t), testGroup(t)
		road := newRoad(t, cluster)
		s := startStore(t, direct, nil, nil)
		ctx, cancel := context.WithCancel(soon(t))
		defer cancel()
		value := func(sequence int64, id string) (key, value string) {
			r := checkpointRecord{SequenceNumber: &sequence, WriteID: id}
			return s.keys.key(group, kindCheckpoint, id), string(r.encode())
		}
		var ids []string
		var writing sync.WaitGroup
		road.cut()
		for i := range lateCopies(t) {
			id := fmt.Sprintf("unprotected-%d.", i)
			ids = append(ids, id)
			writing.Go(func() {
				key, value := value(1, id)
				_, err := road.client.Txn(ctx).Then(clientv3.OpPut(key, value)).Commit()
				require.ErrorIs(t, err, context.Canceled)
			})
		}
		road.await(t, ids)
		road.mute()
		cancel()
		writing.Wait()
		for _, id := range ids {
			key, value := value(2, id)
			_, err := direct.Put(soon(t), key, value)
			require.NoError(t, err)
		}
		road.deliver()
		reached.wait(t, "late copies", func(counts map[string]tallied) bool {
			return !slices.ContainsFunc(ids, func(id string) bool { return counts[id].copies < 1 })
		})
		numbers, _ := sequences(t, direct, s, group)
		back := 0
		for _, sequence := range numbers {
			if sequence == 1 {
				back++
			}
		}
		fmt.Printf("%s: %d of %d checkpoints went back\n", t.Name(), back, len(ids))
		require.Equal(t, len(ids), back)
	})
}
