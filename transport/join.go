package transport

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// maxRunBytes is the size of the longest run. IP and UDP leave 65,507
	// bytes for it, fewer with options of IP.
	maxRunBytes = 65_000
	// maxRunPackets is the number of packets that every Linux with GSO cuts
	// from one run (UDP_MAX_SEGMENTS in include/linux/udp.h).
	maxRunPackets = 64
	// maxRuns is the number of runs that wait in a socket at a time: 4 MiB.
	// A burst beyond them is sent as it is.
	maxRuns = 64
	// maxRunErrors is the number of remotes for which a socket keeps the
	// error of a run.
	maxRunErrors = 64
)

// A joiner joins what a listener sends to one remote. quic-go hands over bursts
// of at most 20 KiB, which the kernel cuts into packets (GSO). While the kernel
// works on one run, the bursts that come meanwhile make up the next. So nothing
// waits that would not wait anyway, and the kernel is called less often.
//
// A burst is only joined to one with the same control messages: the size of the
// packets, ECN, the source address. A short last packet ends a run. Each remote
// has at most one run that waits. A sender whose burst cannot be added waits,
// as it would for a full socket. That holds quic-go back.
//
// A single packet (an acknowledgement, a probe, a close) is sent at once, after
// everything before it to the same remote: QUIC would take packets that it
// overtakes for lost.
//
// A run that fails for want of GSO or memory is sent again packet by packet.
// Other errors of the system count as its loss, which QUIC repairs; for packets
// that are too large quic-go does nothing else. The next burst to the remote
// learns of a lack of GSO, and of a deadline or a closed socket; it is then not
// sent.
//
// A remote without a run is forgotten. The goroutine that sends ends when no
// run waits.
type joiner struct {
	// write sends at once; the socket's call.
	write func(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error)
	// segment finds the message that says how long the packets of a burst
	// are: that size, and the message's place in oob. Size 0: no message,
	// it is a single packet.
	segment func(oob []byte) (size, begin, end int)

	mu      sync.Mutex
	remotes map[netip.AddrPort]*remoteRuns
	turns   []*remoteRuns // those with a run that waits, the next one first
	errors  map[netip.AddrPort]error
	closed  bool // no new runs
	busy    bool // a goroutine sends
	ended   sync.WaitGroup

	bursts, runs atomic.Uint64 // joined, and sent
}

// A joinedRun is what one call hands to the kernel.
type joinedRun struct {
	to  *net.UDPAddr // the caller's, which does not change it
	b   []byte
	oob []byte
	// size is that of each packet but the last, in bytes.
	size int
}

// remoteRuns are the runs of one remote that are not sent yet. The joiner's
// lock guards them.
type remoteRuns struct {
	addr         netip.AddrPort
	waiting      *joinedRun // nil: none
	opened, sent uint64     // numbers of runs
	waiters      int
	changed      sync.Cond // a run no longer waits, or is sent
}

var runPool = sync.Pool{New: func() any { return &joinedRun{b: make([]byte, 0, maxRunBytes)} }}

// makeJoiner returns a joiner for a socket with these calls.
func makeJoiner(write func(b, oob []byte, to *net.UDPAddr) (int, int, error), segment func([]byte) (int, int, int)) *joiner {
	return &joiner{
		write: write, segment: segment,
		remotes: make(map[netip.AddrPort]*remoteRuns), errors: make(map[netip.AddrPort]error),
	}
}

// writeMsg works like the socket's WriteMsgUDP. It may return before a burst is
// sent.
func (j *joiner) writeMsg(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	joined, err := j.join(b, oob, to)
	switch {
	case err != nil:
		return 0, 0, err
	case joined:
		return len(b), len(oob), nil
	}
	return j.write(b, oob, to)
}

