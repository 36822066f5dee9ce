package malcolm

import (
	"context"
	"errors"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// A server may send reportRate path reports a second, twice what the
	// protocol allows it, and reportSpare more: what was held up comes all
	// at once.
	reportRate  = 20
	reportSpare = 10 * reportRate
)

var (
	errFlood = errors.New("sends path reports too often")
	errFall  = errors.New("a count of its path reports falls")
)

// noReports says that a server, or the way to it, has no path reports.
func noReports(err error) *source.Fault {
	return &source.Fault{What: source.Unsupported, Words: "has no path reports", Err: err}
}

// Path asks once the server has accepted the connection, and takes none of the
// places that the server allows for requests. If its reports break the
// protocol, Path hangs up.
//
// Over TCP it does not ask. Each request there takes a TLS connection of its
// own, and a server cannot tell which of the others are this connection's. What
// they lose says little: the kernel's congestion control is not the one that
// reports are for.
func (c *conn) Path(ctx context.Context, report func(source.PathReport)) error {
	if c.protocol != transport.QUIC {
		return noReports(nil)
	}
	err := c.path(ctx, report)
	if ctx.Err() != nil {
		return nil
	}
	f := pathFault(err)
	if f.What == source.Wrong {
		c.hangUp(f)
	}
	return f
}

// path never returns nil.
func (c *conn) path(ctx context.Context, report func(source.PathReport)) error {
	if !c.room.accepted(ctx, c.way.Done()) {
		return errors.Join(c.way.Err(), ctx.Err())
	}
	st, err := c.way.OpenStream(ctx, transport.Patient)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { cancelStream(st, transport.LeftUnknown) })()
	defer cancelStream(st, transport.LeftUnknown)
	if err := send(st, wire.PathRequest{}, time.Now().Add(askTime)); err != nil {
		return err
	}
	check := reportCheck{left: reportSpare, at: time.Now()}
	for {
		h, err := wire.ReadHeader(st)
		if err != nil {
			return err
		}
		if h.Status != wire.StatusOK {
			c.ledger.waste()
			return refusal(toPath, st, h)
		}
		p, err := wire.ReadPathReport(st, h)
		if err != nil {
			return err
		}
		if err := check.next(p, time.Now()); err != nil {
			return broken(err)
		}
		report(p)
	}
}

// pathFault sorts how asking for reports ends.
func pathFault(err error) *source.Fault {
	if e, ok := errors.AsType[*wire.Refusal](err); ok && e.Status == wire.StatusUnsupported {
		return noReports(err)
	}
	return replyFault(err, askTime)
}

// A reportCheck refuses reports that a server may not send.
type reportCheck struct {
	last wire.PathReport
	left float64   // reports that may still come at once
	at   time.Time // of the last one
}

// next takes the next report.
func (c *reportCheck) next(p wire.PathReport, now time.Time) error {
	c.left = min(c.left+reportRate*now.Sub(c.at).Seconds(), reportSpare) - 1
	c.at = now
	last := c.last
	c.last = p
	switch {
	case c.left < 0:
		return errFlood
	case p.Sent < last.Sent || p.Lost < last.Lost || p.Events < last.Events || p.Ranks < last.Ranks:
		return errFall
	}
	return nil
}
