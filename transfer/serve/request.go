package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transport"
	"malcolm/wire"
)

// leftWait is how long a client is told to stay away whose abandoned requests
// still wait for the disk, when they are too many.
const leftWait = time.Second

// A reply is the work for one request, from the request's first byte on. It
// belongs to one goroutine.
type reply struct {
	c        *clientConn
	st       transport.Stream
	accepted bool
	aside    bool  // it does not count as use of the connection
	taken    int64 // bytes of the reply that the client has taken
}

// begin says that a request has begun on a stream. The reply must be ended.
func (c *clientConn) begin(st transport.Stream) *reply {
	c.srv.active.begin()
	c.change(func(now time.Time) { c.srv.book.Begin(c.rec, now) })
	return &reply{c: c, st: st}
}

// accept says that the request will be answered.
func (r *reply) accept() {
	r.accepted = true
	r.c.change(func(now time.Time) { r.c.srv.book.Accept(r.c.rec, now) })
}

// end says that the request is over.
func (r *reply) end() {
	if r.aside {
		r.c.change(func(now time.Time) { r.c.srv.book.EndAside(r.c.rec, now) })
		return
	}
	r.c.srv.active.end()
	r.c.change(func(now time.Time) { r.c.srv.book.End(r.c.rec, r.accepted, now) })
}

// answer reads the request and replies to it. It gives up when the client does.
// The first stream opens the connection; until then no other stream is read.
func (r *reply) answer(ctx context.Context) admission.Use {
	c, st := r.c, r.st
	if st.First() {
		if !r.open(ctx) {
			return c.unopened()
		}
	} else if !c.awaitOpen(ctx) {
		return admission.UsePart
	}
	st.SetReadDeadline(time.Now().Add(c.srv.limits.RequestTimeout))
	req, err := wire.ReadRequest(st)
	if err != nil {
		r.refuseRequest(err)
		return admission.UseNone
	}
	if c.srv.isStopping() {
		r.refuse(wire.StatusStopping, 0, "")
		return admission.UsePart
	}
	replying, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := st.AfterDone(cancel)
	defer stop()
	if _, ok := req.(wire.PathRequest); ok {
		return r.path(replying)
	}
	r.accept()
	u, err := r.handle(replying, req)
	return r.use(u, err)
}

// unopened returns what a request was good for on a connection that was not
// opened.
func (c *clientConn) unopened() admission.Use {
	if c.srv.isStopping() {
		return admission.UsePart
	}
	return admission.UseNone
}

// handle replies to a request and says what it was good for unless there is an
// error.
func (r *reply) handle(ctx context.Context, req wire.Request) (admission.Use, error) {
	if !r.c.srv.book.MayRead(r.c.rec) {
		return admission.UseNone, r.refuse(wire.StatusBusy, leftWait, "requests that were given up still wait for the file")
	}
	switch req := req.(type) {
	case wire.StatRequest:
		return admission.UseStat, r.stat(ctx, req)
	case wire.ValuesRequest:
		return admission.UseWhole, r.values(ctx, req)
	case wire.RangesRequest:
		return r.ranges(ctx, req)
	case wire.RecheckRequest:
		return admission.UseWhole, r.recheck(req)
	}
	return admission.UseNone, r.refuse(wire.StatusUnsupported, 0, "")
}

// use ends a reply that failed, and returns what the request was good for.
func (r *reply) use(u admission.Use, err error) admission.Use {
	var refused errRefused
	switch {
	case err == nil:
		return u
	case errors.As(err, &refused):
		if refused.status == wire.StatusStopping {
			return admission.UsePart
		}
		return admission.UseNone
	}
	code := resetCode(err)
	if code == wire.StreamStalled && r.c.conn.Protocol() == transport.TCP { // nothing follows what is not taken
		r.c.closeFor(ClosedStalled, "too little was taken of what was sent")
	}
	r.st.CancelWrite(uint64(code))
	switch {
	case r.taken == 0:
		return admission.UseNone
	case u == admission.UseStat:
		return u
	}
	return admission.UsePart
}

// write sends p while there is progress.
func (r *reply) write(p []byte) error {
	for {
		r.st.SetWriteDeadline(time.Now().Add(r.c.srv.limits.StallTimeout))
		n, err := r.st.Write(p)
		r.taken += int64(n)
		r.c.moved(n, false)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if n == 0 {
			return errReset{wire.StreamStalled}
		}
		p = p[n:]
	}
}

// send sends one small frame.
func (r *reply) send(status wire.Status, body []byte) error {
	frame := wire.Header{Status: status, Length: len(body)}.Append(nil)
	return r.write(append(frame, body...))
}

// errRefused says that the reply was a complete refusal.
type errRefused struct{ status wire.Status }

func (e errRefused) Error() string { return "refused: " + e.status.String() }

// refuse ends the reply with a refusal. The error is errRefused, or the
// stream's.
func (r *reply) refuse(status wire.Status, wait time.Duration, text string) error {
	r.c.srv.refused[status].Add(1)
	refusal := wire.Refusal{Status: status, Wait: wait, Text: text}
	if err := r.write(refusal.Append(nil)); err != nil {
		return err
	}
	if err := r.st.CloseWrite(); err != nil {
		return err
	}
	return errRefused{status}
}

// refuseRequest answers a request that could not be read.
func (r *reply) refuseRequest(err error) {
	var malformed *wire.MalformedError
	var unsupported *wire.UnsupportedError
	code := wire.StreamProtocol
	switch {
	case errors.As(err, &unsupported):
		r.refuse(wire.StatusUnsupported, 0, unsupported.Error())
	case errors.As(err, &malformed):
		r.refuse(wire.StatusMalformed, 0, malformed.Error())
	default:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			code = wire.StreamStalled
		}
		r.st.CancelWrite(uint64(code))
	}
	r.st.CancelRead(uint64(code), transport.LeftUnknown) // what follows is not read
}

// errReset carries the code with which a stream is reset.
type errReset struct{ code wire.StreamCode }

func (e errReset) Error() string { return fmt.Sprintf("reset with code %d", e.code) }

func resetCode(err error) wire.StreamCode {
	var r errReset
	if errors.As(err, &r) {
		return r.code
	}
	return wire.StreamCancelled
}
