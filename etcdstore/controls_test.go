package etcdstore

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// TestControlsAreSetAndTakenBack sets each kind of control, on more names than one transaction takes, and takes them
// back.
func TestControlsAreSetAndTakenBack(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startStore(t, client, nil, nil)
	mirror, err := s.Watch(soon(t), group, nil)
	require.NoError(t, err)
	of := func(c *Controls, kind ControlKind) map[string]Control {
		switch kind {
		case Cordon:
			return c.Cordoned
		case Drain:
			return c.Drained
		case Pin:
			return c.Pinned
		case Avoid:
			passed := make(map[string]Control)
			for id, by := range c.Avoid {
				passed[id] = by["pod/1"]
			}
			return passed
		case Pause:
		}
		return c.Paused
	}
	many := append(partitions(200), "a/b", "ü", "0")
	for _, kind := range []ControlKind{Cordon, Drain, Pin, Pause, Avoid} {
		before := time.Now()
		want := Control{Reason: "node goes", SetBy: "ann@laptop", ExpiresAt: before.Add(time.Hour)}
		if kind == Pin || kind == Avoid {
			want.OwnerID = "pod/1"
		}
		require.NoError(t, s.SetControl(soon(t), group, kind, want, many...))
		snapshot := awaitMirror(t, mirror, func(s *Snapshot) bool { return len(of(&s.Controls, kind)) == len(many)-1 })
		for id, got := range of(&snapshot.Controls, kind) {
			require.WithinRange(t, got.SetAt, before.Add(-time.Second), time.Now())
			require.WithinDuration(t, want.ExpiresAt, got.ExpiresAt, 0)
			got.SetAt, got.ExpiresAt = time.Time{}, want.ExpiresAt
			require.Equal(t, want, got, "%s of %s", kind, id)
		}
		if kind == Avoid {
			require.ErrorIs(t, s.RemoveControl(soon(t), group, kind, many...), ErrInvalidArgument)
			require.NoError(t, s.Readmit(soon(t), group, "pod/1", many...))
		} else {
			require.NoError(t, s.RemoveControl(soon(t), group, kind, append(many, "nobody's")...))
		}
		awaitMirror(t, mirror, func(s *Snapshot) bool { return len(of(&s.Controls, kind)) == 0 })
	}
}

// TestALateControlDoesNotComeBack takes a control back while the network still holds the first copy of what set it, and
// delivers that then.
func TestALateControlDoesNotComeBack(t *testing.T) {
	t.Parallel()
	const reason = "late word"
	arrived := make(chan struct{}, 8)
	cluster := etcdtest.Start(t, func(cfg *embed.Config) {
		cfg.GRPCAdditionalServerOptions = append(cfg.GRPCAdditionalServerOptions, grpc.ChainUnaryInterceptor(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				txn, ok := req.(*pb.TxnRequest)
				for _, op := range txn.GetSuccess() {
					if ok && bytes.Contains(op.GetRequestPut().GetValue(), quoted(reason)) {
						defer func() { arrived <- struct{}{} }()
					}
				}
				return handler(context.WithoutCancel(ctx), req) // late copies are not called back
			}))
	})
	group := testGroup(t)
	other := startStore(t, cluster.Client(t), nil, nil)
	require.NoError(t, other.RemoveControl(soon(t), group, Cordon, "a"))
	road := newRoad(t, cluster)
	s := startStore(t, road.client, nil, nil)
	key := s.keys.key(group, kindControl, controlChanges)
	latest, err := s.read(soon(t), key)
	require.NoError(t, err)
	require.Len(t, latest.Kvs, 1)
	road.cut(s)
	op := func(string) clientv3.Op {
		return clientv3.OpPut(s.keys.key(group, kindControl, "cordon/a"), string(Control{Reason: reason}.encode()))
	}
	set := make(chan error, 1)
	go func() { set <- s.alterAt(soon(t), key, latest.Kvs[0].ModRevision, []string{"a"}, op) }()
	road.await(t, []string{reason})
	road.lose()
	require.NoError(t, <-set, "a second copy has set it")
	<-arrived
	require.NoError(t, other.RemoveControl(soon(t), group, Cordon, "a"))
	road.deliver()
	<-arrived
	mirror, err := other.Watch(soon(t), group, nil)
	require.NoError(t, err)
	require.Empty(t, mirror.Snapshot().Controls.Cordoned)
}

func TestAControlExpires(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startStore(t, client, nil, nil)
	mirror, err := s.Watch(soon(t), group, nil)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, s.SetControl(soon(t), group, Pause, Control{ExpiresAt: began.Add(2500 * time.Millisecond)}, "0"))
	require.NoError(t, s.SetControl(soon(t), group, Pause, Control{}, "1"))
	snapshot := awaitMirror(t, mirror, func(s *Snapshot) bool { return len(s.Controls.Paused) == 2 })
	require.Zero(t, snapshot.Controls.Paused["1"].ExpiresAt)
	snapshot = awaitMirror(t, mirror, func(s *Snapshot) bool { return len(s.Controls.Paused) == 1 })
	require.Contains(t, snapshot.Controls.Paused, "1")
	require.GreaterOrEqual(t, time.Since(began), 2500*time.Millisecond)
}

