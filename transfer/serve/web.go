package serve

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/serve/web"
	"malcolm/transport"
)

const (
	// webHeader bounds the header of a request, in bytes. net/http adds 4
	// KiB.
	webHeader = 12 << 10
	// webIdle is how long an idle connection is kept at most: what speaks
	// HTTP opens another one at no cost.
	webIdle = 2 * time.Minute
)

// HTTP says how those are answered that speak HTTP/1.1. The zero HTTP: not at
// all.
type HTTP struct {
	// Secure has the TCP sockets answer it, over TLS. Clients of malcolm
	// are told apart by their protocol (ALPN).
	Secure bool
	// Certificate returns what is shown to clients of HTTP; nil: one of the
	// identity on P-256, which no browser trusts.
	Certificate func() *tls.Certificate
	// Plain is a socket for HTTP without TLS; nil: no socket. It
	// belongs to the server, which closes it.
	Plain net.Listener
	// Reopen opens the failed socket Plain again on its address; nil: that
	// socket is over.
	Reopen func(net.Addr) (net.Listener, error)
	// Commands returns commands of malcolm that get what is offered, for
	// the page "/"; nil: the page has none.
	Commands func(Ready) []string
}

// Close closes the socket, for who does not serve after all.
func (h *HTTP) Close() {
	if h.Plain != nil {
		h.Plain.Close()
	}
}

// A webSide answers HTTP for all virtual servers. Any goroutine may call its
// methods.
type webSide struct {
	srv   *Server
	cfg   HTTP
	plain *virtualServer // of HTTP without TLS; nil: nobody does
	site  *web.Site
	http  http.Server
	conns webQueue
	open  sync.WaitGroup // connections
	lines atomic.Pointer[[]string]
}

// newWebSide makes what answers HTTP for a server, if it is to be answered.
func newWebSide(s *Server) *webSide {
	w := &webSide{srv: s, cfg: s.cfg.TCP.HTTP, conns: webQueue{ready: make(chan net.Conn), over: make(chan struct{})}}
	if ln := w.cfg.Plain; ln != nil {
		w.plain = &virtualServer{srv: s, number: len(s.cfg.Conns), addr: ln.Addr()}
		w.plain.endpoints = append(w.plain.endpoints, newEndpoint(w.plain, ln, ln.Addr(), transport.ListenWeb, w.cfg.Reopen))
	}
	w.site = web.New(web.Config{
		Store: webStore{s}, Guide: w.guide,
		Tokens: s.tokens,
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	w.http = http.Server{
		Handler: http.HandlerFunc(w.serve), Protocols: protocols, MaxHeaderBytes: webHeader,
		ReadHeaderTimeout: min(s.limits.OpenTimeout, s.limits.RequestTimeout),
		IdleTimeout:       min(s.limits.IdleTimeout, webIdle),
		ConnContext:       withWebClient, ConnState: w.watch,
		ErrorLog:                     log.New(io.Discard, "", 0), // it only has what clients do wrong
		DisableGeneralOptionsHandler: true,
	}
	return w
}

// options returns how a virtual server's TCP sockets answer HTTP; nil: they do
// not.
func (w *webSide) options(v *virtualServer) (*transport.Web, error) {
	if !w.cfg.Secure && v != w.plain {
		return nil, nil
	}
	show := w.cfg.Certificate
	if show == nil {
		own, err := w.srv.cfg.Identity.BrowserCertificate(time.Now())
		if err != nil {
			return nil, err
		}
		show = func() *tls.Certificate { return &own }
	}
	return &transport.Web{
		TLS:   &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return show(), nil }},
		Serve: func(c *transport.WebConn) { w.conns.put(newWebClient(v, c)) },
	}, nil
}

// pin returns the SHA-256 of the identity's public key that HTTP clients see;
// zero: they see no such key.
func (w *webSide) pin() [sha256.Size]byte {
	if !w.cfg.Secure || w.cfg.Certificate != nil {
		return [sha256.Size]byte{}
	}
	return w.srv.cfg.Identity.BrowserPin()
}

// addr is where HTTP is answered without TLS; nil: nowhere.
func (w *webSide) addr() net.Addr {
	if w.plain == nil {
		return nil
	}
	return w.plain.addr
}

// ready takes what the page "/" says of a version.
func (w *webSide) ready(r Ready) {
	if w.cfg.Commands != nil {
		lines := w.cfg.Commands(r)
		w.lines.Store(&lines)
	}
}

func (w *webSide) guide() (g web.Guide) {
	if lines := w.lines.Load(); lines != nil {
		g.Malcolm = *lines
	}
	if pin := w.pin(); pin != [sha256.Size]byte{} {
		g.Pin = base64.StdEncoding.EncodeToString(pin[:])
	}
	return g
}

// run answers requests until work ends.
func (w *webSide) run(accepting, work context.Context) {
	w.http.BaseContext = func(net.Listener) context.Context { return work }
	stop := context.AfterFunc(work, func() { w.http.Close() })
	defer stop()
	_ = w.http.Serve(&w.conns) // until it is closed
	<-accepting.Done()
	<-work.Done()
	w.open.Wait()
}

// drain has connections end with the reply that is under way.
func (w *webSide) drain() {
	w.conns.Close()
	w.http.SetKeepAlivesEnabled(false)
}

// watch counts the connections that the HTTP server has.
func (w *webSide) watch(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		w.open.Add(1)
	case http.StateClosed:
		w.open.Done()
	}
}

// A webQueue hands connections to an HTTP server, as its listener.
type webQueue struct {
	ready chan net.Conn
	once  sync.Once
	over  chan struct{}
}

// put hands on a connection, or closes it at the end.
func (q *webQueue) put(c net.Conn) {
	select {
	case q.ready <- c:
	case <-q.over:
		c.Close()
	}
}

// Accept implements [net.Listener].
func (q *webQueue) Accept() (net.Conn, error) {
	select {
	case c := <-q.ready:
		return c, nil
	case <-q.over:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (q *webQueue) Close() error {
	q.once.Do(func() { close(q.over) })
	return nil
}

// Addr implements [net.Listener]: it has none of its own.
func (q *webQueue) Addr() net.Addr { return &net.TCPAddr{} }
