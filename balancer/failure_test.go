package balancer

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

var errBroken = errors.New("broken")

// hasty has a member start failed handlers again soon.
func (m *testMember) hasty() *testMember {
	m.pace.restartFirst, m.pace.restartLast = 10*time.Millisecond, 20*time.Millisecond
	return m
}

// A handler that fails, in whatever way, is started again from its last checkpoint, each time as a tenure of its own.
func TestAHandlerThatFailsIsStartedAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":  func() error { return errBroken },
		"panic":  func() error { panic(errBroken) },
		"Goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			etcd := etcdtest.Start(t, etcdtest.Defaults)
			f := newFleet(t, etcd.Endpoints(), 1)
			var events told
			var fences []string
			again := make(chan int64)
			m := f.make("a", etcd.Endpoints(), names(f.ids...), func(ctx context.Context, p *Partition) error {
				fences = append(fences, p.Ownership().ETag)
				start, found := p.Start()
				if found {
					again <- *start.SequenceNumber
					return idleHandler(ctx, p)
				}
				n := int64(41)
				if err := p.Checkpoint(ctx, &n, nil); err != nil {
					return err
				}
				return fail()
			}, listen(&events)).hasty()
			m.run()
			require.Equal(t, int64(41), <-again)
			require.Greater(t, fences[1], fences[0])
			e := events.await(t, "failed", 1)[0]
			require.Contains(t, e.Reason, "starting again in")
			require.Equal(t, "0", e.Partition)
			if name == "error" {
				require.ErrorIs(t, e.Err, errBroken)
			}
			require.Equal(t, 1, owners(f.mirror.Snapshot())["a"], "the partition was kept")
			require.Zero(t, events.count("lost"))
		})
	}
}

// A partition whose handler fails again and again goes to another member, and stays where there is none.
func TestAHandlerThatFailsTooOftenIsAnothersToRun(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 2)
	var events told
	var runs atomic.Int64
	m := f.make("a", etcd.Endpoints(), names(f.ids...), func(context.Context, *Partition) error {
		runs.Add(1)
		return errBroken
	}, listen(&events)).hasty()
	m.run()
	events.await(t, "failed", 3*failuresInRow)
	require.Zero(t, events.count("excluded"), "there is nobody else")
	f.start("b", idleHandler)
	f.await("the other has all", func(s *etcdstore.Snapshot) bool { return owners(s)["b"] == 2 })
	e := events.await(t, "excluded", 1)[0]
	require.Equal(t, "a", e.OwnerID)
	require.Contains(t, e.Reason, "times in a row: broken")
}

// A handler that returns without having been asked to has finished: its partition is kept, with the position that it
// has left, and moves like others.
func TestAHandlerThatHasFinishedIsNotStartedAgain(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 1)
	var runs atomic.Int64
	finish := func(_ context.Context, p *Partition) error {
		runs.Add(1)
		n := int64(7)
		p.Finish(&n, nil)
		return nil
	}
	first := f.start("a", finish)
	f.await("its position is stored", func(s *etcdstore.Snapshot) bool {
		c, found := s.Checkpoints["0"]
		return found && *c.SequenceNumber == 7 && owners(s)["a"] == 1
	})
	f.put("control", "drain/a", `{"reason":"a test"}`)
	f.start("b", finish)
	f.await("it has moved", func(s *etcdstore.Snapshot) bool { return owners(s)["b"] == 1 })
	first.leave()
	require.NoError(t, first.err)
	require.EqualValues(t, 2, runs.Load(), "once with each")
}

// A handler that gets nowhere counts as failed.
func TestAHandlerThatGetsNowhereIsStartedAgain(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 1)
	var events told
	var runs atomic.Int64
	second := make(chan struct{})
	const limit = 300 * time.Millisecond
	began := time.Now()
	m := f.make("a", etcd.Endpoints(), names(f.ids...), func(ctx context.Context, p *Partition) error {
		if runs.Add(1) > 1 {
			close(second)
			return idleHandler(ctx, p)
		}
		for n := int64(0); time.Since(began) < 2*limit; n++ { // progress that keeps it from being stalled
			if err := p.Checkpoint(ctx, &n, nil); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}, func(o *Options) { o.StallLimit = limit }, listen(&events)).hasty()
	m.run()
	<-second
	require.GreaterOrEqual(t, time.Since(began), 3*limit)
	require.ErrorIs(t, events.await(t, "failed", 1)[0].Err, ErrStalled)
}

