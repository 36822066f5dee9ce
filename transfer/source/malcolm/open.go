package malcolm

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// askTime is how long a request may take to leave.
const askTime = 10 * time.Second

// say returns the request that opens a connection.
func (c *client) say(state tls.ConnectionState) []byte {
	return wire.AppendRequest(nil, c.Trust.open(c.Run.number, state))
}

// hear reads the reply to what say returned. Its error is a fault.
func (c *conn) hear(state tls.ConnectionState, r io.Reader) error {
	timeout := c.s.c.ConnectTimeout
	h, err := wire.ReadHeader(r)
	if err != nil {
		return replyFault(err, timeout)
	}
	if h.Status != wire.StatusOK {
		return c.s.c.openRefusal(refusal(toOpen, r, h))
	}
	o, err := wire.ReadOpened(r, h)
	if err != nil {
		return replyFault(err, timeout)
	}
	if err := c.s.c.Trust.checkProof(state, o.Proof); err != nil {
		return fault(err)
	}
	id, err := certs.PeerID(state)
	if err != nil {
		return broken(err)
	}
	c.ledger.open(c.s.c.purse(id), o.Limits.Wasted)
	c.room.open(o.Limits)
	if strings.HasPrefix(o.Congestion(), "bbr") { // bbr2 and its like too
		c.bbr.Store(true)
	}
	return nil
}

// enter waits until the server allows another request, of some bytes of ranges.
func (c *conn) enter(ctx context.Context, bytes int64) (*place, error) {
	if p := c.room.enter(ctx, c.way.Done(), bytes); p != nil {
		return p, nil
	}
	if err := c.way.Err(); err != nil {
		return nil, err
	}
	return nil, ctx.Err()
}

// open opens a stream before a deadline. The stream ends with ctx and with end.
// The error is a fault; a late one names timeout.
func (c *conn) open(ctx context.Context, deadline time.Time, timeout time.Duration, late source.What) (st transport.Stream, end func(), err error) {
	opening, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	p, err := c.enter(opening, 0)
	if err == nil {
		if st, err = c.way.OpenStream(opening, transport.Urgent); err != nil {
			p.leave()
		}
	}
	if err != nil {
		if errors.Is(opening.Err(), context.DeadlineExceeded) {
			return nil, nil, lateFault(late, timeout)
		}
		return nil, nil, fault(err)
	}
	stop := context.AfterFunc(ctx, func() { cancelStream(st, transport.LeftUnknown) })
	return st, func() {
		stop()
		cancelStream(st, transport.LeftUnknown)
		p.leave()
	}, nil
}

func cancelStream(st transport.Stream, left int64) {
	st.CancelRead(uint64(wire.StreamCancelled), left)
}

// send sends one request and finishes our side of the stream.
func send(st transport.Stream, r wire.Request, deadline time.Time) error {
	st.SetWriteDeadline(deadline)
	if _, err := st.Write(wire.AppendRequest(nil, r)); err != nil {
		return err
	}
	return st.CloseWrite()
}
