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

// A reply is the work for one request, from the request's first byte on.
type reply struct {
	c        *clientConn
	st       transport.Stream
	accepted bool
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
	r.c.srv.active.end()
	r.c.change(func(now time.Time) { r.c.srv.book.End(r.c.rec, r.accepted, now) })
}

// answer reads the request and replies to it. It gives up when the client does.
func (r *reply) answer(ctx context.Context) admission.Use {
	c, st := r.c, r.st
	st.SetReadDeadline(time.Now().Add(c.srv.limits.RequestTimeout))
	req, err := wire.ReadRequest(st)
	if err != nil {
		c.refuseRequest(st, err)
		return admission.UseNone
	}
	if c.srv.stopping.Load() {
		c.refuse(st, wire.StatusStopping, "")
		return admission.UseAnswer
	}
	replying, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := st.AfterDone(cancel)
	defer stop()
	if !c.admit(ctx, st, req) {
		return admission.UseNone
	}
	r.accept()
	var u admission.Use
	switch req := req.(type) {
	case wire.Hello:
		u, err = admission.UseHello, c.hello(replying, st, req)
	case wire.ManifestRequest:
		u, err = admission.UseFetch, c.values(replying, st, req)
	case wire.RangeRequest:
		u, err = admission.UseFetch, c.sendRange(replying, st, req)
	case wire.RecheckRequest:
		u, err = admission.UseNone, c.recheck(st, req)
	}
	if err == nil {
		return u
	}
	if !errors.Is(err, errRefused) {
		st.CancelWrite(uint64(resetCode(err)))
	}
	return admission.UseNone
}

// errRefused says that the reply was a complete refusal.
var errRefused = errors.New("refused")

// refuse answers with a status that is not success. The error is errRefused, or
// the stream's.
func (c *clientConn) refuse(st transport.Stream, status wire.Status, text string) error {
	if err := c.write(st, wire.AppendRefusal(nil, status, text)); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	return errRefused
}

// refuseRequest answers a request that could not be read.
func (c *clientConn) refuseRequest(st transport.Stream, err error) {
	var malformed *wire.MalformedError
	var unsupported *wire.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		c.refuse(st, wire.StatusUnsupported, unsupported.Error())
	case errors.As(err, &malformed):
		c.refuse(st, wire.StatusMalformed, malformed.Error())
	case errors.Is(err, os.ErrDeadlineExceeded):
		st.CancelRead(uint64(wire.StreamStalled), transport.LeftUnknown)
		st.CancelWrite(uint64(wire.StreamStalled))
		return
	default:
		st.CancelRead(uint64(wire.StreamProtocol), transport.LeftUnknown)
		st.CancelWrite(uint64(wire.StreamProtocol))
		return
	}
	st.CancelRead(uint64(wire.StreamProtocol), transport.LeftUnknown) // what follows is not read
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
