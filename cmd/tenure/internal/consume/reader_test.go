package consume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fakeClient stands for the SDK's, whose faults (links stolen and lost between two events) no server can be made to
// show at a given moment. Like it, ReceiveEvents waits for the whole count or the end of its context.
type fakeClient struct {
	arriving chan *azeventhubs.ReceivedEventData
	broken   chan error

	reject func(sequence int64) error
	saved  []string // what was checkpointed, and how long after the start
	begun  time.Time
}

func newFakeClient() *fakeClient {
	return &fakeClient{
		arriving: make(chan *azeventhubs.ReceivedEventData, 10_000), broken: make(chan error, 1), begun: time.Now(),
		reject: func(int64) error { return nil },
	}
}

func (f *fakeClient) PartitionID() string { return "0" }

func (f *fakeClient) ReceiveEvents(
	ctx context.Context, count int, _ *azeventhubs.ReceiveEventsOptions,
) ([]*azeventhubs.ReceivedEventData, error) {
	var events []*azeventhubs.ReceivedEventData
	for len(events) < count {
		select {
		case e := <-f.arriving:
			events = append(events, e)
			continue
		default:
		}
		select {
		case e := <-f.arriving:
			events = append(events, e)
		case err := <-f.broken:
			return nil, err
		case <-ctx.Done():
			if len(events) > 0 {
				return events, nil
			}
			return nil, ctx.Err()
		}
	}
	return events, nil
}

func (f *fakeClient) UpdateCheckpoint(
	_ context.Context, e *azeventhubs.ReceivedEventData, _ *azeventhubs.UpdateCheckpointOptions,
) error {
	if err := f.reject(e.SequenceNumber); err != nil {
		return err
	}
	after := time.Since(f.begun).Truncate(100 * time.Millisecond)
	f.saved = append(f.saved, fmt.Sprintf("%d at %v", e.SequenceNumber, after))
	return nil
}

// arrive makes n events arrive, numbered from first.
func (f *fakeClient) arrive(first, n int64) {
	for i := range n {
		f.arriving <- received(first+i, "body")
	}
}

// running is a reader under test, in a synctest bubble.
type running struct {
	*reader

	client *fakeClient
	stdout *stdout
	stop   func()
	ended  chan error
}

// stdout fails once it has been told to.
type stdout struct {
	bytes.Buffer

	err error
}

func (s *stdout) Write(lines []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.Buffer.Write(lines)
}

func startReader(t *testing.T) *running {
	t.Helper()
	receiving, stop := context.WithCancel(t.Context())
	client, out := newFakeClient(), &stdout{}
	r := &running{
		client: client, stdout: out, stop: stop, ended: make(chan error, 1),
		reader: &reader{
			partition: processorPartition{client, zap.NewNop()}, log: zap.NewNop(),
			printer:  &printer{out: &output{w: out, onFailed: stop}},
			progress: progress{count: 1000, interval: 5 * time.Second},
		},
	}
	go func() { r.ended <- r.run(receiving, t.Context()) }()
	return r
}

// pass lets time pass on the bubble's clock, and everybody do what is to be done by then.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // Nobody waits: the clock is synctest's.
	synctest.Wait()
}

func (r *running) requirePrinted(t *testing.T, want int) {
	t.Helper()
	require.Equal(t, want, strings.Count(r.stdout.String(), "\n"))
	require.EqualValues(t, want, r.printer.events.Load())
}

func TestCheckpointsByCountAndByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t)
		r.client.arrive(0, 1500)
		pass(time.Minute) // 500 events stay unsaved until time saves them, though none come.
		r.requirePrinted(t, 1500)
		r.client.arrive(1500, 1)
		pass(time.Second)
		r.client.arrive(1501, 1)
		pass(time.Minute)
		r.client.arrive(1502, 1)
		pass(time.Second)
		r.stop()
		require.NoError(t, <-r.ended)
		r.requirePrinted(t, 1503)
		require.Equal(t, []string{"1199 at 0s", "1499 at 5s", "1501 at 1m5s", "1502 at 2m2s"}, r.client.saved)
		require.Zero(t, r.progress.unsaved)
	})
}

func TestNothingToSaveWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t)
		pass(time.Hour)
		r.stop()
		require.NoError(t, <-r.ended)
		require.Empty(t, r.client.saved)
	})
}

func TestOnlyWhatWasWrittenIsCheckpointed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t)
		r.client.arrive(0, 10)
		pass(time.Second)
		r.stdout.err = syscall.EPIPE
		r.client.arrive(10, 10)
		err := <-r.ended
		require.ErrorIs(t, err, syscall.EPIPE)
		require.Equal(t, "output failed", reason(err))
		r.requirePrinted(t, 10)
		require.Empty(t, r.client.saved, "nothing is checkpointed once the reader of the pipe has gone")
	})
}

func TestAnotherReadersFailedOutputStopsCheckpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t)
		r.client.arrive(0, 10)
		pass(time.Second)
		r.stdout.err = syscall.EPIPE
		require.Error(t, r.printer.out.write([]byte("of another reader\n")))
		require.ErrorIs(t, <-r.ended, errOutput)
		require.Empty(t, r.client.saved)
	})
}

func TestRejectedCheckpointStopsTheReader(t *testing.T) {
	t.Parallel()
	for want, rejection := range map[string]error{
		"ownership lost":                       etcdstore.ErrOwnershipLost,
		"checkpoint changed by another writer": etcdstore.ErrCheckpointConflict,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := startReader(t)
			r.client.reject = func(int64) error { return fmt.Errorf("refused: %w", rejection) }
			r.client.arrive(0, 10)
			err := <-r.ended
			require.ErrorIs(t, err, rejection)
			require.Equal(t, want, reason(err))
			require.EqualValues(t, 1, r.printer.rejected.Load())
			require.Equal(t, 5*time.Second, time.Since(r.client.begun).Truncate(time.Second))
		})
	}
}

func TestFailedCheckpointIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t)
		tries := 0
		r.client.reject = func(int64) error {
			if tries++; tries < 3 {
				return etcdstore.ErrOutcomeUnknown
			}
			return nil
		}
		r.client.arrive(0, 10)
		pass(time.Minute)
		require.Equal(t, []string{"9 at 15s"}, r.client.saved)
		r.client.reject = func(int64) error { return etcdstore.ErrOutcomeUnknown }
		r.client.arrive(10, 1)
		synctest.Wait()
		r.stop()
		require.ErrorIs(t, <-r.ended, etcdstore.ErrOutcomeUnknown, "the last try must not be passed over")
	})
}

func TestLostLinkSavesWhatWasPrinted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t)
		r.client.arrive(0, 10)
		pass(time.Second)
		lost := errors.New("link lost")
		r.client.broken <- lost
		require.ErrorIs(t, <-r.ended, lost)
		r.requirePrinted(t, 10)
		require.Equal(t, []string{"9 at 1s"}, r.client.saved)
	})
}
