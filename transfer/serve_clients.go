package transfer

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"malcolm/transport"
)

// maxClients is how many clients a [Status] tells of.
const maxClients = 32

// ClientStatus is what one host was sent since it has had a connection without
// a break, to whichever virtual servers.
type ClientStatus struct {
	Addr   netip.Addr
	Conns  int   // connections now
	Ranges int   // being sent now
	Sent   int64 // bytes of the file
}

// clientHosts knows the hosts that have connections. Any goroutine may call its
// methods; the zero clientHosts knows none.
type clientHosts struct {
	mu    sync.Mutex
	hosts map[netip.Addr]*clientTotals
	conns map[*transport.Conn]*virtualServer
}

// clientTotals are those of one of them.
type clientTotals struct {
	conns  int // under clientHosts.mu
	ranges atomic.Int64
	sent   atomic.Int64
}

// join counts a connection to a virtual server, and returns its host.
func (h *clientHosts) join(conn *transport.Conn, v *virtualServer) *clientTotals {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hosts == nil {
		h.hosts, h.conns = make(map[netip.Addr]*clientTotals), make(map[*transport.Conn]*virtualServer)
	}
	addr := conn.RemoteHost()
	host := h.hosts[addr]
	if host == nil {
		host = new(clientTotals)
		h.hosts[addr] = host
	}
	host.conns++
	h.conns[conn] = v
	return host
}

// leave undoes one join. What the connection has lost stays counted.
func (h *clientHosts) leave(conn *transport.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[conn].lost.Add(int64(conn.Stats().PacketsLost))
	delete(h.conns, conn)
	addr := conn.RemoteHost()
	host := h.hosts[addr]
	if host.conns--; host.conns == 0 {
		delete(h.hosts, addr)
	}
}

// status returns the hosts that were sent the most, and how many others there
// are.
func (h *clientHosts) status() (list []ClientStatus, others int) {
	h.mu.Lock()
	for addr, host := range h.hosts {
		list = append(list, ClientStatus{Addr: addr, Conns: host.conns, Ranges: int(host.ranges.Load()), Sent: host.sent.Load()})
	}
	h.mu.Unlock()
	slices.SortFunc(list, func(a, b ClientStatus) int {
		return cmp.Or(cmp.Compare(b.Sent, a.Sent), a.Addr.Compare(b.Addr))
	})
	shown := min(len(list), maxClients)
	return list[:shown:shown], len(list) - shown
}

// lost returns how many packets each virtual server has lost. What was
// acknowledged late is no longer lost, so the numbers may fall.
func (h *clientHosts) lost() map[*virtualServer]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	lost := make(map[*virtualServer]int64)
	for conn, v := range h.conns {
		lost[v] += int64(conn.Stats().PacketsLost)
	}
	return lost
}
