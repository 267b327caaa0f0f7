//go:build unix

package devetcd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tenure-go/tenure/cmd/tenure/internal/devetcd"
)

// The test binary is also the server and a client process, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 {
		var err error
		switch os.Args[1] {
		case "serve":
			err = serve(os.Args[2], os.Args[3])
		case "client":
			err = client(os.Args[2], os.Args[3])
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serve(dir, linger string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	limit, err := time.ParseDuration(linger)
	if err != nil {
		return err
	}
	return devetcd.Serve(ctx, dir, limit)
}

// client opens a session, says where the server is, and stays until its standard input ends.
func client(dir, linger string) error {
	session, err := devetcd.Open(context.Background(), dir, devetcd.Options{
		Command: []string{os.Args[0], "serve", dir, linger},
	})
	if err != nil {
		return err
	}
	fmt.Println(session.Endpoint())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return session.Close()
}

type server struct {
	Endpoint string `json:"endpoint"`
	PID      int    `json:"pid"`
}

func addressIn(t *testing.T, dir string) server {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "address"))
	require.NoError(t, err)
	var s server
	require.NoError(t, json.Unmarshal(raw, &s))
	return s
}

// newFolder returns a data folder whose server, if any, has gone when the test has.
func newFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dev")
	t.Cleanup(func() { awaitGone(t, dir) })
	return dir
}

func awaitGone(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	held := flock.New(filepath.Join(dir, "server"))
	_, err := held.TryLockContext(ctx, 20*time.Millisecond)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		require.NoError(t, err, "the server is still there: %s", log)
	}
	require.NoError(t, held.Unlock())
}

func open(t *testing.T, dir string, linger time.Duration) (*devetcd.Session, error) {
	t.Helper()
	return devetcd.Open(t.Context(), dir, devetcd.Options{
		Command: []string{os.Args[0], "serve", dir, linger.String()},
		Logger:  zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)),
	})
}

func mustOpen(t *testing.T, dir string, linger time.Duration) *devetcd.Session {
	t.Helper()
	session, err := open(t, dir, linger)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close()) })
	return session
}

func connect(t *testing.T, endpoint string) *clientv3.Client {
	t.Helper()
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = etcd.Close() })
	return etcd
}

func put(t *testing.T, endpoint, value string) {
	t.Helper()
	_, err := connect(t, endpoint).Put(t.Context(), "/key", value)
	require.NoError(t, err)
}

func requireValue(t *testing.T, endpoint, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	response, err := connect(t, endpoint).Get(ctx, "/key")
	require.NoError(t, err)
	require.Len(t, response.Kvs, 1)
	require.Equal(t, want, string(response.Kvs[0].Value))
}

func TestStartersAtOnceShareOneServer(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	const starters = 6
	endpoints := make([]string, starters)
	var group sync.WaitGroup
	for i := range starters {
		group.Go(func() {
			if session, err := open(t, dir, time.Second); err == nil {
				endpoints[i] = session.Endpoint()
				t.Cleanup(func() { _ = session.Close() })
			} else {
				t.Error(err)
			}
		})
	}
	group.Wait()
	put(t, endpoints[0], "shared")
	for _, endpoint := range endpoints {
		require.Equal(t, endpoints[0], endpoint)
	}
	requireValue(t, endpoints[starters-1], "shared")
}

func TestServerOutlivesKilledStarter(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	starter := exec.Command(os.Args[0], "client", dir, "20s")
	starter.Stderr = os.Stderr
	stdin, err := starter.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close() //nolint:errcheck // Held open until the kill.
	stdout, err := starter.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, starter.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	endpoint := strings.TrimSpace(line)
	put(t, endpoint, "before")
	before := addressIn(t, dir)
	t.Cleanup(func() { _ = syscall.Kill(before.PID, syscall.SIGTERM) }) // The linger is long here.

	require.NoError(t, syscall.Kill(starter.Process.Pid, syscall.SIGKILL))
	require.Error(t, starter.Wait())
	session := mustOpen(t, dir, 20*time.Second)
	require.Equal(t, endpoint, session.Endpoint())
	require.Equal(t, before, addressIn(t, dir))
	requireValue(t, endpoint, "before")
}

func TestServerEndsAfterItsLastClientAndKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	first, err := open(t, dir, 300*time.Millisecond)
	require.NoError(t, err)
	second, err := open(t, dir, 300*time.Millisecond)
	require.NoError(t, err)
	put(t, first.Endpoint(), "kept")
	require.NoError(t, first.Close())
	require.NoError(t, first.Close(), "closing twice is harmless")
	requireValue(t, second.Endpoint(), "kept")
	before := addressIn(t, dir)
	require.NoError(t, second.Close())
	awaitGone(t, dir)

	again := mustOpen(t, dir, 300*time.Millisecond)
	require.NotEqual(t, before.PID, addressIn(t, dir).PID)
	requireValue(t, again.Endpoint(), "kept")
}

func TestKilledServerIsStartedAgainByItsClients(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	session := mustOpen(t, dir, time.Second)
	mustOpen(t, dir, time.Second)
	put(t, session.Endpoint(), "survives")
	before := addressIn(t, dir)
	etcd := connect(t, session.Endpoint())

	require.NoError(t, syscall.Kill(before.PID, syscall.SIGKILL))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		response, err := etcd.Get(ctx, "/key")
		require.NoError(t, ctx.Err())
		if err == nil {
			require.Len(t, response.Kvs, 1)
			break
		}
	}
	requireValue(t, session.Endpoint(), "survives")
	require.Eventually(t, func() bool { return addressIn(t, dir).PID != before.PID }, 30*time.Second, 20*time.Millisecond)
	require.Equal(t, before.Endpoint, addressIn(t, dir).Endpoint)
}

func TestClientsFollowAServerThatLostItsPort(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	session := mustOpen(t, dir, time.Second)
	put(t, session.Endpoint(), "moved")
	before := addressIn(t, dir)
	moves := make(chan string, 10)
	session.Follow(func(endpoint string) { moves <- endpoint })
	require.Equal(t, before.Endpoint, <-moves)

	// Nobody starts a server until the port has been taken.
	starting := flock.New(filepath.Join(dir, "start"))
	_, err := starting.TryLockContext(t.Context(), 10*time.Millisecond)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(before.PID, syscall.SIGKILL))
	awaitGone(t, dir)
	var taken net.Listener
	require.Eventually(t, func() bool {
		taken, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", strings.TrimPrefix(before.Endpoint, "http://"))
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "the dying server gives up its port and its lock in any order")
	defer taken.Close() //nolint:errcheck // Only there to be in the way.
	require.NoError(t, starting.Unlock())

	moved := <-moves
	require.NotEqual(t, before.Endpoint, moved)
	require.Equal(t, moved, session.Endpoint())
	requireValue(t, moved, "moved")
}

func TestClientsArrivingWhileTheServerLeaves(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("TENURE_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("TENURE_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := newFolder(t)
	const linger = 150 * time.Millisecond
	for i := range 6 {
		session, err := open(t, dir, linger)
		require.NoError(t, err)
		if i > 0 {
			requireValue(t, session.Endpoint(), strconv.Itoa(i-1))
		}
		put(t, session.Endpoint(), strconv.Itoa(i))
		require.NoError(t, session.Close())
		// Somewhere around the server's leaving: it notices late by up to a poll, and takes a moment to close.
		<-time.After(linger + time.Duration(random.Int64N(int64(150*time.Millisecond))))
	}
}

func TestAddressFromBeforeWhosePortIsTaken(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close() //nolint:errcheck // Only there to be in the way.
	require.NoError(t, os.MkdirAll(dir, 0o700))
	stale := fmt.Sprintf(`{"endpoint":"http://%s","cluster_id":"1","pid":1}`, taken.Addr())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "address"), []byte(stale), 0o600))

	session := mustOpen(t, dir, time.Second)
	require.NotContains(t, session.Endpoint(), taken.Addr().String())
	put(t, session.Endpoint(), "works")
}

func TestErrorsForPeople(t *testing.T) {
	t.Parallel()
	t.Run("data of a newer etcd", func(t *testing.T) {
		t.Parallel()
		dir := newFolder(t)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "version"), []byte("99.1.0\n"), 0o600))
		_, err := open(t, dir, time.Second)
		require.ErrorContains(t, err, devetcd.ErrNewerData.Error()+": 99.1.0")
		require.ErrorContains(t, err, "--dev-dir")
	})
	t.Run("folder that cannot be made", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, err := open(t, filepath.Join(file, "dev"), time.Second)
		require.ErrorContains(t, err, "data folder cannot be made")
		require.ErrorContains(t, err, file)
	})
	t.Run("server that cannot be started", func(t *testing.T) {
		t.Parallel()
		_, err := devetcd.Open(t.Context(), t.TempDir(), devetcd.Options{Command: []string{"false"}})
		require.ErrorContains(t, err, "the --dev etcd did not start")
	})
}
