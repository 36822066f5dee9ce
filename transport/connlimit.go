package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// ConnLimit counts the connections of all listeners that share it, from their
// first packet to their end, so that half-open ones count too. The zero value is
// ready to use. All methods may be called from any goroutine.
type ConnLimit struct {
	// Max bounds all connections together; zero means DefaultMaxConns. It must
	// not change once a listener has the limit, and must not be negative.
	Max int
	// MaxPerAddr bounds those from one IP address to one listener; zero means
	// DefaultMaxConnsPerAddr. It must not change once a listener has the limit,
	// and must not be negative.
	MaxPerAddr int

	mu    sync.Mutex
	total int
	from  map[source]int
}

// source is what the limit for one address counts.
type source struct {
	listener *Listener
	addr     netip.Addr
}

// errTooMany makes quic-go answer a first packet with CONNECTION_REFUSED. It
// never leaves the package.
var errTooMany = errors.New("too many connections")

// Len returns the number of connections now.
func (l *ConnLimit) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// take counts one more connection from s; false when a limit is reached.
func (l *ConnLimit) take(s source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= orDefault(l.Max, DefaultMaxConns) ||
		l.from[s] >= orDefault(l.MaxPerAddr, DefaultMaxConnsPerAddr) {
		return false
	}
	if l.from == nil {
		l.from = make(map[source]int)
	}
	l.total++
	l.from[s]++
	return true
}

// release undoes one take.
func (l *ConnLimit) release(s source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	l.from[s]--
	if l.from[s] == 0 {
		delete(l.from, s)
	}
}

// orDefault returns v, or def when v is zero.
func orDefault[T int | int64](v, def T) T {
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
