// Package serve offers a local file, or a tree of them, on virtual servers:
// QUIC listeners on UDP ports of their own, and TLS ones on the TCP ports of
// the same numbers, under one identity.
//
// A [Server] is made by [NewServer] and served by [Server.Run], which returns
// when the server has stopped. [Server.Status] says what it does, to anybody at
// any time; an [Event] is something that happened.
//
// A file is hashed before it is offered, and again when it changes: the index
// holds the current version, and the one before it for those who still read it.
// A connection is accepted (virtual), accounted for (conn), opened (open), and
// asks (request): for the offer (stat), for values, for ranges. Package
// admission decides whom a server lets in, who goes, and how memory is shared.
//
// HTTP is answered by package web; the files web*.go here have the sockets, and
// the same limits for its clients.
package serve

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/pace"
	"malcolm/transport"
)

// Hashes say where the hashes of a file come from.
type Hashes struct {
	// Cache keeps those of a large file for the next run; nil: not kept.
	Cache *cache.Cache
	// Rehash hashes the file even if the cache knows it.
	Rehash bool
	// SHA256 also computes the SHA-256 in the same reading, and keeps it in
	// the cache.
	SHA256 bool
}

// Config says what a [Server] serves, and where.
type Config struct {
	// Source is the file; nil: it is a tree.
	Source localfile.Source
	// Tree is the tree; nil: it is a file.
	Tree *Tree
	// Hashes says where those of a file come from. A tree has its own.
	Hashes
	// Name is the name of the file or tree for clients. One that the
	// protocol cannot carry (over 230 bytes, or not UTF-8) is offered as an
	// empty name; see [Ready].
	Name string
	// Identity proves who serves, on all virtual servers.
	Identity *certs.Identity
	// Machine is a secret of this machine, the same in every run: with it
	// clients notice at once that serve was restarted. Zero: a random one
	// for this run. See [certs.LocalSecret].
	Machine [32]byte
	// Conns are the UDP sockets, one for each virtual server, at least one.
	// They belong to the server, which closes them.
	Conns []net.PacketConn
	// Reopen opens a virtual server's failed socket again on its address;
	// nil: that socket is over.
	Reopen func(net.Addr) (net.PacketConn, error)
	// TCP are the sockets beside those of UDP; the zero TCP: UDP alone.
	TCP TCP
	// Tokens, if any, protect the file: a client must prove one of them
	// before it is told anything. At most MaxTokens.
	Tokens []certs.Token
	// Limit bounds the bytes a second of all virtual servers together; 0:
	// no limit.
	Limit int64
	// Limits bounds what clients can cost; its zero value is the defaults.
	Limits Limits
	// Granted is called with the bytes of memory that all clients together
	// may take, beside what the server itself needs: at the start, and
	// after each change. It must not block. nil: nobody is told.
	Granted func(bytes int64)
	// QLog gets the packets of all connections; nil: nobody does.
	QLog *transport.QLog
	// Events is called with one event at a time, by one goroutine. It must
	// not block for long. Nil: nobody is told.
	Events func(Event)
}

// TCP are TCP sockets of virtual servers, on the ports of their UDP sockets.
type TCP struct {
	// Sockets has one for each of [Config.Conns]; nil, or too few: a
	// virtual server without TCP. They belong to the server, which closes
	// them.
	Sockets []net.Listener
	// Reopen opens a failed socket again on its address; nil: that socket
	// is over.
	Reopen func(net.Addr) (net.Listener, error)
	// Congestion is the name of the congestion control with which they
	// send, for clients to choose by; empty: nothing is said.
	Congestion string
	// HTTP says how browsers, curl and others are answered; the zero HTTP:
	// not at all.
	HTTP HTTP
}

