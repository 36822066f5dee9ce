package transport

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxRefusals and refusalPatience say when a server's port counts as closed
	// after the handshake: so many refusals, and so long without a packet since
	// the first of them.
	maxRefusals     = 3
	refusalPatience = 2 * time.Second

	// shortPacket is the longest packet, in bytes, to which quic-go replies with
	// no stateless reset (1 + 20 + 4 + 1 + 16).
	shortPacket = 42
	// nudgeLen is longer than that, and short enough for any path.
	nudgeLen = 64
	// nudgePrefix covers a first byte and the longest connection ID.
	nudgePrefix = 1 + 20
	// nudgeAfter is how many short packets in a row without an answer make a
	// nudge, counting it; nudgeQuiet is how long ago the first of them must be.
	nudgeAfter = 3
	nudgeQuiet = 100 * time.Millisecond
)

// watch judges what a socket says about the peer behind it. Its methods may be
// called from any goroutine.
type watch struct {
	kill     func()        // makes the pending and all later reads return
	patience time.Duration // refusalPatience, except in tests

	established atomic.Bool   // the handshake is complete
	arrivals    atomic.Uint64 // successful reads

	mu       sync.Mutex
	refusals struct {
		n     int
		first time.Time
		seen  uint64 // arrivals at the first one
		timer *time.Timer
		last  error
	}
	short struct {
		n     int
		first time.Time
		seen  uint64 // arrivals at the first one
	}
	dead error // why the port counts as closed; nil until then
}

// newWatch returns a watch whose kill wakes a blocked read.
func newWatch(kill func()) *watch {
	return &watch{kill: kill, patience: refusalPatience}
}

// establish says that the peer has proved itself: from now on, what the network
// reports is a hint only.
func (w *watch) establish() { w.established.Store(true) }

// arrived counts a packet from the peer.
func (w *watch) arrived() { w.arrivals.Add(1) }

// read judges the result of a read that did or did not bring a packet. It returns
// the error that ends the connection, or nil: then, if there was an error, it was
// a hint and the read is to be repeated.
func (w *watch) read(packet bool, err error) error {
	if err == nil {
		if packet {
			w.arrived()
		}
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead != nil {
		return w.dead
	}
	if !w.established.Load() || !isErrno(err, errnoICMP) {
		return err
	}
	return w.hint(err)
}

// wrote judges the error of a write. It returns nil when the packet is to be taken
// as lost on its way, which QUIC repairs.
func (w *watch) wrote(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead != nil {
		return w.dead
	}
	if !w.established.Load() || !isErrno(err, errnoICMP) && !isErrno(err, errnoLost) {
		return err
	}
	return w.hint(err)
}

// hint counts err if it says that the port is closed. The caller holds mu.
func (w *watch) hint(err error) error {
	if !isErrno(err, errnoRefused) {
		return nil
	}
	r := &w.refusals
	now, seen := time.Now(), w.arrivals.Load()
	if r.n == 0 || r.seen != seen {
		r.n, r.first, r.seen = 0, now, seen
		if r.timer != nil {
			r.timer.Stop()
		}
		r.timer = time.AfterFunc(w.patience, w.expire)
	}
	r.n++
	r.last = err
	return w.judge(now)
}

// expire is the timer's: the refusals may have come before their time was over.
func (w *watch) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead == nil {
		w.judge(time.Now())
	}
}

// judge sets and returns dead when the refusals suffice. The caller holds mu.
func (w *watch) judge(now time.Time) error {
	r := &w.refusals
	if r.n < maxRefusals || now.Sub(r.first) < w.patience || r.seen != w.arrivals.Load() {
		return nil
	}
	w.dead = &NetworkError{Kind: PortUnreachable, Err: r.last}
	w.kill()
	return w.dead
}

// nudge is to be called after packet was written. It returns a packet to send
// next to it, or nil; see the package comment.
func (w *watch) nudge(packet []byte) []byte {
	const longHeader = 0x80
	if len(packet) > shortPacket || len(packet) < nudgePrefix || packet[0]&longHeader != 0 ||
		!w.established.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.short
	now, seen := time.Now(), w.arrivals.Load()
	if s.n == 0 || s.seen != seen {
		s.n, s.first, s.seen = 0, now, seen
	}
	s.n++
	if s.n < nudgeAfter || now.Sub(s.first) < nudgeQuiet {
		return nil
	}
	b := make([]byte, nudgeLen)
	rand.Read(b[copy(b, packet[:nudgePrefix]):])
	return b
}

// stop ends the timer.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refusals.timer != nil {
		w.refusals.timer.Stop()
	}
}
