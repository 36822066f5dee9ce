package malcolm

import (
	"errors"
	"sync/atomic"
	"time"

	"malcolm/transport"
)

// A udpTry is what dialling a server over UDP has come to, or will, after TCP
// was quicker. Any goroutine may call its methods. A nil *udpTry has nothing to
// say.
type udpTry struct {
	began   time.Time
	fair    time.Duration // how long UDP must be silent to count as that
	running atomic.Int32  // ways that are being dialled
	silent  atomic.Bool   // a way got no answer
	refused atomic.Bool   // packets were sent back
	works   atomic.Bool   // something came
	cancel  func()
	ended   chan struct{}
}

// fairTime is a factor: UDP counts as silent after fairTime times as long as
// TCP took. The server may be slow, and QUIC sends a lost packet again.
const fairTime = 4

// follow waits beside everything else for the end of the ways of e, the only
// ones that are still being dialled. TCP took some time to connect.
func (r *race) follow(e *entry, took time.Duration) *udpTry {
	u := &udpTry{began: e.began, fair: fairTime * took, cancel: e.cancel, ended: make(chan struct{})}
	u.running.Store(int32(e.started - e.ended))
	for _, err := range e.errs {
		u.note(err)
	}
	go func() {
		defer close(u.ended)
		defer e.cancel()
		for e.ended < e.started {
			if o := <-r.outcomes; r.end(o) {
				u.works.Store(true)
				o.conn.Close()
			} else {
				u.note(o.err)
			}
			u.running.Add(-1)
		}
	}()
	return u
}

// note takes the error of one way.
func (u *udpTry) note(err error) {
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*transport.PeerError](err); ok {
		u.works.Store(true)
		return
	}
	e, ok := errors.AsType[*transport.NetworkError](err)
	switch {
	case isUntrusted(err), ok && e.Kind == transport.SlowAnswer:
		u.works.Store(true)
	case ok && e.Kind == transport.NoAnswer:
		u.silent.Store(true)
	case ok && (e.Kind == transport.PortUnreachable || e.Kind == transport.HostUnreachable || e.Kind == transport.Prohibited):
		u.refused.Store(true)
	}
}

// unanswered returns for how long UDP has had no answer; 0: it has one, was
// refused, or had too little time.
func (u *udpTry) unanswered() time.Duration {
	if u == nil || u.works.Load() || u.running.Load() == 0 && !u.silent.Load() {
		return 0
	}
	if silent := time.Since(u.began); silent >= u.fair {
		return silent
	}
	return 0
}

// isRefused reports whether all that was sent over UDP was refused.
func (u *udpTry) isRefused() bool {
	return u != nil && u.refused.Load() && !u.silent.Load() && !u.works.Load() && u.running.Load() == 0
}

// halt ends what is still being dialled.
func (u *udpTry) halt() {
	if u != nil {
		u.cancel()
		<-u.ended
	}
}
