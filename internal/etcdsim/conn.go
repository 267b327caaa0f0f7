package etcdsim

import (
	"io"
	"net"
	"sync"
	"time"
)

// wire is one direction of a connection: what was written and has not been read.
type wire struct {
	link      *Link
	direction Direction

	mu      sync.Mutex
	chunks  []chunk
	closed  bool          // by the writer: what is on its way still arrives
	broken  bool          // nothing arrives any more
	changed chan struct{} // closed and replaced when there is something to look at
}

type chunk struct {
	bytes []byte
	due   time.Time
}

func newWire(l *Link, d Direction) *wire {
	return &wire{link: l, direction: d, changed: make(chan struct{})}
}

// touch wakes who reads. The caller holds mu.
func (w *wire) touch() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *wire) write(b []byte) (int, error) {
	latency := w.link.latency(w.direction)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.broken {
		return 0, io.ErrClosedPipe
	}
	due := time.Now().Add(latency)
	if n := len(w.chunks); n > 0 && w.chunks[n-1].due.After(due) {
		due = w.chunks[n-1].due // bytes do not overtake each other
	}
	w.chunks = append(w.chunks, chunk{append([]byte(nil), b...), due})
	w.touch()
	return len(b), nil
}

func (w *wire) read(b []byte) (int, error) {
	for {
		cut, healed := w.link.cut(w.direction)
		w.mu.Lock()
		var wait time.Duration
		switch {
		case w.broken:
			w.mu.Unlock()
			return 0, net.ErrClosed
		case len(w.chunks) == 0 && w.closed:
			w.mu.Unlock()
			return 0, io.EOF
		case len(w.chunks) > 0 && !cut:
			if wait = time.Until(w.chunks[0].due); wait <= 0 {
				n := copy(b, w.chunks[0].bytes)
				if w.chunks[0].bytes = w.chunks[0].bytes[n:]; len(w.chunks[0].bytes) == 0 {
					w.chunks = w.chunks[1:]
				}
				w.mu.Unlock()
				return n, nil
			}
		}
		changed := w.changed
		w.mu.Unlock()
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-changed:
		case <-healed:
		case <-due:
		}
	}
}

func (w *wire) end(broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.broken = w.broken || broken
	w.touch()
}

// conn is one end of a connection.
type conn struct{ from, to *wire }

func (c *conn) Read(b []byte) (int, error)  { return c.from.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.to.write(b) }

// Close ends both directions: what the other end has sent is not read any more.
func (c *conn) Close() error {
	c.to.end(false)
	c.from.end(true)
	return nil
}

func (c *conn) LocalAddr() net.Addr              { return address{} }
func (c *conn) RemoteAddr() net.Addr             { return address{} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

type address struct{}

func (address) Network() string { return "sim" }
func (address) String() string  { return "sim" }
