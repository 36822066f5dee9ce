package transport

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
)

const (
	// pipeBuffer is how much is read from a socket at a time, and written,
	// in bytes: crypto/tls makes a system call a record of 16 KiB.
	pipeBuffer = 128 << 10
	// pipeSpare is room for the headers of what is written in pipeBuffer.
	pipeSpare = 4 << 10
	// pipeMost bounds what waits to be written, in bytes: a peer can have
	// crypto/tls answer its key updates without end.
	pipeMost = 2 * pipeBuffer
)

// pipeBuffers holds slices of pipeBuffer + pipeSpare bytes. A pipe has one only
// while data moves, so that idle connections are small.
var pipeBuffers = sync.Pool{New: func() any {
	b := make([]byte, pipeBuffer+pipeSpare)
	return &b
}}

var errPipeFull = errors.New("too much waits to be written")

// A pipe is the connection under TLS. After the handshake crypto/tls writes
// only into memory: a deadline that struck inside a record would spoil a
// tls.Conn for good. flush sends that, and may go on after a deadline.
type pipe struct {
	net.Conn
	read, sent atomic.Uint64 // bytes

	fill func() error // waits, then sets rest; nil: Conn.Read is called

	// Of the reader.
	rest   []byte  // read and not yet handed to TLS, in held
	held   *[]byte // nil: rest is empty
	nowait bool    // Read fails with os.ErrDeadlineExceeded instead of waiting

	mu      sync.Mutex
	memory  bool    // writes go to waiting
	waiting []byte  // written and not sent, in taken or grown beyond it
	taken   *[]byte // nil: waiting is empty
}

// newPipe wraps a connection. With ahead much is read at a time.
func newPipe(c net.Conn, ahead bool) *pipe {
	p := &pipe{Conn: c}
	if ahead {
		p.fill = p.filler()
	}
	return p
}

// Read implements net.Conn for TLS.
func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		switch {
		case p.nowait:
			return 0, os.ErrDeadlineExceeded
		case p.fill == nil:
			n, err := p.Conn.Read(b)
			p.read.Add(uint64(n))
			return n, err
		}
		if err := p.fill(); err != nil {
			return 0, err
		}
		p.read.Add(uint64(len(p.rest)))
	}
	n := copy(b, p.rest)
	p.took(p.rest[n:])
	return n, nil
}

// stats returns what is known of the connection.
func (p *pipe) stats() (s Stats) {
	kernelStats(p.Conn, &s)
	s.BytesReceived, s.BytesSent = p.read.Load(), p.sent.Load()
	return s
}

// took sets what is left to hand out.
func (p *pipe) took(rest []byte) {
	if p.rest = rest; len(rest) == 0 && p.held != nil {
		pipeBuffers.Put(p.held)
		p.rest, p.held = nil, nil
	}
}

// buffer makes all later writes wait for flush.
func (p *pipe) buffer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory = true
}

// Write implements net.Conn for TLS.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.memory:
		n, err := p.Conn.Write(b)
		p.sent.Add(uint64(n))
		return n, err
	case len(p.waiting)+len(b) > pipeMost:
		return 0, errPipeFull
	case p.taken == nil:
		p.taken = pipeBuffers.Get().(*[]byte)
		p.waiting = (*p.taken)[:0]
	}
	p.waiting = append(p.waiting, b...)
	return len(b), nil
}

// flush sends what waits. After an error it may be called again: it goes on
// where it stopped. One goroutine at a time may call it.
func (p *pipe) flush() error {
	for {
		p.mu.Lock()
		b := p.waiting
		if len(b) == 0 {
			p.forget()
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		n, err := p.Conn.Write(b)
		p.sent.Add(uint64(n))
		p.mu.Lock()
		p.waiting = p.waiting[n:]
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// forget gives the buffer back. Nothing waits, and the caller holds mu.
func (p *pipe) forget() {
	if p.taken != nil {
		pipeBuffers.Put(p.taken)
		p.waiting, p.taken = nil, nil
	}
}

// unsent returns the bytes that wait.
func (p *pipe) unsent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}
