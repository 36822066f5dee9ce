package serve

import (
	"context"
	"errors"
	"os"
	"time"

	"malcolm/transport"
	"malcolm/wire"
)

const (
	// A look is taken each lookPart of the least round trip, within
	// shortLook and longLook: often enough to see round trips change, and
	// losses apart.
	lookPart  = 8
	shortLook = 5 * time.Millisecond
	longLook  = 25 * time.Millisecond
	// reportTime is the time between two reports, at least.
	reportTime = 100 * time.Millisecond
	// idlePackets may be sent for a report itself, for its repetition, and
	// to acknowledge something. Only with more does the connection send.
	idlePackets = 3
)

// path reports what the sending side sees of the way to the client, until the
// client, the connection or the server ends that. The request counts as over
// before: it holds up nobody who stops the server, and is no use of a
// connection that is idle.
func (r *reply) path(ctx context.Context) error {
	c := r.c
	if c.conn.Protocol() == transport.TCP {
		return r.refuse(wire.StatusUnsupported, 0, "no path reports over TCP")
	}
	if !c.reports.CompareAndSwap(false, true) {
		return r.refuse(wire.StatusBusy, 0, "path reports are under way")
	}
	defer c.reports.Store(false)
	r.end()
	var s sampler
	var told time.Time
	var sent uint64
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if c.srv.stopping.Load() {
			return r.refuse(wire.StatusStopping, 0, "")
		}
		now := time.Now()
		s.look(now, c.conn.Stats())
		if told.IsZero() || now.Sub(told) >= reportTime && s.report.Sent > sent+idlePackets {
			if err := r.tell(s.reported(now)); err != nil {
				return err
			}
			told, sent = now, s.report.Sent
		}
		timer.Reset(min(max(s.floor()/lookPart, shortLook), longLook))
	}
}

// tell writes a report. A client that does not read them gets no more.
func (r *reply) tell(p wire.PathReport) error {
	body := p.Append(nil)
	frame := wire.Header{Status: wire.StatusOK, Length: len(body)}.Append(nil)
	r.st.SetWriteDeadline(time.Now().Add(r.c.srv.limits.StallTimeout))
	_, err := r.st.Write(append(frame, body...))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errReset{wire.StreamStalled}
	}
	return err
}
