// Package faultproxy puts a bad network between a client and one address, for tests: it goes silent, is slow, resets,
// refuses, and comes back late.
package faultproxy

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Held says what becomes of the bytes that a silent network holds when it heals.
type Held int

const (
	// DeliverHeld delivers them, late.
	DeliverHeld Held = iota

	// DropHeld loses them. A connection that lost bytes is reset, as its stream would make no sense without them.
	DropHeld
)

// Proxy forwards TCP connections to one address. Its methods are safe for concurrent use.
type Proxy struct {
	tb       testing.TB
	listener *net.TCPListener
	running  sync.WaitGroup

	mu      sync.Mutex
	target  string
	faults  faults
	changed chan struct{} // closed and replaced when faults change
	links   map[*link]struct{}
	closed  bool
}

// faults are what is wrong with the network now.
type faults struct {
	silent [2]bool // by direction
	delay  time.Duration
	rate   int // bytes a second, 0 for any
	refuse bool
}

// The directions of a connection.
const (
	toServer = iota
	toClient
)

// New returns a proxy in front of target, a host and port. It is closed when the test ends.
func New(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatalf("faultproxy: listen: %v", err)
	}
	p := &Proxy{
		tb: tb, listener: listener, target: target,
		changed: make(chan struct{}), links: map[*link]struct{}{},
	}
	p.running.Go(p.accept)
	tb.Cleanup(p.Close)
	return p
}

// Addr returns the host and port to connect to in place of the target.
func (p *Proxy) Addr() string {
	return p.listener.Addr().String()
}

// SetTarget changes the address that new connections are forwarded to.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Silence lets nothing through either way. Connections stay and new ones are accepted; what is sent is held.
func (p *Proxy) Silence() {
	p.change(func(f *faults) { f.silent = [2]bool{true, true} })
}

// CutToServer lets nothing through to the server, as Silence does; what the server sends arrives.
func (p *Proxy) CutToServer() {
	p.change(func(f *faults) { f.silent[toServer] = true })
}

// CutToClient lets nothing through to the client, as Silence does; what the client sends arrives.
func (p *Proxy) CutToClient() {
	p.change(func(f *faults) { f.silent[toClient] = true })
}

// Delay makes every byte take that long each way. It limits no rate.
func (p *Proxy) Delay(d time.Duration) {
	p.change(func(f *faults) { f.delay = d })
}

// Throttle lets that many bytes a second through each connection, each way.
func (p *Proxy) Throttle(rate int) {
	p.change(func(f *faults) { f.rate = rate })
}

// Reset resets all connections.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Cut resets all connections, and new ones as soon as they are made.
func (p *Proxy) Cut() {
	p.change(func(f *faults) { f.refuse = true })
	p.Reset()
}

// Heal ends every fault.
func (p *Proxy) Heal(held Held) {
	p.change(func(f *faults) {
		if held == DropHeld {
			for l := range p.links {
				if l.holds(f.silent) {
					l.reset()
				}
			}
		}
		*f = faults{}
	})
}

// Close ends the proxy and all connections, and waits for its goroutines. Closing it again is harmless.
func (p *Proxy) Close() {
	p.change(func(*faults) {
		p.closed = true
		for l := range p.links {
			l.reset()
		}
	})
	_ = p.listener.Close()
	p.running.Wait()
}

func (p *Proxy) change(apply func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	apply(&p.faults)
	close(p.changed)
	p.changed = make(chan struct{})
}

// now returns what is wrong now, and a channel that is closed when that changes.
func (p *Proxy) now() (faults, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults, p.changed
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.AcceptTCP()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.connect(client) })
	}
}

// connect forwards one connection until it ends.
func (p *Proxy) connect(client *net.TCPConn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := dial(target)
	if err != nil {
		resetConn(client)
		return
	}
	l := newLink(client, server)
	p.mu.Lock()
	if p.closed || p.faults.refuse {
		p.mu.Unlock()
		l.reset()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	l.run(p.now)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func dial(target string) (*net.TCPConn, error) {
	addr, err := net.ResolveTCPAddr("tcp", target)
	if err != nil {
		return nil, err
	}
	return net.DialTCP("tcp", nil, addr)
}
