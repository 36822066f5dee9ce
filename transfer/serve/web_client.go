package serve

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/pace"
	"malcolm/transport"
)

// bodyTime is how long the body of a request is read, which nobody wants: a
// connection that is closed before may take the answer with it.
const bodyTime = time.Second

// A webClient is a connection that speaks HTTP. Its requests come one after the
// other.
type webClient struct {
	*transport.WebConn
	customer
	virtual *virtualServer
	once    sync.Once

	// of the goroutine that answers
	seen   bool // a request came
	wasted bool // too many requests came to nothing
}

// newWebClient takes a connection.
func newWebClient(v *virtualServer, conn *transport.WebConn) *webClient {
	c := &webClient{
		WebConn: conn, virtual: v,
		customer: customer{srv: v.srv, rec: conn.Place().(*admission.Conn), stats: conn.Stats},
	}
	v.ways[overHTTP].clients.Add(1)
	v.srv.book.Shake(c.rec, c, time.Now())
	return c
}

// Close implements [net.Conn].
func (c *webClient) Close() error {
	c.once.Do(func() { c.virtual.ways[overHTTP].clients.Add(-1) })
	return c.WebConn.Close()
}

// expel closes the connection: HTTP has no way to say why.
func (c *webClient) expel(string) { c.Close() }

// isProxy reports whether the connection is of a proxy on this machine, behind
// which there are many clients: what one of them wastes is not for all to pay.
func (c *webClient) isProxy() bool {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	return err == nil && c.TLS() == nil && at.Addr().Unmap().IsLoopback()
}

// webKey is the key of a connection's webClient in the contexts of requests.
type webKey struct{}

// withWebClient is [http.Server.ConnContext].
func withWebClient(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, webKey{}, c)
}

// serve answers a request.
func (w *webSide) serve(rw http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(webKey{}).(*webClient)
	reply := &webReply{ResponseWriter: rw, c: c, ctx: r.Context(), head: r.Method == http.MethodHead}
	s := c.srv
	s.active.begin()
	s.book.Begin(c.rec, time.Now())
	accepted := false
	defer func() {
		s.book.End(c.rec, accepted, time.Now())
		s.active.end()
		c.account(reply)
	}()
	defer func() { c.contain(recover()) }()
	if r.ContentLength != 0 { // a body is refused, and net/http reads some of it
		c.SetReadDeadline(time.Now().Add(bodyTime))
	}
	if !c.mayAsk(reply) {
		return
	}
	s.book.Accept(c.rec, time.Now())
	accepted = true
	r = r.WithContext(context.WithValue(r.Context(), replyKey{}, reply))
	r.TLS = c.TLS()
	w.site.ServeHTTP(reply, r)
	reply.done = true
}

// mayAsk reports whether a request may be answered. If not, it was told why. A
// connection is opened by its first request; all those of one address are one
// run, since HTTP has no number of one.
func (c *webClient) mayAsk(reply *webReply) bool {
	if !c.seen {
		c.seen = true
		if pace.Sleep(reply.ctx, c.turn()) != nil {
			panic(http.ErrAbortHandler)
		}
		c.srv.book.Opened(c.rec, [16]byte{}, time.Now())
	}
	switch {
	case c.srv.isStopping():
		reply.refuse(http.StatusServiceUnavailable, "the server is stopping", true)
	case c.wasted:
		reply.refuse(http.StatusTooManyRequests, "too many requests came to nothing", true)
	case !c.srv.book.MayRead(c.rec):
		reply.refuse(http.StatusServiceUnavailable, "requests that were given up still wait for the file", false)
	default:
		return true
	}
	return false
}

// contain ends the connection after a panic, not the process.
func (c *webClient) contain(p any) {
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		c.virtual.panicked(c.RemoteAddr(), p)
	}
	panic(http.ErrAbortHandler)
}

// account counts what a request was good for.
func (c *webClient) account(reply *webReply) {
	if reply.status == http.StatusForbidden {
		c.srv.denied.Add(1)
	}
	if !c.isProxy() && c.srv.book.Account(c.rec, reply.use(), time.Now()) {
		c.wasted = true
		c.srv.closed[ClosedWasteful].Add(1)
	}
}
