package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is one connection through the proxy.
type link struct {
	pipes [2]*pipe // by direction
	ended chan struct{}
	end   sync.Once
}

// pipe is one direction of a link: what was read and is still on its way.
type pipe struct {
	from, to *net.TCPConn

	mu     sync.Mutex
	chunks []chunk
	more   chan struct{} // has room for one: there is something in chunks
}

// chunk is what one read returned: bytes, or the error that ended the stream.
type chunk struct {
	bytes []byte
	err   error
	read  time.Time
}

func newLink(client, server *net.TCPConn) *link {
	return &link{
		pipes: [2]*pipe{
			toServer: {from: client, to: server, more: make(chan struct{}, 1)},
			toClient: {from: server, to: client, more: make(chan struct{}, 1)},
		},
		ended: make(chan struct{}),
	}
}

// run forwards both ways until both streams have ended or the link is reset.
func (l *link) run(now func() (faults, <-chan struct{})) {
	var writing, reading sync.WaitGroup
	for direction, p := range l.pipes {
		reading.Go(func() { p.read() })
		writing.Go(func() {
			if !p.write(l.ended, func() (state, <-chan struct{}) {
				f, changed := now()
				return state{f.silent[direction], f.delay, f.rate}, changed
			}) {
				l.reset()
			}
		})
	}
	writing.Wait()
	l.reset()
	reading.Wait()
}

// reset ends the link with a TCP reset to both sides. After both streams have ended it only frees the connections.
func (l *link) reset() {
	l.end.Do(func() {
		close(l.ended)
		for _, p := range l.pipes {
			resetConn(p.from)
		}
	})
}

func resetConn(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // fails only on a connection that is closed already
	_ = conn.Close()
}

// holds reports whether bytes wait in a silent direction.
func (l *link) holds(silent [2]bool) bool {
	for direction, p := range l.pipes {
		p.mu.Lock()
		waiting := len(p.chunks) > 0
		p.mu.Unlock()
		if waiting && silent[direction] {
			return true
		}
	}
	return false
}

func (p *pipe) read() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := p.from.Read(buffer)
		if n > 0 {
			p.push(chunk{bytes: bytes.Clone(buffer[:n]), read: time.Now()})
		}
		if err != nil {
			p.push(chunk{err: err, read: time.Now()})
			return
		}
	}
}

func (p *pipe) push(c chunk) {
	p.mu.Lock()
	p.chunks = append(p.chunks, c)
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// state is what is wrong with a direction.
type state struct {
	silent bool
	delay  time.Duration
	rate   int
}

// write forwards chunks, each when its time has come. It returns true at the end of the stream, false if the link
// broke.
func (p *pipe) write(ended <-chan struct{}, now func() (state, <-chan struct{})) bool {
	var free time.Time // when a throttled link has room
	for {
		p.mu.Lock()
		waiting := len(p.chunks) > 0
		var next chunk
		if waiting {
			next = p.chunks[0]
		}
		p.mu.Unlock()
		wrong, changed := now() // after the chunk: what came after a fault does not slip through before it

		if !waiting || wrong.silent {
			select {
			case <-ended:
				return false
			case <-changed:
			case <-p.more:
			}
			continue
		}
		due := next.read.Add(wrong.delay)
		if wrong.rate > 0 && free.After(due) {
			due = free
		}
		if wait := time.Until(due); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ended:
				timer.Stop()
				return false
			case <-changed:
				timer.Stop()
			case <-timer.C:
			}
			continue
		}
		if next.err != nil {
			return errors.Is(next.err, io.EOF) && p.to.CloseWrite() == nil
		}
		if _, err := p.to.Write(next.bytes); err != nil {
			return false
		}
		if wrong.rate > 0 {
			free = time.Now().Add(time.Duration(len(next.bytes)) * time.Second / time.Duration(wrong.rate))
		}
		// Only now: until it is written, a chunk counts as held.
		p.mu.Lock()
		p.chunks = p.chunks[1:]
		p.mu.Unlock()
	}
}
