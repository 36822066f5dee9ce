package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ConnLimit counts the connections of all listeners that share it, from their
// first packet to their end, so that half-open ones count too. The zero value is
// ready to use. All methods may be called from any goroutine.
//
// A first packet can be sent in anybody's name. Above HandshakeRate, when half of
// all places are taken, and from an address that has a quarter of its own, a
// client must first show that it receives what is sent to its address (Retry, RFC
// 9000, section 8.1.2): that costs it a round trip, and the server nothing. So
// forged addresses take no more than half of the places, and no more than a
// quarter of those of the address that they name.
type ConnLimit struct {
	// Max bounds all connections together; zero means DefaultMaxConns. It must
	// not change once a listener has the limit, and must not be negative.
	Max int
	// MaxPerAddr bounds those from one IP address to one listener; zero means
	// DefaultMaxConnsPerAddr. It must not change once a listener has the limit,
	// and must not be negative.
	MaxPerAddr int
	// HandshakeRate bounds, for a second, the handshakes that begin without a
	// proof of the client's address, and those that one address with a proof may
	// begin at one listener; zero means DefaultHandshakeRate. It must not change
	// once a listener has the limit, and must not be negative.
	HandshakeRate int

	mu       sync.Mutex
	total    int
	from     map[source]int
	all      map[netip.Addr]int // over all listeners
	unproved bucket             // handshakes begun without a proof
	paces    map[source]*bucket // handshakes begun with one
	swept    time.Time          // when paces lost those that are empty
}

// source is what the limit for one address counts.
type source struct {
	listener *Listener
	addr     netip.Addr // as Client returns it
}

// lastPlaces keeps one address from taking everything: it may have at most so
// many times the places that are free over all listeners.
const lastPlaces = 7

// sweepEvery is the time between two looks for addresses that begin no more
// handshakes.
const sweepEvery = time.Second

// errTooMany makes quic-go answer a first packet with CONNECTION_REFUSED. It
// never leaves the package.
var errTooMany = errors.New("too many connections")

// Len returns the number of connections now.
func (l *ConnLimit) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// mustProve reports whether a client that has shown no proof of its address s
// needs one. If it needs none, its handshake counts.
func (l *ConnLimit) mustProve(s source) bool {
	rate := orDefault(l.HandshakeRate, DefaultHandshakeRate)
	l.mu.Lock()
	defer l.mu.Unlock()
	return 2*l.total >= l.max() || 4*l.from[s] >= l.maxPerAddr() || !l.unproved.take(time.Now(), rate, rate)
}

// take counts one more connection from s; false when a limit is reached. proved
// says that the client has shown that the address is its own.
func (l *ConnLimit) take(s source, proved bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.max() || l.from[s] >= l.maxPerAddr() || l.all[s.addr] >= lastPlaces*(l.max()-l.total) {
		return false
	}
	if proved && !l.keepsPace(s) {
		return false
	}
	if l.from == nil {
		l.from = make(map[source]int)
		l.all = make(map[netip.Addr]int)
	}
	l.total++
	l.from[s]++
	l.all[s.addr]++
	return true
}

// keepsPace counts a handshake of s; false when it has begun too many. The
// caller holds mu.
func (l *ConnLimit) keepsPace(s source) bool {
	now, rate := time.Now(), orDefault(l.HandshakeRate, DefaultHandshakeRate)
	if now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		for other, b := range l.paces {
			if b.idle(now, rate) {
				delete(l.paces, other)
			}
		}
	}
	if l.paces == nil {
		l.paces = make(map[source]*bucket)
	}
	if l.paces[s] == nil {
		l.paces[s] = new(bucket)
	}
	return l.paces[s].take(now, rate, max(rate, l.maxPerAddr()))
}

// release undoes one take.
func (l *ConnLimit) release(s source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.from[s]--; l.from[s] == 0 {
		delete(l.from, s)
	}
	if l.all[s.addr]--; l.all[s.addr] == 0 {
		delete(l.all, s.addr)
	}
}

func (l *ConnLimit) max() int { return orDefault(l.Max, DefaultMaxConns) }

func (l *ConnLimit) maxPerAddr() int { return orDefault(l.MaxPerAddr, DefaultMaxConnsPerAddr) }

// A bucket counts events against a rate. The zero bucket has counted none. It
// belongs to whoever locks it.
type bucket struct {
	level float64 // events that the rate has not paid for yet
	at    time.Time
}

// take counts an event unless it would be more than burst above rate a second.
func (b *bucket) take(now time.Time, rate, burst int) bool {
	b.drain(now, rate)
	if b.level+1 > float64(burst) {
		return false
	}
	b.level++
	return true
}

// idle reports whether the bucket is as good as a new one.
func (b *bucket) idle(now time.Time, rate int) bool {
	b.drain(now, rate)
	return b.level == 0
}

func (b *bucket) drain(now time.Time, rate int) {
	if past := now.Sub(b.at); past > 0 {
		b.level = max(0, b.level-past.Seconds()*float64(rate))
		b.at = now
	}
}

// orDefault returns v, or def when v is zero.
func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// hostOf returns a's IP address. An address that has none (no socket of this
// package has such a peer) shares the zero value's limit with its like.
func hostOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// clientBits is the part of an IPv6 address that tells sites apart: a host may
// take any address within it.
const clientBits = 64

// Client returns what the limits count as one client: an IPv4 address, or the
// first 64 bits of an IPv6 address, but for a link's own, which everybody on the
// link begins alike.
func Client(a net.Addr) netip.Addr {
	host := hostOf(a)
	if !host.Is6() || host.IsLinkLocalUnicast() {
		return host
	}
	// Every IPv6 address has so many bits.
	p, _ := host.Prefix(clientBits)
	return p.Addr()
}
