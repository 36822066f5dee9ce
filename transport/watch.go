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
	// probes is how many packets ask a port at which a refusal hints, one at once
	// and the others evenly over refusalPatience: who only receives sends little by
	// itself, and would learn of a dead server a keep-alive at a time.
	probes = 5

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
	send     func([]byte)  // sends one packet and tells wrote of an error
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
		asked int // probes sent
	}
	head  []byte // of the last short packet that was written; nil: none yet
	short struct {
		n     int
		first time.Time
		seen  uint64 // arrivals at the first one
	}
	dead   error // why the port counts as closed; nil until then
	unsent error // of the last write that failed in the handshake; nil: of none
}

// newWatch returns a watch whose kill wakes a blocked read, and which probes
// with send.
func newWatch(kill func(), send func([]byte)) *watch {
	return &watch{kill: kill, send: send, patience: refusalPatience}
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
	switch {
	case w.dead != nil:
		return w.dead
	case !lostPacket(err):
		return err
	case !w.established.Load() && !isErrno(err, errnoFull): // whoever dials is to know at once
		w.unsent = err
		return err
	}
	return w.hint(err)
}

// failed returns why the handshake could not send; nil: it could.
func (w *watch) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unsent
}

// hint counts err if it says that the port is closed. The caller holds mu.
func (w *watch) hint(err error) error {
	if !isErrno(err, errnoRefused) {
		return nil
	}
	r := &w.refusals
	now, seen := time.Now(), w.arrivals.Load()
	if r.n == 0 || r.seen != seen {
		r.n, r.first, r.seen, r.asked = 0, now, seen, 0
		if r.timer != nil {
			r.timer.Stop()
		}
		r.timer = time.AfterFunc(0, w.probe)
	}
	r.n++
	r.last = err
	return w.judge(now)
}

// probe is the timer's: it asks the port again while the refusals are in doubt,
// and judges them when their time is over.
func (w *watch) probe() {
	w.mu.Lock()
	r := &w.refusals
	if w.dead != nil || r.seen != w.arrivals.Load() || w.judge(time.Now()) != nil || r.asked >= probes {
		w.mu.Unlock()
		return
	}
	r.asked++
	r.timer.Reset(w.patience / (probes - 1))
	var packet []byte
	if w.head != nil {
		packet = longer(w.head)
	}
	w.mu.Unlock()
	if packet != nil {
		w.send(packet)
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
	w.head = append(w.head[:0], packet[:nudgePrefix]...)
	s := &w.short
	now, seen := time.Now(), w.arrivals.Load()
	if s.n == 0 || s.seen != seen {
		s.n, s.first, s.seen = 0, now, seen
	}
	s.n++
	if s.n < nudgeAfter || now.Sub(s.first) < nudgeQuiet {
		return nil
	}
	return longer(w.head)
}

// longer returns a packet that begins with head and is long enough for a
// stateless reset.
func longer(head []byte) []byte {
	b := make([]byte, nudgeLen)
	rand.Read(b[copy(b, head):])
	return b
}

// stop ends the timer and the probes.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusals.asked = probes
	if w.refusals.timer != nil {
		w.refusals.timer.Stop()
	}
}
