package serve

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// reportEvery is the least time between two path reports.
	reportEvery = 100 * time.Millisecond
	// lastReport is how long the end of the reports may take to leave when
	// the server stops.
	lastReport = 5 * time.Millisecond
)

// A pathWatch is the request for path reports of a connection.
type pathWatch struct {
	asked   atomic.Bool   // there was one before
	running atomic.Bool   // one is being answered
	moved   chan struct{} // has a token when something was sent
}

// path sends reports of what it sees of the way to the client, until the client
// cancels or the server stops. It does not count as use of the connection, and
// the server does not wait for it. The first request of a connection is never
// wasted.
func (r *reply) path(ctx context.Context) admission.Use {
	repeated := r.c.path.asked.Swap(true)
	u := r.use(admission.UsePart, r.reports(ctx))
	if !repeated {
		return admission.UsePart
	}
	return u
}

// reports ends with an error.
func (r *reply) reports(ctx context.Context) error {
	c := r.c
	// Over TCP a request has its own TLS connection. It is not known here
	// which others of its run make up the client's connection. The kernel
	// also tells no single round trips to rank losses by.
	if c.conn.Protocol() != transport.QUIC {
		return r.refuse(wire.StatusUnsupported, 0, "path reports are of connections over QUIC")
	}
	if !c.path.running.CompareAndSwap(false, true) {
		return r.refuse(wire.StatusBusy, 0, "another request for path reports is under way on this connection")
	}
	defer c.path.running.Store(false)
	r.stepAside()
	r.st.SetWriteDeadline(time.Time{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.srv.stopping, func() {
		r.st.SetWriteDeadline(time.Unix(1, 0)) // wakes a Write
		cancel()
	})()
	err := r.watch(ctx)
	if c.srv.stopping.Err() == nil || isClosed(r.st.Done()) {
		return err
	}
	if errors.Is(err, errReset{wire.StreamStopping}) { // between two reports
		r.st.SetWriteDeadline(time.Now().Add(lastReport))
		stopping := wire.Refusal{Status: wire.StatusStopping}
		if _, err := r.st.Write(stopping.Append(nil)); err == nil {
			return errors.Join(r.st.CloseWrite(), errRefused{wire.StatusStopping})
		}
	}
	return errReset{wire.StreamStopping}
}

// watch looks at the connection, and sends a report when one is due. If the
// client does not take a report, the next report and the looks wait. It returns
// when ctx ends, or with the stream's error.
func (r *reply) watch(ctx context.Context) error {
	conn, began := r.c.conn, time.Now()
	w, due := newSampler(conn.Stats()), time.Duration(0)
	timer := time.NewTimer(w.pause())
	defer timer.Stop()
	for {
		at := time.Since(began)
		w.look(conn.Stats(), at)
		if w.news && at >= due {
			if err := r.sendReport(w.report(at)); err != nil {
				return err
			}
			due = at + reportEvery
		}
		var moved <-chan struct{}
		if w.rests(at) {
			moved = r.c.path.moved
		} else {
			timer.Reset(w.pause())
		}
		select {
		case <-timer.C:
		case <-moved:
		case <-ctx.Done():
			return errReset{wire.StreamStopping}
		}
	}
}

// sendReport sends a report. It is no progress of the connection, so it does
// not count as moving.
func (r *reply) sendReport(p wire.PathReport) error {
	body := p.Append(nil)
	frame := wire.Header{Status: wire.StatusOK, Length: len(body)}.Append(nil)
	n, err := r.st.Write(append(frame, body...))
	r.taken += int64(n)
	return err
}

// stepAside says that the request is answered without counting as use of the
// connection.
func (r *reply) stepAside() {
	r.aside = true
	r.c.srv.active.end()
	r.c.change(func(now time.Time) { r.c.srv.book.Aside(r.c.rec, now) })
}
