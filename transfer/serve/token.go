package serve

import (
	"context"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transport"
	"malcolm/wire"
)

// A tokenGate records what a connection has shown of the token. Any goroutine
// may call its methods.
type tokenGate struct {
	token  certs.Token              // the zero Token: none is needed
	proof  atomic.Pointer[[32]byte] // that we have it, once the client has shown it
	denied atomic.Bool              // the client was asked for it and has not shown it
}

// isOpen reports whether the client may be told of the file: no token is
// needed, or the client has shown it, now with req or before.
func (g *tokenGate) isOpen(conn transport.Conn, req wire.Request) bool {
	if g.token.IsZero() || g.proof.Load() != nil {
		return true
	}
	hello, ok := req.(wire.Hello)
	if !ok || g.denied.Load() {
		return false
	}
	exporter, err := certs.TokenExporter(conn.TLS())
	if err != nil || !g.token.Verify(exporter, certs.ClientRole, hello.Proof) {
		return false
	}
	ours := g.token.Proof(exporter, certs.ServerRole)
	g.proof.Store(&ours)
	return true
}

// admit reports whether a client may be told of the file. If not, the client
// has been refused at once, so that it knows why, and the connection ends: each
// is good for one guess. The rate of handshakes limits a client's guesses.
func (c *clientConn) admit(ctx context.Context, st transport.Stream, req wire.Request) bool {
	if c.gate.isOpen(c.conn, req) {
		return true
	}
	if c.gate.denied.Swap(true) {
		select {
		case <-c.conn.Done():
		case <-ctx.Done():
		}
		return false
	}
	c.srv.denied.Add(1)
	c.deny(ctx, st)
	return false
}

// deny says that the token is missing or wrong, and ends the connection once
// the client has read that.
func (c *clientConn) deny(ctx context.Context, st transport.Stream) {
	_ = c.refuse(st, wire.StatusDenied, "this server asks for a token")
	// The client hangs up when it has read the answer.
	linger := time.NewTimer(c.linger())
	defer linger.Stop()
	select {
	case <-c.conn.Done():
	case <-linger.C:
	case <-ctx.Done():
	}
	c.conn.Close(uint64(wire.CloseDenied), "")
}
