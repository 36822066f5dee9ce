package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/pace"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// reopenPause is the time before a failed socket is opened again. It
	// doubles with each try up to longestReopenPause.
	reopenPause        = time.Second
	longestReopenPause = time.Minute
)

// errNoListener says that every socket failed while it was listening.
var errNoListener = &localfile.Error{Op: "listen", Err: errors.New("every socket failed")}

// An endpoint is one way to a virtual server: a socket and its listener. Any
// goroutine may call its methods except accept.
type endpoint struct {
	v    *virtualServer
	addr net.Addr
	// begin listens on the socket that was configured, reopen on a new one
	// in its place; nil: there is no way to make one.
	begin, reopen func() (transport.Listener, error)

	listener  atomic.Pointer[transport.Listener] // replaced after its socket failed
	listening atomic.Bool
}

// newEndpoint returns the endpoint of a virtual server on a socket, which
// listen makes a listener of and owns from then on. open opens it again at its
// address; nil: nobody can.
func newEndpoint[S io.Closer](v *virtualServer, socket S, addr net.Addr, listen listenFunc[S], open func(net.Addr) (S, error)) *endpoint {
	on := func(socket S) (transport.Listener, error) {
		o, err := v.listenOptions()
		if err != nil {
			socket.Close()
			return nil, err
		}
		return listen(socket, o)
	}
	e := &endpoint{v: v, addr: addr, begin: func() (transport.Listener, error) { return on(socket) }}
	if open != nil {
		e.reopen = func() (transport.Listener, error) {
			socket, err := open(addr)
			if err != nil {
				return nil, err
			}
			return on(socket)
		}
	}
	return e
}

// A listenFunc is transport's function for a kind of socket.
type listenFunc[S io.Closer] func(S, transport.ListenOptions) (transport.Listener, error)

func (v *virtualServer) listenOptions() (transport.ListenOptions, error) {
	s := v.srv
	tls, err := s.cfg.Identity.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		return transport.ListenOptions{}, err
	}
	web, err := s.web.options(v)
	if err != nil {
		return transport.ListenOptions{}, err
	}
	return transport.ListenOptions{
		TLS:      tls,
		ResetKey: s.cfg.resetKey(),
		Gate:     gate{s.book},
		QLog:     s.cfg.QLog,
		Web:      web,

		MaxStreams:       int64(s.limits.announced().Streams) + 1, // for path reports
		HandshakeTimeout: s.limits.HandshakeTimeout,
		StallTimeout:     s.limits.StallTimeout,
	}, nil
}

// endpoints returns those of all virtual servers, and of HTTP without TLS.
func (s *Server) endpoints() (all []*endpoint) {
	for _, v := range s.all() {
		all = append(all, v.endpoints...)
	}
	return all
}

// listen has every endpoint listen, or none.
func (s *Server) listen() error {
	for _, e := range s.endpoints() {
		l, err := e.begin()
		if err != nil {
			s.closeListeners()
			s.cfg.closeSockets()
			return err
		}
		e.use(l)
	}
	return nil
}

// closeSockets closes the sockets that no listener has closed.
func (cfg *Config) closeSockets() {
	for _, pc := range cfg.Conns {
		pc.Close()
	}
	for _, ln := range cfg.TCP.Sockets {
		if ln != nil {
			ln.Close()
		}
	}
	cfg.TCP.HTTP.Close()
}

// use has the endpoint listen with l.
func (e *endpoint) use(l transport.Listener) {
	e.listener.Store(&l)
	e.listening.Store(true)
}

// current returns the present listener; nil: it never listened.
func (e *endpoint) current() transport.Listener {
	if l := e.listener.Load(); l != nil {
		return *l
	}
	return nil
}

// closeListeners closes those that were opened.
func (s *Server) closeListeners() {
	for _, e := range s.endpoints() {
		if l := e.current(); l != nil {
			l.Close()
		}
	}
}

// accept takes connections until accepting ends, then calls onStop. It returns
// when the last of them has ended, at the latest when work ends.
func (e *endpoint) accept(accepting, work context.Context, onStop func()) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer onStop()
	defer e.listening.Store(false)
	v := e.v
	for {
		conn, err := e.current().Accept(accepting)
		if err != nil {
			if accepting.Err() != nil || !e.again(accepting, err) {
				return
			}
			continue
		}
		wg.Go(func() {
			clients := &v.over(conn.Protocol()).clients
			clients.Add(1)
			defer clients.Add(-1)
			defer v.contain(conn)
			v.serve(work, conn)
		})
	}
}

// again has the endpoint listen again, on a new socket, after its own failed.
// false: accepting ended before, or there is no way to open a socket.
func (e *endpoint) again(accepting context.Context, failure error) bool {
	e.listening.Store(false)
	e.current().Close()
	e.v.srv.events.post(ServerFailed{Server: e.v.number, Addr: e.addr, Err: failure})
	if e.reopen == nil {
		return false
	}
	for pause := reopenPause; pace.Sleep(accepting, pause) == nil; pause = min(2*pause, longestReopenPause) {
		l, err := e.reopen()
		if err != nil {
			continue
		}
		e.use(l)
		if accepting.Err() != nil { // else nobody may be left to close it
			l.Close()
			return false
		}
		e.v.srv.events.post(ServerReopened{Server: e.v.number, Addr: e.addr})
		return true
	}
	return false
}
