package serve

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/pace"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// reopenPause is the time before a virtual server's failed socket is
	// opened again. It doubles with each try up to longestReopenPause.
	reopenPause        = time.Second
	longestReopenPause = time.Minute
	// resetLabel names the identity's subkey for stateless reset tokens
	// (RFC 9000, section 10.3). With them a restarted server can tell its
	// former clients at once.
	resetLabel = "malcolm stateless reset"
)

// errNoListener says that every socket failed while it was listening.
var errNoListener = &localfile.Error{Op: "listen", Err: errors.New("every socket failed")}

// A virtualServer is one listener and its counters. Any goroutine may call its
// methods except accept.
type virtualServer struct {
	srv       *Server
	number    int // in Server.virtual
	addr      net.Addr
	listener  atomic.Pointer[transport.Listener] // replaced after its socket failed
	listening atomic.Bool

	clients atomic.Int64
	ranges  atomic.Int64
	sent    atomic.Int64 // bytes of the file
	lost    atomic.Int64 // packets; falls when a late one is acknowledged
}

// listen has every virtual server listen, or none.
func (s *Server) listen() error {
	for i, v := range s.virtual {
		l, err := s.listenOn(s.cfg.Conns[i])
		if err != nil {
			s.closeListeners()
			closeAll(s.cfg.Conns[i+1:])
			return err
		}
		v.use(l)
	}
	return nil
}

// use has the virtual server listen with l.
func (v *virtualServer) use(l transport.Listener) {
	v.listener.Store(&l)
	v.listening.Store(true)
}

// current returns the listener of now; nil: it never listened.
func (v *virtualServer) current() transport.Listener {
	if l := v.listener.Load(); l != nil {
		return *l
	}
	return nil
}

// listenOn makes a listener from a socket, which it owns from now on.
func (s *Server) listenOn(pc net.PacketConn) (transport.Listener, error) {
	tls, err := s.cfg.Identity.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		pc.Close()
		return nil, err
	}
	return transport.Listen(pc, transport.ListenOptions{
		TLS:      tls,
		ResetKey: s.cfg.resetKey(),
		Gate:     gate{s.book},
		QLog:     s.cfg.QLog,

		MaxStreams:       int64(s.limits.Streams),
		HandshakeTimeout: s.limits.HandshakeTimeout,
	})
}

// resetKey returns the secret of stateless resets for this identity on this
// machine: others may have the identity too.
func (cfg *Config) resetKey() [32]byte {
	machine := cfg.Machine
	if machine == ([32]byte{}) {
		rand.Read(machine[:])
	}
	identity := cfg.Identity.Derive(resetLabel)
	mac := hmac.New(sha256.New, identity[:])
	mac.Write(machine[:])
	return [32]byte(mac.Sum(nil))
}

func closeAll(conns []net.PacketConn) {
	for _, pc := range conns {
		pc.Close()
	}
}

// closeListeners closes those that were opened.
func (s *Server) closeListeners() {
	for _, v := range s.virtual {
		if l := v.current(); l != nil {
			l.Close()
		}
	}
}

// accept takes connections until accepting ends, then calls onStop. It returns
// when the last of them has ended, at the latest when work ends.
func (v *virtualServer) accept(accepting, work context.Context, onStop func()) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer onStop()
	defer v.listening.Store(false)
	for {
		conn, err := v.current().Accept(accepting)
		if err != nil {
			if accepting.Err() != nil || !v.reopen(accepting, err) {
				return
			}
			continue
		}
		wg.Go(func() {
			v.clients.Add(1)
			defer v.clients.Add(-1)
			defer v.contain(conn)
			v.serve(work, conn)
		})
	}
}

// reopen has the virtual server listen again, on a new socket, after its own
// failed. false: accepting ended before, or there is no way to open a socket.
func (v *virtualServer) reopen(accepting context.Context, failure error) bool {
	v.listening.Store(false)
	v.current().Close()
	v.srv.events.post(ServerFailed{Server: v.number, Addr: v.addr, Err: failure})
	reopen := v.srv.cfg.Reopen
	if reopen == nil {
		return false
	}
	for pause := reopenPause; pace.Sleep(accepting, pause) == nil; pause = min(2*pause, longestReopenPause) {
		pc, err := reopen(v.addr)
		if err != nil {
			continue
		}
		l, err := v.srv.listenOn(pc)
		if err != nil {
			continue
		}
		v.use(l)
		if accepting.Err() != nil { // else nobody may be left to close it
			l.Close()
			return false
		}
		v.srv.events.post(ServerReopened{Server: v.number, Addr: v.addr})
		return true
	}
	return false
}

// contain is deferred by each goroutine that works for a connection. A panic
// ends the connection, not the process.
func (v *virtualServer) contain(conn transport.Conn) {
	p := recover()
	if p == nil {
		return
	}
	e := Panicked{
		Server: v.addr, Client: conn.RemoteAddr(), Value: fmt.Sprintf("%.*q", maxPanicValue, fmt.Sprint(p)),
		Count: v.srv.panics.Add(1), Stack: debug.Stack(),
	}
	conn.Close(uint64(wire.CloseInternal), "")
	v.srv.events.offer(e)
}
