package transfer

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"malcolm/certs"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// deniedFree is how many refusals for want of the token an address gets without
	// waiting.
	deniedFree = 5
	// deniedMost bounds the addresses of which that is known; all further ones
	// count as one.
	deniedMost = 1024
)

// A doorman asks the clients of one run for the token. Any goroutine may call its
// methods.
type doorman struct {
	token certs.Token   // zero: everybody may come in
	every time.Duration // between two refusals that one address gets, after deniedFree

	mu     sync.Mutex
	denied map[netip.Addr]time.Time // when all refusals of an address are paid for
}

// knows reports whether a hello shows the token on this connection, and returns
// what shows the client that we hold it, too.
func (d *doorman) knows(conn *transport.Conn, hello wire.Hello) (ours *[32]byte, ok bool) {
	exporter, err := certs.TokenExporter(conn.TLS())
	if err != nil || !d.token.Verify(exporter, certs.ClientRole, hello.Proof) {
		return nil, false
	}
	proof := d.token.Proof(exporter, certs.ServerRole)
	return &proof, true
}

// pace returns how long an address has to wait for its next refusal: at most so
// long, however many it is owed.
func (d *doorman) pace(addr netip.Addr, now time.Time, most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.denied == nil {
		d.denied = make(map[netip.Addr]time.Time)
	}
	for a, paid := range d.denied {
		if len(d.denied) < deniedMost {
			break
		}
		if paid.Before(now) {
			delete(d.denied, a)
		}
	}
	if _, ok := d.denied[addr]; !ok && len(d.denied) >= deniedMost {
		addr = netip.Addr{}
	}
	paid := d.denied[addr]
	if oldest := now.Add(-deniedFree * d.every); paid.Before(oldest) {
		paid = oldest
	}
	if paid = paid.Add(d.every); paid.Sub(now) > most {
		return most
	}
	d.denied[addr] = paid
	return max(0, paid.Sub(now))
}

// admit reports whether a client may be told of the file: it showed the token
// with this request, or with one before on this connection. If not, it has been
// refused, and the connection ends: a connection is good for one guess, and stays
// for no longer than one that asks for nothing.
func (c *clientConn) admit(ctx context.Context, st *transport.Stream, req wire.Request) bool {
	if c.door.token.IsZero() || c.proof.Load() != nil {
		return true
	}
	if hello, ok := req.(wire.Hello); ok && !c.denied.Load() {
		if ours, ok := c.door.knows(c.conn, hello); ok {
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
	wait := c.door.pace(transport.Client(c.conn.RemoteAddr()), time.Now(), c.limits.HelloTimeout)
	if sleep(ctx, wait) == nil {
		c.deny(ctx, st)
	}
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