// Serve makes a server and runs it: see [NewServer] and [Server.Run].
func Serve(ctx context.Context, cfg Config) error {
	s, err := NewServer(cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// A Server offers one file on several virtual servers.
type Server struct {
	cfg     Config
	limits  Limits
	book    *admission.Book // of the connections of all virtual servers
	index   catalog
	live    live
	limit   *pace.Limiter
	pools   bufferPools
	virtual []*virtualServer
	events  eventQueue

	web *webSide // never nil

	active  activity // requests being read or answered
	stopped atomic.Bool
	meters

	stopping context.Context // ends when nothing new is answered any more
	stop     context.CancelFunc
}

// NewServer prepares a server, which does nothing until [Server.Run]. The
// sockets belong to it from now on, even after an error, which says that a
// limit is negative, or that a token is empty or too many.
func NewServer(cfg Config) (*Server, error) {
	limits, err := cfg.Limits.orDefaults()
	if err == nil {
		err = checkTokens(cfg.Tokens)
	}
	if err != nil {
		cfg.closeSockets()
		return nil, err
	}
	book := admission.New(limits.admission())
	s := &Server{
		cfg:    cfg,
		limits: limits,
		book:   book,
		limit:  pace.NewFairLimiter(cfg.Limit, book),
		events: newEventQueue(cfg.Events),
	}
	s.meters.began = time.Now()
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.live.set(cfg.Name, cfg.Tokens)
	if cfg.Tree != nil {
		s.index = newTreeIndex(cfg.Tree, cfg.Name, s.tell)
	} else {
		s.index = newIndex(cfg.Source, cfg.Name, cfg.Hashes, s.tell)
	}
	s.web = newWebSide(s)
	for i := range cfg.Conns {
		s.virtual = append(s.virtual, s.newVirtual(i))
	}
	return s, nil
}

// all returns the virtual servers; the last one answers HTTP without TLS, if
// that is on.
func (s *Server) all() []*virtualServer {
	if s.web.plain == nil {
		return s.virtual
	}
	return append(slices.Clone(s.virtual), s.web.plain)
}

// tell is called by the index. It tells of an event, with what only the server
// knows.
func (s *Server) tell(e Event) {
	if r, ok := e.(Ready); ok {
		s.live.name.Store(&r.Name)
		r.ID, r.Addrs, r.Pin = s.cfg.Identity.ID(), s.addrs(), s.web.pin()
		s.web.ready(r)
		e = r
	}
	s.events.post(e)
}

func (s *Server) addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.virtual))
	for i, v := range s.virtual {
		addrs[i] = v.addr
	}
	return addrs
}

// tcpAddrs returns the addresses of the TCP sockets.
func (s *Server) tcpAddrs() (addrs []net.Addr) {
	for _, v := range s.virtual {
		for _, e := range v.endpoints {
			if e.addr.Network() == "tcp" {
				addrs = append(addrs, e.addr)
			}
		}
	}
	return addrs
}

// Run offers the file until ctx ends. Then it accepts nothing new, lets
// requests under way finish for [Limits].DrainTime, closes every connection
// with a code that clients understand, and returns nil within 2 s more: it does
// not wait for a disk that hangs.
//
// The error says that the source could not be read when it was hashed for the
// first time, or that no socket could be used: a [*localfile.Error] or a
// transport's. Run is called once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.listen(); err != nil {
		return err
	}
	defer s.closeListeners()
	// work ends when draining is over; accepting ends with ctx.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	accepting, stopAccepting := context.WithCancelCause(ctx)
	defer stopAccepting(nil)
	s.events.over = accepting.Done()

	var wg sync.WaitGroup
	s.start(&wg, accepting, work, stopAccepting)
	s.events.emit(Listening{
		Addrs: s.addrs(), TCP: s.tcpAddrs(), ID: s.cfg.Identity.ID(),
		SmallBuffers: transport.SmallBuffers(s.cfg.Conns[0]), HTTP: s.web.addr(),
	})
	s.events.run()

	s.drain()
	stopWork()
	leave(&wg)
	s.index.close() // requests under way may have asked for it until now
	s.events.flush()
	s.stopped.Store(true)
	s.events.emit(Stopped{})
	if err := context.Cause(accepting); ctx.Err() == nil {
		return err
	}
	return nil
}

// start begins what a server does beside its events. Indexing and accepting end
// with accepting, the rest with work. stop ends accepting when there is nothing
// to offer or nowhere to listen.
func (s *Server) start(wg *sync.WaitGroup, accepting, work context.Context, stop context.CancelCauseFunc) {
	var listening sync.WaitGroup
	for _, e := range s.endpoints() {
		listening.Add(1)
		wg.Go(func() { e.accept(accepting, work, listening.Done) })
	}
	wg.Go(func() {
		listening.Wait()
		stop(errNoListener)
	})
	wg.Go(func() {
		if err := s.index.run(accepting); err != nil {
			stop(readFailure(s.title(), err))
		}
	})
	wg.Go(func() { s.reclaim(work.Done()) })
	wg.Go(func() { s.web.run(accepting, work) })
}

// readFailure names the file in an error that does not.
func readFailure(name string, err error) error {
	if _, ok := errors.AsType[*localfile.Error](err); ok {
		return err
	}
	return &localfile.Error{Op: "read", Path: name, Err: err}
}