// Somebody else writes the partition's checkpoint: the handler's next one is refused, and it starts again from what is
// there now.
func TestACheckpointThatWasChangedIsGoneOnFrom(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 1)
	var events told
	go1, refused, from := make(chan struct{}), make(chan error, 1), make(chan int64, 1)
	f.start("a", func(ctx context.Context, p *Partition) error {
		if start, found := p.Start(); found {
			from <- *start.SequenceNumber
			return idleHandler(ctx, p)
		}
		<-go1
		n := int64(3)
		err := p.Checkpoint(ctx, &n, nil)
		refused <- err
		<-ctx.Done()
		return err
	}, listen(&events))
	f.await("one has it", f.balanced(1))
	f.put("checkpoint", "0", `{"sequence_number":100}`)
	close(go1)
	require.ErrorIs(t, <-refused, etcdstore.ErrCheckpointConflict)
	require.EqualValues(t, 100, <-from)
	events.await(t, "rejected", 1)
	require.Zero(t, events.count("failed"), "it is no failure of the handler's")
}

// A checkpoint that cannot be read is not passed over: its partition is not handled until it is mended.
func TestACorruptCheckpointStopsItsPartition(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 2)
	f.put("checkpoint", "1", `{"sequence_number":`)
	var events told
	started := make(chan string, 10)
	m := f.make("a", etcd.Endpoints(), names(f.ids...), func(ctx context.Context, p *Partition) error {
		start, found := p.Start()
		if found {
			started <- p.ID() + " from " + strconv.FormatInt(*start.SequenceNumber, 10)
		} else {
			started <- p.ID()
		}
		return idleHandler(ctx, p)
	}, listen(&events)).hasty()
	m.run()
	require.Equal(t, "0", <-started)
	require.ErrorIs(t, events.await(t, "failed", 2)[1].Err, etcdstore.ErrCorruptRecord)
	f.put("checkpoint", "1", `{"sequence_number":12}`)
	require.Equal(t, "1 from 12", <-started)
}

// Records that an operator deletes come back: the member's own, and those of its partitions, which it has lost before.
func TestDeletedRecordsComeBack(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 2)
	var events told
	var mu sync.Mutex
	causes := make(map[string]error)
	f.start("a", func(ctx context.Context, p *Partition) error {
		err := idleHandler(ctx, p)
		mu.Lock()
		defer mu.Unlock()
		causes[p.ID()] = context.Cause(ctx)
		return err
	}, listen(&events))
	before := f.await("all are owned", f.balanced(1))
	_, err := f.client.Delete(soon(t), f.key("ownership", "1"))
	require.NoError(t, err)
	f.await("it is claimed anew", func(s *etcdstore.Snapshot) bool {
		o, found := s.Ownerships["1"]
		return found && o.OwnerID == "a" && o.ETag != before.Ownerships["1"].ETag
	})
	events.await(t, "lost", 1)
	mu.Lock()
	require.ErrorIs(t, causes["1"], etcdstore.ErrOwnershipLost)
	mu.Unlock()

	deleted, err := f.client.Delete(soon(t), f.key("member", "a"))
	require.NoError(t, err)
	f.await("the member is back", func(s *etcdstore.Snapshot) bool {
		return len(s.Members) == 1 && s.Revision > deleted.Header.Revision
	})
	require.Equal(t, before.Ownerships["0"].ETag, f.mirror.Snapshot().Ownerships["0"].ETag, "what it had stays")
}

// The list of partitions is deleted, and later made unreadable: the group goes on with what it knows, puts a list that
// is gone again, and leaves one that cannot be read alone.
func TestTheListOfPartitionsIsLost(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 4)
	f.start("a", idleHandler)
	f.start("b", idleHandler)
	before := f.await("all are owned", f.balanced(2))
	_, err := f.client.Delete(soon(t), f.key("control", "partitions"))
	require.NoError(t, err)
	f.await("the list is back", func(s *etcdstore.Snapshot) bool {
		return s.Revision > before.Revision && slices.Equal(s.Controls.Partitions, f.ids)
	})
	const nonsense = `{"partitions":7}`
	f.put("control", "partitions", nonsense)
	refused := f.start("refused", idleHandler)
	<-refused.done
	require.ErrorIs(t, refused.err, etcdstore.ErrCorruptRecord)
	f.members[0].leave()
	after := f.await("all are owned by the one that is left", f.balanced(1))
	require.NotEmpty(t, after.Corrupt)
	for id, o := range before.Ownerships {
		if o.OwnerID == "b" {
			require.Equal(t, o.ETag, after.Ownerships[id].ETag, "what it had stays")
		}
	}
	found, err := f.client.Get(soon(t), f.key("control", "partitions"))
	require.NoError(t, err)
	require.Equal(t, nonsense, string(found.Kvs[0].Value))
}
