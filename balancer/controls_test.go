package balancer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// What operators want of members and partitions is done.
func TestControlsAreObeyed(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 6)
	for _, id := range []string{"a", "b", "c"} {
		f.start(id, idleHandler)
	}
	before := f.await("three share", f.balanced(3))
	lift := func(name string) {
		t.Helper()
		_, err := f.client.Delete(soon(t), f.key("control", name))
		require.NoError(t, err)
	}

	f.put("control", "drain/b", `{"reason":"maintenance"}`)
	f.await("a drained member has nothing", func(s *etcdstore.Snapshot) bool {
		return owners(s)["b"] == 0 && len(s.Ownerships) == 6
	})
	lift("drain/b")
	f.await("and gets its share back", f.balanced(3))

	f.put("control", "cordon/a", `{"reason":"maintenance"}`)
	c := f.start("d", idleHandler)
	f.await("a cordoned member keeps no more than its share", func(s *etcdstore.Snapshot) bool {
		return owners(s)["a"] <= 2 && len(s.Ownerships) == 6 && owners(s)["d"] > 0
	})
	c.leave()
	f.await("and takes nothing", func(s *etcdstore.Snapshot) bool { return len(s.Ownerships) == 6 && owners(s)["a"] <= 2 })
	lift("cordon/a")
	f.await("until it is no more", f.balanced(3))

	f.put("control", "pause/3", `{"reason":"bad data"}`)
	f.await("a paused partition is nobody's", func(s *etcdstore.Snapshot) bool {
		_, owned := s.Ownerships["3"]
		return !owned && len(s.Ownerships) == 5
	})
	lift("pause/3")
	f.await("until it is no more", f.balanced(3))

	owner := f.mirror.Snapshot().Ownerships["5"].OwnerID
	other := map[string]string{"a": "b", "b": "c", "c": "a"}[owner]
	f.put("control", "pin/5", `{"owner_id":"`+other+`","reason":"a test"}`)
	f.await("a pinned partition goes where it is pinned, and shares stay even", func(s *etcdstore.Snapshot) bool {
		return s.Ownerships["5"].OwnerID == other && f.balanced(3)(s)
	})
	f.put("control", "pin/5", `{"owner_id":"nobody","reason":"a test"}`)
	settled := f.mirror.Snapshot()
	f.put("member", "ghost", `{`) // any change, that shows that the pin was seen
	f.await("a pin to an absent member does not bind", func(s *etcdstore.Snapshot) bool {
		return s.Revision > settled.Revision
	})
	require.Equal(t, other, f.mirror.Snapshot().Ownerships["5"].OwnerID)
	require.NotEmpty(t, before)
}

// A member that comes back under its name within its grace finds its partitions kept, and what it had stays with nobody
// meanwhile. When it stays away they go to the others.
func TestGraceKeepsPartitionsOverARestart(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 4)
	l := newLedger(t)
	graceful := func(o *Options) { o.Grace = 3 * time.Second }
	first := f.start("a", l.handler("a"), graceful)
	f.start("b", l.handler("b"), graceful)
	before := f.await("two share", f.balanced(2))
	l.awaitAll(f.ids)
	first.leave()
	require.NoError(t, first.err)
	left := time.Now()
	gone := f.await("its partitions are nobody's", func(s *etcdstore.Snapshot) bool { return owners(s)["a"] == 0 })
	require.Equal(t, 2, owners(gone)["b"])

	second := f.start("a", l.handler("a"), graceful)
	back := f.await("it has back what it had", f.balanced(2))
	require.Less(t, time.Since(left), f.ttl+3*time.Second)
	for _, id := range f.ids {
		require.Equal(t, before.Ownerships[id].OwnerID, back.Ownerships[id].OwnerID, "nothing has moved")
		if back.Ownerships[id].OwnerID == "b" {
			require.Equal(t, before.Ownerships[id].ETag, back.Ownerships[id].ETag, "nor was given up")
		}
	}
	l.awaitAll(f.ids)
	second.leave()
	left = time.Now()
	f.await("they go to the other", func(s *etcdstore.Snapshot) bool { return owners(s)["b"] == 4 })
	took := time.Since(left)
	t.Logf("kept for %v", took)
	require.GreaterOrEqual(t, took, 3*time.Second, "not before the grace is over")
	require.Less(t, took, f.ttl+3*time.Second+2*time.Second)
	l.awaitAll(f.ids)
	l.requireOnce()
}

// Consumers of another kind keep what they hold, and can take what they want: the members keep out of their way.
func TestMembersKeepOutOfTheWayOfOthers(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 6)
	client := etcdtest.NewClient(t, etcd.Endpoints())
	keeper, err := lease.NewKeeper(soon(t), client, &lease.Options{TTL: longTTL})
	require.NoError(t, err)
	sdk, err := etcdstore.New(client, keeper, nil)
	require.NoError(t, err)
	claim := func(id, etag string) {
		t.Helper()
		won, err := sdk.ClaimOwnership(soon(t), []etcdstore.Ownership{{
			Group: f.group, PartitionID: id, OwnerID: "sdk", ETag: etag,
		}}, nil)
		require.NoError(t, err)
		require.Len(t, won, 1)
	}
	for _, id := range []string{"0", "1", "2", "3"} {
		claim(id, "")
	}
	var events told
	f.start("a", idleHandler, listen(&events))
	f.await("what is free is the member's", func(s *etcdstore.Snapshot) bool {
		return owners(s)["a"] == 2 && owners(s)["sdk"] == 4
	})
	f.start("b", idleHandler)
	settled := f.await("members share what they have", func(s *etcdstore.Snapshot) bool {
		return owners(s)["a"] == 1 && owners(s)["b"] == 1 && owners(s)["sdk"] == 4
	})
	for id, o := range settled.Ownerships {
		if o.OwnerID == "a" {
			claim(id, o.ETag)
		}
	}
	require.ErrorIs(t, events.await(t, "lost", 1)[0].Err, etcdstore.ErrOwnershipLost)
	f.await("nothing is taken back", func(s *etcdstore.Snapshot) bool { return owners(s)["sdk"] == 5 })
	require.NoError(t, keeper.Close(soon(t)))
	f.await("what becomes free is the members'", f.balanced(2))
}
