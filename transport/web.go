package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// Web says what becomes of clients that speak HTTP/1.1: browsers, curl.
type Web struct {
	// TLS is for clients that offer none of the listener's own protocols.
	// It must hold a certificate. It is copied; as for all others TLS 1.3
	// is the least version, and session tickets are off. The protocol is
	// HTTP/1.1, and a client need not name it.
	TLS *tls.Config
	// Serve is called with each connection, which belongs to it. It must
	// not block.
	Serve func(*WebConn)
}

// httpProtocol is the name of HTTP/1.1 in TLS (RFC 7301, section 6).
const httpProtocol = "http/1.1"

// ListenWeb is [ListenTCP] for HTTP without TLS: every connection is handed to
// o.Web.Serve, and Accept returns none. Of ListenOptions it uses Gate,
// StallTimeout and Web.
func ListenWeb(ln net.Listener, o ListenOptions) (Listener, error) {
	if o.Web == nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", ln.Addr(), &LocalError{Kind: LocalConfig, Err: errNoWeb})
	}
	return listenTCP(ln, o, nil), nil
}

var errNoWeb = errors.New("nobody answers what the listener takes")

// choose has the listener's protocols take precedence: who offers one of them
// is shown the listener's certificate, everybody else that of the web.
func (w *Web) choose(own []string) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	conf := hardened(w.TLS)
	conf.NextProtos = []string{httpProtocol}
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(own, p) }) {
			return nil, nil
		}
		return conf, nil
	}
}

// A WebConn is a TCP connection that speaks HTTP/1.1, over TLS or without. Any
// goroutine may call its methods, as those of a net.Conn.
//
// Write fails when no byte has left for the listener's StallTimeout. It sets
// the deadlines of writing itself. Over TLS it makes one system call for up to
// 128 KiB where a tls.Conn makes one for 16.
type WebConn struct {
	net.Conn // the socket
	pipe     *pipe
	tls      *tls.Conn // nil: without
	place    any
	stall    time.Duration
	leave    func()

	writing sync.Mutex // held by who sends
	closing sync.Once
}

// newWebConn takes a connection; t is nil without TLS.
func newWebConn(p *pipe, t *tls.Conn, place any, leave func(), stall time.Duration) *WebConn {
	if t != nil {
		p.buffer()
	}
	p.Conn.SetDeadline(time.Time{})
	return &WebConn{Conn: p.Conn, pipe: p, tls: t, place: place, leave: leave, stall: stall}
}

// Place returns what the [Gate] gave the connection.
func (c *WebConn) Place() any { return c.place }

// TLS returns the state of the connection's TLS; nil: it has no TLS.
func (c *WebConn) TLS() *tls.ConnectionState {
	if c.tls == nil {
		return nil
	}
	state := c.tls.ConnectionState()
	return &state
}

// Stats adds the bytes that wait to be sent to the window: they are kept too.
func (c *WebConn) Stats() Stats {
	s := c.pipe.stats()
	s.Window += uint64(c.pipe.unsent())
	return s
}

func (c *WebConn) Read(p []byte) (int, error) {
	if c.tls == nil {
		return c.pipe.Read(p)
	}
	return c.tls.Read(p)
}

func (c *WebConn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.tls == nil {
		err = c.insist(func() error {
			sent, err := c.Conn.Write(p[n:])
			c.pipe.sent.Add(uint64(sent))
			n += sent
			return err
		})
		return n, err
	}
	for n < len(p) {
		piece := p[n:min(len(p), n+pipeBuffer)]
		if _, err := c.tls.Write(piece); err != nil {
			return n, err
		}
		if err := c.insist(c.pipe.flush); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// insist sends until all is sent, or nothing was for the stall time-out.
func (c *WebConn) insist(send func() error) error {
	for {
		before := c.pipe.sent.Load()
		if c.stall > 0 {
			c.Conn.SetWriteDeadline(time.Now().Add(c.stall))
		}
		err := send()
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.pipe.sent.Load() == before {
			return err
		}
	}
}

// SetDeadline sets that of reading.
func (c *WebConn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// SetWriteDeadline does nothing: Write has its own.
func (c *WebConn) SetWriteDeadline(time.Time) error { return nil }

// CloseWrite says that nothing more is sent. It waits for no slow peer.
func (c *WebConn) CloseWrite() error {
	if !c.writing.TryLock() {
		return os.ErrDeadlineExceeded // somebody waits for the peer, which will learn nothing
	}
	defer c.writing.Unlock()
	if c.tls != nil {
		_ = c.tls.CloseWrite()
		c.Conn.SetWriteDeadline(time.Now().Add(soon))
		_ = c.pipe.flush()
	}
	if t, ok := c.Conn.(*net.TCPConn); ok {
		return t.CloseWrite()
	}
	return nil
}

// Close closes the socket, and gives the place back. It waits for nobody: over
// TLS the peer is told beside it, and the socket is closed a moment later.
func (c *WebConn) Close() (err error) {
	c.closing.Do(func() {
		if c.tls == nil || !c.writing.TryLock() {
			err = c.Conn.Close()
			c.leave()
			return
		}
		c.Conn.SetReadDeadline(past)
		go func() {
			defer c.leave()
			defer c.Conn.Close()
			defer c.writing.Unlock()
			_ = c.tls.CloseWrite()
			c.Conn.SetWriteDeadline(time.Now().Add(soon))
			_ = c.pipe.flush()
		}()
	})
	return err
}
