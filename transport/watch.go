package transport

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A server's port counts as closed after the handshake if there were
	// maxRefusals refusals, and no packet for refusalPatience since the
	// first of them.
	maxRefusals     = 3
	refusalPatience = 2 * time.Second
	// probes is the number of packets that ask a port after a hint of a
	// refusal, one at once and the others evenly over refusalPatience. A
	// client that only receives sends little by itself, and would learn of
	// a dead server one keep-alive at a time.
	probes = 5

	// shortPacket is the longest packet, in bytes, to which quic-go sends
	// no stateless reset (1 + 20 + 4 + 1 + 16).
	shortPacket = 42
	// nudgeLen is longer than that, and short enough for any path.
	nudgeLen = 64
	// nudgePrefix covers a first byte and the longest connection ID.
	nudgePrefix = 1 + 20
	// nudgeAfter is the number of short packets in a row without an answer
	// that cause a nudge, the last one included. nudgeQuiet is the least
	// age of the first of them.
	nudgeAfter = 3
	nudgeQuiet = 100 * time.Millisecond
)

// watch judges what a socket says about the peer behind it. Any goroutine may
// call its methods.
type watch struct {
	kill     func()        // makes the pending and all later reads return
	send     func([]byte)  // sends one packet and passes an error to wrote
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
	head  []byte // of the last short packet written; nil: not yet
	short struct {
		n     int
		first time.Time
		seen  uint64 // arrivals at the first one
	}
	dead   error // why the port counts as closed; nil until then
	unsent error // of the last write that failed in the handshake, or nil
}

// newWatch returns a watch. kill wakes a blocked read, and send sends its
// probes.
func newWatch(kill func(), send func([]byte)) *watch {
	return &watch{kill: kill, send: send, patience: refusalPatience}
}

// establish says that the peer has proved itself: from now on, the network's
// reports are only hints.
func (w *watch) establish() { w.established.Store(true) }

// arrived counts a packet from the peer.
func (w *watch) arrived() { w.arrivals.Add(1) }

// read judges the result of a read; packet says whether it brought one. It
// returns the error that ends the connection, or nil. After nil a read that
// failed is to be repeated: the error was a hint.
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

// wrote judges the error of a write. It returns nil if the packet counts as
// lost, which QUIC repairs.
func (w *watch) wrote(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.dead != nil:
		return w.dead
	case !lostPacket(err):
		return err
	case !w.established.Load() && !isErrno(err, errnoFull): // the dialer must know at once
		w.unsent = err
		return err
	}
	return w.hint(err)
}

// failed returns why the handshake could not send, or nil.
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

// probe is called by the timer. It asks the port again while the refusals are
// in doubt, and judges them when their time is over.
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

// judge sets and returns dead if the refusals suffice. The caller holds mu.
func (w *watch) judge(now time.Time) error {
	r := &w.refusals
	if r.n < maxRefusals || now.Sub(r.first) < w.patience || r.seen != w.arrivals.Load() {
		return nil
	}
	w.dead = &NetworkError{Kind: PortUnreachable, Err: r.last}
	w.kill()
	return w.dead
}

// nudge returns a packet to send next to packet, which was just written, or
// nil; see the package comment.
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
