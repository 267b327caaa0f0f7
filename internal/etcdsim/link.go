package etcdsim

import (
	"context"
	"net"
	"sync"
	"time"
)

// Direction is one of a link's.
type Direction int

// The directions of a link.
const (
	ToServer Direction = iota
	ToClient
)

// Link is the network between a client and the etcd.
type Link struct {
	etcd   *Etcd
	number uint64
	stale  func() bool // the client speaks to a leader of the past

	mu      sync.Mutex
	cuts    [2]bool
	delay   time.Duration
	refuses bool
	conns   []*conn
	healed  chan struct{} // closed and replaced when something changes
}

// Cut lets nothing through in one direction. What is sent is held.
func (l *Link) Cut(d Direction) { l.change(func() { l.cuts[d] = true }) }

// Delay makes every byte take that much longer, each way.
func (l *Link) Delay(d time.Duration) { l.change(func() { l.delay = d }) }

// Heal ends all that is wrong. What is held arrives.
func (l *Link) Heal() { l.change(func() { l.cuts, l.delay, l.refuses = [2]bool{}, 0, false }) }

// Reset ends all connections. What is on its way is lost.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.from.end(true)
		c.to.end(true)
	}
	l.conns = nil
}

// Refuse ends all connections and makes no others.
func (l *Link) Refuse() {
	l.change(func() { l.refuses = true })
	l.Reset()
}

func (l *Link) change(apply func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	apply()
	close(l.healed)
	l.healed = make(chan struct{})
}

func (l *Link) cut(d Direction) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cuts[d], l.healed
}

// grain is how long what is written takes the same time: how a client cuts it into writes must not matter.
const grain = time.Millisecond

// latency is how long a byte takes that is written now. No two links have the same, so that what happens has an order.
func (l *Link) latency(d Direction) time.Duration {
	l.mu.Lock()
	delay := l.delay
	l.mu.Unlock()
	moment := uint64(time.Now().UnixNano() / int64(grain))
	return delay + 100*time.Microsecond + time.Duration(l.etcd.chance(l.number, uint64(d), moment)%400_000)
}

// dial connects the link's client.
func (l *Link) dial(context.Context, string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuses {
		return nil, net.ErrClosed
	}
	up, down := newWire(l, ToServer), newWire(l, ToClient)
	client := &conn{from: down, to: up}
	l.conns = append(l.conns, client)
	l.etcd.accepts <- &serverConn{conn{from: up, to: down}, l}
	return client, nil
}

// serverConn is the server's end.
type serverConn struct {
	conn

	link *Link
}

// listener hands links' connections to the server.
type listener struct{ etcd *Etcd }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.etcd.accepts:
		return c, nil
	case <-l.etcd.stopped:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error   { return nil }
func (l listener) Addr() net.Addr { return address{} }
