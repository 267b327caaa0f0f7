package etcdstore

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestUnansweredReleaseIsDoneLater gives a release up that never reaches etcd. The lease is renewed for as long as the
// process lives, so somebody has to go on trying.
func TestUnansweredReleaseIsDoneLater(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		release func(context.Context, *Store, []Ownership) error
	}{
		{name: "release", release: func(ctx context.Context, s *Store, o []Ownership) error { return s.Release(ctx, o...) }},
		{name: "release all", release: func(ctx context.Context, s *Store, _ []Ownership) error {
			_, err := s.Holder().ReleaseAll(ctx)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := startDistant(t)
			won := claimAll(t, d.Store, claimsOf(d.group, "owner", partitions(20)), nil)
			ctx, cancel := context.WithCancel(soon(t))
			defer cancel()
			d.road.cut()
			requests := len(d.sent.ids())
			require.Equal(t, len(won), requests)
			d.sent.traffic()
			var err error
			var returned sync.WaitGroup
			returned.Go(func() { err = test.release(ctx, d.Store, won) })
			d.sent.wait(t, "the release", func(map[string]tallied) bool { return d.sent.requests > 0 })
			cancel()
			returned.Wait()
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			require.Empty(t, d.held())
			d.road.lose()
			awaitOwnerships(t, d.near, d.group, 0)
			requireNobodyIdle(t, d.Store, d.group)
		})
	}
}

// TestUnansweredRenewalIsReleased has the record of a renewal stand that its caller knows nothing of: the etag that it
// has is no longer the record's, so it can neither write nor release.
func TestUnansweredRenewalIsReleased(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	won := claimAll(t, d.Store, claimsOf(d.group, "owner", partitions(20)), nil)
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	var err error
	returned := d.dropAnswers(t, len(won), func() { _, err = d.ClaimOwnership(ctx, won, nil) })
	cancel()
	returned.Wait()
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	d.road.lose()
	awaitOwnerships(t, d.near, d.group, 0)
	requireNobodyIdle(t, d.Store, d.group)
	require.ErrorIs(t, d.UpdateCheckpoint(soon(t), at(won[0], 1), &UpdateOptions{Fence: &won[0]}), ErrOwnershipLost)
}

// TestRelinquishedIsNotTakenBack relinquishes without learning of it, and then loses the lease.
func TestRelinquishedIsNotTakenBack(t *testing.T) {
	t.Parallel()
	d := startDistantFor(t, 3*time.Second)
	won := claimAll(t, d.Store, claimsOf(d.group, "owner", partitions(4)), nil)
	for i := range won[:2] {
		won[i].OwnerID = ""
	}
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	var err error
	returned := d.dropAnswers(t, 2, func() { _, err = d.ClaimOwnership(ctx, won[:2], &ClaimOptions{GrantIfGone: true}) })
	cancel()
	returned.Wait()
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	d.road.lose()

	term, err := d.keeper.Term(soon(t))
	require.NoError(t, err)
	_, err = d.direct.Revoke(soon(t), term.ID())
	require.NoError(t, err)
	<-term.Done()
	_, err = d.keeper.Term(soon(t))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"2", "3"}, idsOf(d.held()))
	requireNobodyIdle(t, d.Store, d.group)
}

// TestUsedClaimsAreNotStrays suspects every claim of a store that holds what it has claimed.
func TestUsedClaimsAreNotStrays(t *testing.T) {
	t.Parallel()
	d := startDistant(t)
	claims := claimsOf(d.group, "owner", partitions(150))
	var won []Ownership
	var err error
	returned := d.dropAnswers(t, len(claims), func() {
		won, err = d.ClaimOwnership(soon(t), claims, &ClaimOptions{GrantIfGone: true})
	})
	d.road.lose()
	returned.Wait()
	require.NoError(t, err)
	require.Len(t, won, len(claims))
	for range 3 {
		won = claimAll(t, d.Store, won, &ClaimOptions{GrantIfGone: true})
		term, err := d.keeper.Term(soon(t))
		require.NoError(t, err)
		d.watchStray(d.group, term, idsInRecords(t, d)...) // as if each of them had gone unanswered
		requireNobodyIdle(t, d.Store, d.group)
	}
	for _, o := range won {
		require.NoError(t, d.UpdateCheckpoint(soon(t), at(o, 1), &UpdateOptions{Fence: &o}))
	}
	requireNobodyIdle(t, d.Store, d.group)
	require.Len(t, d.held(), len(claims))
}

// idsInRecords returns the claim_ids of a group's ownerships.
func idsInRecords(t *testing.T, d *distant) []string {
	t.Helper()
	kvs, _, err := d.list(soon(t), d.group, kindOwnership)
	require.NoError(t, err)
	ids := make([]string, len(kvs))
	for i, kv := range kvs {
		record, err := decodeOwnership(kv.Value)
		require.NoError(t, err)
		ids[i] = record.ClaimID
	}
	return ids
}