// join adds b to a run. If it cannot, it waits until everything before b to the
// same remote is sent, and returns false.
func (j *joiner) join(b, oob []byte, to *net.UDPAddr) (joined bool, err error) {
	size, _, _ := j.segment(oob)
	addr := to.AddrPort()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.errors[addr]; err != nil && size > 0 {
		delete(j.errors, addr)
		return false, err
	}
	for !j.closed && size > 0 && fits(len(b), size) {
		r := j.remotes[addr]
		if r == nil && len(b)%size != 0 {
			break // nothing could be added to it
		}
		if r == nil || r.waiting == nil {
			if len(j.turns) == maxRuns {
				break
			}
			j.open(addr, to, oob, size).add(b)
			j.bursts.Add(1)
			return true, nil
		}
		if r.waiting.takes(b, oob) {
			r.waiting.add(b)
			j.bursts.Add(1)
			return true, nil
		}
		j.wait(r)
	}
	if r := j.remotes[addr]; r != nil {
		for before := r.opened; r.sent < before; {
			j.wait(r)
		}
	}
	return false, nil
}

// open begins a run, which waits for its turn.
func (j *joiner) open(addr netip.AddrPort, to *net.UDPAddr, oob []byte, size int) *joinedRun {
	r := j.remotes[addr]
	if r == nil {
		r = &remoteRuns{addr: addr}
		r.changed.L = &j.mu
		j.remotes[addr] = r
	}
	run := runPool.Get().(*joinedRun)
	run.to, run.size = to, size
	run.b, run.oob = run.b[:0], append(run.oob[:0], oob...)
	r.waiting = run
	r.opened++
	j.turns = append(j.turns, r)
	if !j.busy {
		j.busy = true
		j.ended.Go(j.send)
	}
	return run
}

// wait waits for a change of r, with j.mu held except while it waits.
func (j *joiner) wait(r *remoteRuns) {
	r.waiters++
	r.changed.Wait()
	r.waiters--
	j.forget(r)
}

// forget forgets a remote that has nothing to send and nobody waits for.
func (j *joiner) forget(r *remoteRuns) {
	if r.sent == r.opened && r.waiters == 0 {
		delete(j.remotes, r.addr)
	}
}

// send sends the runs, the remotes in turn, until none waits.
func (j *joiner) send() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.turns) > 0 {
		r := j.turns[0]
		j.turns = slices.Delete(j.turns, 0, 1)
		run := r.waiting
		r.waiting = nil
		r.changed.Broadcast()
		j.mu.Unlock()
		err := j.transmit(run)
		run.to = nil
		runPool.Put(run)
		j.mu.Lock()
		if err != nil {
			if len(j.errors) >= maxRunErrors {
				clear(j.errors) // an error that persists comes again
			}
			j.errors[r.addr] = err
		}
		r.sent++
		r.changed.Broadcast()
		j.forget(r)
	}
	j.busy = false
}

// transmit sends a run, which it may change. The error is one that the next
// burst to the remote has to learn.
func (j *joiner) transmit(run *joinedRun) error {
	j.runs.Add(1)
	_, _, err := j.write(run.b, run.oob, run.to)
	switch {
	case isErrno(err, errnoNoGSO), isErrno(err, errnoFull):
		if cut := j.oneByOne(run); cut != nil {
			return cut
		}
		if isErrno(err, errnoNoGSO) {
			return err
		}
		return nil
	case isSystem(err):
		return nil
	}
	return err
}

// oneByOne sends the packets of a run one by one. A packet that the system does
// not send is lost. Another error ends it.
func (j *joiner) oneByOne(run *joinedRun) error {
	_, begin, end := j.segment(run.oob)
	run.oob = slices.Delete(run.oob, begin, end)
	for p := range slices.Chunk(run.b, run.size) {
		if _, _, err := j.write(p, run.oob, run.to); err != nil && !isSystem(err) {
			return err
		}
	}
	return nil
}

// close closes the socket and ends the sending. What waits is lost, as in a
// listener's Close.
func (j *joiner) close(socket func() error) error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	err := socket()
	j.ended.Wait()
	return err
}

// takes reports whether a burst may be added to a run.
func (run *joinedRun) takes(b, oob []byte) bool {
	return len(run.b)%run.size == 0 && fits(len(run.b)+len(b), run.size) && bytes.Equal(run.oob, oob)
}

func (run *joinedRun) add(b []byte) { run.b = append(run.b, b...) }

// fits reports whether packets of size bytes, n bytes together, are no longer
// than a run may be.
func fits(n, size int) bool {
	return n > 0 && n <= maxRunBytes && n <= maxRunPackets*size
}
