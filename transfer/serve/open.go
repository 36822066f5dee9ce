package serve

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"malcolm/certs"
	"malcolm/wire"
)

// MaxTokens bounds [Config.Tokens]: the old one and the new one, while clients
// change from one to the other.
const MaxTokens = 2

// checkTokens refuses tokens that would not protect what they should.
func checkTokens(tokens []certs.Token) error {
	if len(tokens) > MaxTokens {
		return fmt.Errorf("%d tokens, at most %d are possible", len(tokens), MaxTokens)
	}
	for _, t := range tokens {
		if t.IsZero() {
			return errors.New("a token is empty")
		}
	}
	return nil
}

// prove checks the proof that a client sends of a token, and returns ours of
// the same one; nil: none is needed. An unknown key, and no key at all, take as
// long as a wrong proof.
func (s *Server) prove(cs tls.ConnectionState, o wire.Open) (ours *[32]byte, ok bool) {
	tokens := s.tokens()
	if len(tokens) == 0 {
		return nil, true
	}
	exporter, err := certs.TokenExporter(cs)
	if err != nil {
		return nil, false
	}
	token, named := tokens[0], 0
	for _, t := range tokens {
		name := t.KeyName()
		if subtle.ConstantTimeCompare(name[:], o.Key[:]) == 1 {
			token, named = t, 1
		}
	}
	proof := o.Proof
	if proof == nil {
		proof, named = new([32]byte), 0
	}
	if !token.Verify(exporter, certs.ClientRole, proof) || named == 0 {
		return nil, false
	}
	p := token.Proof(exporter, certs.ServerRole)
	return &p, true
}

// open reads the head of a connection's first stream and answers it. If it is
// not accepted, the client has been told why, and the connection ends: each is
// good for one guess of the token. The rate of handshakes limits a client's
// guesses.
func (r *reply) open(ctx context.Context) bool {
	c := r.c
	r.st.SetReadDeadline(time.Now().Add(c.srv.limits.RequestTimeout))
	o, err := wire.ReadOpen(r.st)
	if err != nil {
		r.refuseRequest(err)
		code, text := wire.CloseProtocol, "the first request is not open"
		if errors.Is(err, os.ErrDeadlineExceeded) {
			code, text = wire.CloseLimit, notOpened
		}
		c.hangUp(ctx, code, text)
		return false
	}
	if c.srv.isStopping() {
		r.refuse(wire.StatusStopping, 0, "")
		return false
	}
	proof, ok := c.srv.prove(r.st.TLS(), o)
	if !ok {
		c.srv.denied.Add(1)
		r.refuse(wire.StatusDenied, 0, "this server asks for a token")
		c.hangUp(ctx, wire.CloseDenied, "")
		return false
	}
	c.change(func(now time.Time) { c.srv.book.Opened(c.rec, o.Run, now) })
	close(c.opened)
	opened := wire.Opened{Limits: c.srv.limits.announced(), Proof: proof, Tail: wire.Idle().WithCongestion(c.virtual.congestion)}
	if r.send(wire.StatusOK, opened.Append(nil)) != nil {
		return false
	}
	r.taken = 0
	return true
}

// awaitOpen waits until the connection is opened on its first stream; false: it
// ended before.
func (c *clientConn) awaitOpen(ctx context.Context) bool {
	select {
	case <-c.opened:
		return true
	case <-c.conn.Done():
	case <-ctx.Done():
	}
	return false
}
