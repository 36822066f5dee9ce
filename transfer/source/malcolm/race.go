package malcolm

import (
	"context"
	"net/netip"
	"time"

	"malcolm/certs"
	"malcolm/transport"
)

const (
	// raceTime is RFC 8305's Connection Attempt Delay.
	raceTime = 250 * time.Millisecond
	// A transport has headStart before the next one is tried beside it, on
	// a long path headRTTs round trips instead.
	headStart = 250 * time.Millisecond
	headRTTs  = 3
)

// A way is how a server may be reached.
type way struct {
	protocol transport.Protocol
	remote   netip.AddrPort // zero: the proxy finds it
}

// A race dials the ways to a server. Each lane is one transport, the preferred
// one first; its ways are tried one after the other, the next one when the last
// has failed or is slow (RFC 8305, section 5). The next lane starts after head,
// or when nothing is left to try in those before it.
type race struct {
	lanes   [][]way
	head    time.Duration  // how long each lane goes before the next
	timeout time.Duration  // of all together
	want    certs.ServerID // that the server has proved before; zero: none yet
	doubts  bool           // over UDP nothing came lately: it is tried even if TCP was quick
	further bool           // the server can do without the connection
	dial    func(context.Context, way) (*conn, error)

	// set by run
	ctx      context.Context
	entries  []*entry
	outcomes chan outcome
	began    time.Time
}

// An entry is a lane that has started.
type entry struct {
	ways    []way
	ctx     context.Context
	cancel  context.CancelFunc
	let     func() bool // lets it outlive the race
	began   time.Time
	started int // ways
	ended   int
	last    time.Time // when the last way was started
	errs    []error   // of each way; nil: none yet, or it is a connection
}

// An outcome is how dialling one way ended.
type outcome struct {
	e    *entry
	i    int
	conn *conn
	err  error
}

// A raceError is why no way has led to a server: what ended each lane.
type raceError []laneError

// A laneError has the error of each way of a lane that was tried, at least one.
type laneError struct {
	protocol transport.Protocol
	errs     []error
}

func (e raceError) Error() string { return e[0].errs[0].Error() }

// run returns the first connection whose server has proved to be who it is. If
// all of them lead to another server than before, it returns the first. The
// error is a raceError.
func (r *race) run(ctx context.Context) (*conn, error) {
	n := 0
	for _, ways := range r.lanes {
		n += len(ways)
	}
	r.ctx, r.outcomes, r.began = ctx, make(chan outcome, n), time.Now()
	r.enter()
	var won, other *conn
	for won == nil && r.running() {
		select {
		case o := <-r.outcomes:
			switch {
			case !r.end(o):
			case !r.isOther(o.conn):
				won = o.conn
			case other == nil:
				other = o.conn
			default:
				o.conn.Close()
			}
		case <-r.timer():
		}
		if won == nil {
			r.advance()
		}
	}
	return r.finish(won, other)
}

// finish ends what still runs. If TCP has won the race, it lets UDP go on, to
// find out whether anything comes back over it.
func (r *race) finish(won, other *conn) (*conn, error) {
	switch {
	case won == nil:
		won = other
	case other != nil:
		won.other = other.id
		other.Close()
	}
	if r.doubts && won != nil && won.protocol == transport.TCP && len(r.entries) == 1 && len(r.lanes) == 2 {
		r.enter()
	}
	var udp *entry
	var took time.Duration // TCP
	for _, e := range r.entries {
		if e.ways[0].protocol == transport.TCP {
			took = time.Since(e.began)
		}
		if won != nil && won.protocol == transport.TCP && e.ways[0].protocol == transport.QUIC && e.let() {
			udp = e
		} else {
			e.cancel()
		}
	}
	for r.runs(udp) {
		if o := <-r.outcomes; r.end(o) {
			o.conn.Close()
		}
	}
	if won == nil {
		var errs raceError
		for _, e := range r.entries {
			errs = append(errs, laneError{e.ways[0].protocol, e.errs})
		}
		return nil, errs
	}
	if udp != nil {
		won.udp = r.follow(udp, took)
	}
	return won, nil
}

// isOther reports whether a connection leads to another server than before.
func (r *race) isOther(c *conn) bool { return r.want != (certs.ServerID{}) && c.id != r.want }

// enter starts the next lane.
func (r *race) enter() {
	e := &entry{ways: r.lanes[len(r.entries)], began: time.Now()}
	e.ctx, e.cancel = context.WithDeadline(context.WithoutCancel(r.ctx), r.began.Add(r.timeout))
	e.let = context.AfterFunc(r.ctx, e.cancel)
	r.entries = append(r.entries, e)
	r.start(e)
}

// start dials the next way of a lane.
func (r *race) start(e *entry) {
	i := e.started
	e.started++
	e.last = time.Now()
	e.errs = append(e.errs, nil)
	go func() {
		conn, err := r.dial(e.ctx, e.ways[i])
		r.outcomes <- outcome{e, i, conn, err}
	}()
}

// end notes an outcome, and reports whether it is a connection.
func (r *race) end(o outcome) bool {
	o.e.ended++
	o.e.errs[o.i] = o.err
	return o.conn != nil
}

// over reports whether nothing more is to start.
func (r *race) over() bool { return r.ctx.Err() != nil || time.Since(r.began) >= r.timeout }

// advance starts every lane and way that is due.
func (r *race) advance() {
	if r.over() {
		return
	}
	for _, e := range r.entries {
		if e.started < len(e.ways) && (e.ended == e.started || time.Since(e.last) >= raceTime) {
			r.start(e)
		}
	}
	for len(r.entries) < len(r.lanes) && (!r.running() || time.Since(r.began) >= r.laneTime()) {
		r.enter()
	}
}

// timer receives when advance has something to start.
func (r *race) timer() <-chan time.Time {
	wait := time.Duration(-1)
	if len(r.entries) < len(r.lanes) {
		wait = max(0, r.laneTime()-time.Since(r.began))
	}
	for _, e := range r.entries {
		if left := max(0, raceTime-time.Since(e.last)); e.started < len(e.ways) && (wait < 0 || left < wait) {
			wait = left
		}
	}
	if wait < 0 || r.over() {
		return nil
	}
	return time.After(wait)
}

// laneTime is how long after the beginning the next lane is to start.
func (r *race) laneTime() time.Duration { return time.Duration(len(r.entries)) * r.head }

func (r *race) running() bool { return r.runs(nil) }

// runs reports whether a way of any other lane than one is being dialled.
func (r *race) runs(but *entry) bool {
	for _, e := range r.entries {
		if e != but && e.ended < e.started {
			return true
		}
	}
	return false
}
