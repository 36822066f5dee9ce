package transfer

import (
	"context"
	"time"

	"malcolm/certs"
	"malcolm/transport"
	"malcolm/wire"
)

// proofOf reports whether a hello shows the token on this connection, and returns what
// shows the client that we hold it, too.
func proofOf(token certs.Token, conn *transport.Conn, hello wire.Hello) (ours *[32]byte, ok bool) {
	exporter, err := certs.TokenExporter(conn.TLS())
	if err != nil || !token.Verify(exporter, certs.ClientRole, hello.Proof) {
		return nil, false
	}
	proof := token.Proof(exporter, certs.ServerRole)
	return &proof, true
}

// admit reports whether a client may be told of the file: it showed the token
// with this request, or with one before on this connection. If not, it has been
// refused at once, so that it knows why, and the connection ends: a connection is good
// for one guess. The pace of handshakes limits the guesses of a client.
func (c *clientConn) admit(ctx context.Context, st *transport.Stream, req wire.Request) bool {
	token := c.s.cfg.Token
	if token.IsZero() || c.proof.Load() != nil {
		return true
	}
	if hello, ok := req.(wire.Hello); ok && !c.denied.Load() {
		if ours, ok := proofOf(token, c.conn, hello); ok {
			c.proof.Store(ours)
			return true
		}
	}
	if c.denied.Swap(true) {
		select {
		case <-c.conn.Done():
		case <-ctx.Done():
		}
		return false
	}
	c.deny(ctx, st)
	return false
}

// deny says that the token is missing or wrong, and ends the connection once that
// has been read.
func (c *clientConn) deny(ctx context.Context, st *transport.Stream) {
	_ = c.refuse(st, wire.StatusDenied, "this server asks for a token")
	// The client has read the answer when it hangs up.
	linger := time.NewTimer(max(lingerRTTs*c.conn.Stats().SmoothedRTT, lingerMin))
	defer linger.Stop()
	select {
	case <-c.conn.Done():
	case <-linger.C:
	case <-ctx.Done():
	}
	c.conn.Close(uint64(wire.CloseDenied), "")
}
