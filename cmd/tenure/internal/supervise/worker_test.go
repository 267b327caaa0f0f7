package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

func TestWorkersAreToldTheirPartition(t *testing.T) {
	t.Setenv("TENURE_WORKER_OFFSET", "of another worker")
	t.Setenv("TENURE_WORKER_NOVELTY", "of a later version")
	t.Setenv("OF_THEIR_OWN", "theirs")
	const show = `env | grep -e ^TENURE_WORKER_ -e ^OF_THEIR_OWN; pwd; echo done`
	p := newPartition("a b")
	s := script(t, p, show)
	require.NoError(t, s.result())
	s.says("done")
	directory, err := os.Getwd()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"a b | TENURE_WORKER_GROUP=local/orders/all%20of%20them\n", "a b | TENURE_WORKER_PARTITION=a b\n",
		"a b | TENURE_WORKER_OWNER_ID=me\n", "a b | TENURE_WORKER_FENCE=4711\n", "a b | OF_THEIR_OWN=theirs\n",
		"a b | " + directory + "\n", "a b | done\n",
	}, s.printed.lines())

	zero, empty := int64(0), ""
	p = newPartition("0")
	p.start = etcdstore.Checkpoint{SequenceNumber: &zero, Offset: &empty}
	s = script(t, p, show)
	require.NoError(t, s.result())
	s.says("TENURE_WORKER_SEQUENCE_NUMBER=0")
	s.says("TENURE_WORKER_OFFSET=")
}

func TestCheckpointsAreAnsweredAndFinishedWorkersSucceed(t *testing.T) {
	s := script(t, newPartition("0"), `
		echo '{"sequence_number":1,"offset":"x"}' >&3; read line <&4; echo "$line"
		echo 'checkpoint 2' >&3; read line <&4; echo "$line"
		echo '{"sequence_number":3}' >&3; read line <&4; echo "$line"
		echo '{"sequence_number":4}' >&3`)
	require.NoError(t, s.result())
	require.Equal(t, []string{"#1 @x", "#3", "#4"}, s.checkpoints())
	s.says("durable 1")
	s.says(`invalid 2 not a JSON object, such as {"sequence_number":7,"offset":"1234"}`)
	s.says("durable 3")
}

func TestWorkersThatFail(t *testing.T) {
	s := script(t, newPartition("0"), `echo '{"offset":"1"}' >&3; exit 3`)
	require.EqualError(t, s.result(), "the worker failed: exit status 3")
	require.Equal(t, []string{"@1"}, s.written)
	require.Empty(t, s.finished, "what fails hands nothing over")
	s = script(t, newPartition("0"), `kill -SEGV $$`)
	require.ErrorContains(t, s.result(), "ended by signal 11")
	s = script(t, newPartition("0"), ``, func(s *Supervisor) { s.Path = "/nowhere" })
	require.ErrorContains(t, s.result(), "no such file")
	s = script(t, newPartition("0"), ``, func(s *Supervisor) { s.ShimPath = "/nowhere" })
	require.ErrorContains(t, s.result(), "start the worker: start the shim")
	p := newPartition("0")
	p.ownership.PartitionID = "\x00"
	require.ErrorContains(t, script(t, p, ``).result(), "NUL")
}

func TestDrainingWorkersFinishWhatTheyHaveBegun(t *testing.T) {
	s := script(t, newPartition("0"), `
		trap 'echo draining
			echo "{\"offset\":\"1\"}" >&3; read line <&4; echo "$line"; echo "{\"offset\":\"2\"}" >&3; exit' TERM
		echo ready; while :; do sleep 1000 3>&- & wait $!; done`)
	s.says("ready")
	s.drain()
	require.NoError(t, s.result())
	s.says("draining")
	s.says("durable 1")
	require.Equal(t, []string{"@1", "@2"}, s.checkpoints())
}

func TestDrainingWorkersMayEndHoweverTheyLike(t *testing.T) {
	for _, text := range []string{
		`echo ready; exec sleep 1000`, // SIGTERM ends it
		`trap 'exit 143' TERM; echo ready; while :; do sleep 1000 3>&- & wait $!; done`,
		`trap 'exit 1' TERM; echo ready; while :; do sleep 1000 3>&- & wait $!; done`,
	} {
		s := script(t, newPartition("0"), `echo '{"offset":"1"}' >&3; read line <&4; `+text)
		s.says("ready")
		s.drain()
		require.NoError(t, s.result())
		require.Equal(t, []string{"@1"}, s.checkpoints())
	}
}