func TestControlsThatNoRecordCanHoldAreRefused(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startStore(t, client, nil, nil)
	before := revisionNow(t, client)
	set := func(kind ControlKind, control Control, names ...string) error {
		return s.SetControl(soon(t), group, kind, control, names...)
	}
	for want, err := range map[string]error{
		`names[1].PartitionID is "", want a non-empty string`: set(Pause, Control{}, "0", ""),
		`names[0].OwnerID is ""`:                              set(Drain, Control{}, ""),
		`control.OwnerID is ""`:                               set(Pin, Control{}, "0"),
		`control.OwnerID is "\"a\""`:                          set(Drain, Control{OwnerID: "a"}, "b"),
		`control.Reason is`:                                   set(Drain, Control{Reason: "\xff"}, "b"),
		`131072 bytes at the most`:                            set(Drain, Control{Reason: strings.Repeat("x", 131073)}, "b"),
		`control.ExpiresAt is`:                                set(Drain, Control{ExpiresAt: time.Unix(1, 0)}, "b"),
		`kind is "stop", want cordon, drain`:                  set("stop", Control{}, "b"),
		`group.EventHubName is ""`:                            s.RemoveControl(soon(t), Group{"ns", "", "group"}, Pause, "0"),
	} {
		require.ErrorIs(t, err, ErrInvalidArgument)
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, before, revisionNow(t, client))
}

// TestGroupsAreListed lists groups with corrupt and foreign records among them.
func TestGroupsAreListed(t *testing.T) {
	t.Parallel()
	client := etcdtest.Start(t).Client(t)
	s := startStore(t, client, nil, nil)
	all, err := s.ListGroups(soon(t))
	require.NoError(t, err)
	require.Empty(t, all)
	var want []*Snapshot
	for i := range 3 {
		group := Group{"ns", "a/hub" + strconv.Itoa(i), "group"}
		number := int64(i)
		checkpoint := Checkpoint{Group: group, PartitionID: "0", SequenceNumber: &number}
		require.NoError(t, s.UpdateCheckpoint(soon(t), checkpoint, nil))
		require.NoError(t, s.AddPartitions(soon(t), group, []string{"0", "1"}))
		_, err := client.Put(soon(t), s.keys.group(group)+"ownership/%zz", "{}")
		require.NoError(t, err)
	}
	_, err = client.Put(soon(t), s.keys.prefix+"/no group", "{}")
	require.NoError(t, err)
	_, err = client.Put(soon(t), s.keys.prefix+"/a/b/%zz/ownership/1", "{}")
	require.NoError(t, err)
	_, err = client.Put(soon(t), s.keys.prefix+"2/a/b/c/ownership/1", "{}")
	require.NoError(t, err)
	for i := range 3 {
		group := Group{"ns", "a/hub" + strconv.Itoa(i), "group"}
		want = append(want, snapshotAt(t, s, client, group, revisionNow(t, client), true))
	}
	all, err = s.ListGroups(soon(t))
	require.NoError(t, err)
	require.Len(t, all, len(want))
	for i := range want {
		requireSame(t, want[i], all[i])
		require.Len(t, all[i].Corrupt, 1)
	}
}

// TestGroupsAreFollowed follows groups while they come, change and go.
func TestGroupsAreFollowed(t *testing.T) {
	t.Parallel()
	client := etcdtest.Start(t).Client(t)
	s := startStore(t, client, nil, nil)
	groups := []Group{{"ns", "hub", "a"}, {"ns", "hub", "b"}}
	checkpoint := func(i int, number int64) {
		require.NoError(t, s.UpdateCheckpoint(soon(t), at(Ownership{Group: groups[i], PartitionID: "0"}, number), nil))
	}
	checkpoint(0, 1)
	ctx, stop := context.WithCancel(soon(t))
	type seen struct {
		group  Group
		number int64
		empty  bool
	}
	told := make(chan seen, 100)
	followed := make(chan error, 1)
	go func() {
		followed <- s.FollowGroups(ctx, func(s *Snapshot) {
			now := seen{group: s.Group, empty: s.IsEmpty()}
			if c, found := s.Checkpoints["0"]; found {
				now.number = *c.SequenceNumber
			}
			told <- now
		})
	}()
	require.Equal(t, seen{groups[0], 1, false}, <-told)
	checkpoint(1, 7)
	require.Equal(t, seen{groups[1], 7, false}, <-told)
	for number := range int64(50) {
		checkpoint(1, 8+number)
	}
	tells := 0
	for last := int64(0); last < 57; tells++ {
		now := <-told
		require.Equal(t, groups[1], now.group)
		require.Greater(t, now.number, last, "each is told of once")
		last = now.number
	}
	require.Less(t, tells, 50, "changes that come close together are told of together")
	_, err := client.Delete(soon(t), s.keys.group(groups[0]), clientv3.WithPrefix())
	require.NoError(t, err)
	require.Equal(t, seen{groups[0], 0, true}, <-told)
	stop()
	require.ErrorIs(t, <-followed, context.Canceled)

	require.NoError(t, s.Close(soon(t)))
	require.ErrorIs(t, s.FollowGroups(soon(t), func(*Snapshot) {}), ErrClosed)
}
