package faultproxy

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// echo starts a server that sends back what it gets, and a proxy in front of it.
func echo(t *testing.T) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return New(t, listener.Addr().String())
}

func connect(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := dial(p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
}

func receive(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// requireSilence fails if anything arrives for a while. A wait that is too short can only miss a fault.
func requireSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorContains(t, err, "timeout")
}

func requireReset(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorContains(t, err, "reset")
}

func TestSilenceHoldsAndComesBackLate(t *testing.T) {
	p := echo(t)
	conn := connect(t, p)
	send(t, conn, "a")
	receive(t, conn, "a")
	p.Silence()
	send(t, conn, "b")
	late := connect(t, p)
	send(t, late, "c")
	requireSilence(t, conn)
	requireSilence(t, late)
	p.Heal(DeliverHeld)
	receive(t, conn, "b")
	receive(t, late, "c")
}

func TestDroppingResetsOnlyConnectionsThatLostBytes(t *testing.T) {
	p := echo(t)
	lost, idle := connect(t, p), connect(t, p)
	for _, conn := range []*net.TCPConn{lost, idle} {
		send(t, conn, "a")
		receive(t, conn, "a")
	}
	p.Silence()
	send(t, lost, "b")
	requireSilence(t, lost)
	p.Heal(DropHeld)
	requireReset(t, lost)
	send(t, idle, "c")
	receive(t, idle, "c")
}

func TestOneWaySilence(t *testing.T) {
	p := echo(t)
	conn := connect(t, p)
	p.CutToClient()
	send(t, conn, "a") // reaches the server; its echo is held
	requireSilence(t, conn)
	p.CutToServer()
	p.Heal(DeliverHeld)
	receive(t, conn, "a")
	p.CutToServer()
	send(t, conn, "b")
	requireSilence(t, conn)
	p.Heal(DeliverHeld)
	receive(t, conn, "b")
}

func TestDelayKeepsOrderAndRate(t *testing.T) {
	const delay = 100 * time.Millisecond
	p := echo(t)
	conn := connect(t, p)
	p.Delay(delay)
	text := bytes.Repeat([]byte("0123456789"), 100_000)
	start := time.Now()
	go func() {
		for rest := text; len(rest) > 0; rest = rest[1000:] {
			if _, err := conn.Write(rest[:1000]); err != nil {
				return // the reader reports what is missing
			}
		}
	}()
	receive(t, conn, string(text))
	took := time.Since(start)
	require.GreaterOrEqual(t, took, 2*delay)
	require.Less(t, took, 5*time.Second, "a delay for each of the 1,000 chunks would take 200 s")
}

func TestResetAndCut(t *testing.T) {
	p := echo(t)
	conn := connect(t, p)
	send(t, conn, "a")
	receive(t, conn, "a")
	p.Reset()
	requireReset(t, conn)

	conn = connect(t, p)
	send(t, conn, "b")
	receive(t, conn, "b")
	p.Cut()
	requireReset(t, conn)
	if conn, err := dial(p.Addr()); err != nil {
		require.ErrorContains(t, err, "reset") // as soon as it was made
	} else {
		requireReset(t, conn)
		_ = conn.Close()
	}
	p.Heal(DropHeld)
	conn = connect(t, p)
	send(t, conn, "c")
	receive(t, conn, "c")
}

func TestEndOfStreamPassesThrough(t *testing.T) {
	p := echo(t)
	conn := connect(t, p)
	send(t, conn, "a")
	require.NoError(t, conn.CloseWrite())
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "a", string(all))
}

func TestNewTarget(t *testing.T) {
	p := echo(t)
	other := echo(t)
	p.SetTarget(other.Addr())
	conn := connect(t, p)
	send(t, conn, "a")
	receive(t, conn, "a")
	other.Cut()
	requireReset(t, conn)
}

func TestCloseWhileBusy(t *testing.T) {
	p := echo(t)
	for range 20 {
		send(t, connect(t, p), "a")
	}
	p.Silence()
	p.Close()
	p.Close()
	_, err := dial(p.Addr())
	require.Error(t, err)
}

func TestThrottleLimitsTheRate(t *testing.T) {
	p := echo(t)
	conn := connect(t, p)
	p.Throttle(20_000)
	text := strings.Repeat("0123456789", 100)
	start := time.Now()
	for range 5 { // each 50 ms each way, but for the first
		send(t, conn, text)
		receive(t, conn, text)
	}
	require.GreaterOrEqual(t, time.Since(start), 200*time.Millisecond)
	p.Heal(DeliverHeld)
	start = time.Now()
	send(t, conn, text)
	receive(t, conn, text)
	require.Less(t, time.Since(start), 40*time.Millisecond)
}