// A shell that does not pass SIGTERM on dies of it. What it has started is asked next and heard to the end.
func TestWhatAWorkerLeavesBehindDrainsToo(t *testing.T) {
	s := script(t, newPartition("0"), `
		(trap 'echo "{\"offset\":\"1\"}" >&3; read line <&4; echo "child: $line"; echo "{\"offset\":\"2\"}" >&3; exit' TERM
			echo ready; while :; do sleep 0.1; done) &
		wait`)
	s.says("ready")
	s.drain()
	require.NoError(t, s.result())
	s.says("child: durable 1")
	require.Equal(t, []string{"@1", "@2"}, s.checkpoints())
}

func TestWhatAWorkerLeavesBehindDoesNotKeepItsPartition(t *testing.T) {
	s := script(t, newPartition("0"), `(trap '' TERM; while :; do sleep 1000; done) & exit 1`)
	require.ErrorContains(t, s.result(), "exit status 1")
	// A process that has left the group is out of reach, and is not waited for.
	path := filepath.Join(t.TempDir(), "pid")
	s = script(t, newPartition("0"), os.Args[0]+" daemon > "+path+` & until [ -s `+path+` ]; do sleep 0.1; done
		echo '{"offset":"1"}' >&3`)
	require.NoError(t, s.result())
	require.Equal(t, []string{"@1"}, s.checkpoints())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGTERM), "it should be there")
}

func TestWorkersThatDoNotDrainAreKilled(t *testing.T) {
	s := script(t, newPartition("0"), `trap 'echo no' TERM; echo ready; while :; do sleep 0.1; done`)
	s.says("ready")
	s.drain()
	s.says("no")
	s.lose(errLost)
	require.ErrorIs(t, s.result(), errLost)
}

func TestWorkersOfALostPartitionAreAskedAndThenKilled(t *testing.T) {
	s := script(t, newPartition("0"), `trap 'echo asked; exit' TERM; echo ready; while :; do sleep 0.1; done`)
	s.says("ready")
	s.lose(errLost)
	require.ErrorIs(t, s.result(), errLost)
	s.says("asked")

	s = script(t, newPartition("0"), `trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done`)
	s.says("ready")
	s.lose(errLost)
	require.ErrorIs(t, s.result(), errLost)
	s.says("asked")
}

func TestRejectedCheckpointsAreTold(t *testing.T) {
	p := newPartition("0")
	p.onCheckpoint = func(context.Context, position) error {
		p.lose(etcdstore.ErrOwnershipLost)
		return etcdstore.ErrOwnershipLost
	}
	s := script(t, p, `trap 'exit 1' TERM
		echo '{"offset":"1"}' >&3; read line <&4 || read line <&4; echo "$line"; while :; do sleep 0.1; done`,
		func(s *Supervisor) { s.StopGrace = patience })
	require.ErrorIs(t, s.result(), etcdstore.ErrOwnershipLost)
	require.Empty(t, s.checkpoints())
}

// A worker that never reads descriptor 4, and writes more than that could hold, loses nothing and waits for nothing.
func TestWorkersNeedNotReadTheirAnswers(t *testing.T) {
	const lines = 20_000
	s := script(t, newPartition("0"), fmt.Sprintf(
		`i=0; while [ $i -lt %d ]; do i=$((i+1)); echo "{\"sequence_number\":$i}"; done >&3`, lines))
	require.NoError(t, s.result())
	written := s.checkpoints()
	require.Equal(t, fmt.Sprintf("#%d", lines), written[len(written)-1])
}

func TestTrustThatEndsEndsTheWorker(t *testing.T) {
	p := newPartition("0")
	p.trust = time.Millisecond
	s := script(t, p, `sleep 1000`)
	require.Error(t, s.result(), "its time had passed when it was to start")

	// Trust that is extended all the time is followed.
	p = newPartition("0")
	p.trust = time.Second
	s = script(t, p, `sleep 3; echo awake`)
	require.NoError(t, s.result())
	s.says("awake")
}

func TestPartitionsThatDrainAtOnce(t *testing.T) {
	p := newPartition("0")
	p.drain()
	require.NoError(t, script(t, p, `exec sleep 1000`).result())
}
