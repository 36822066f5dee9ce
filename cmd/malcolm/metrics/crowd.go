package metrics

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
)

// A crowd bounds the connections of an HTTP server. For one too many goes the
// connection that has asked for nothing for the longest time, of the address
// with the most connections: who scrapes is not shut out by who only waits. If
// all of them are asking, the new one goes. It is a server's ConnState.
type crowd struct {
	most int

	mu    sync.Mutex
	conns []visitor // in the order in which they last came or asked
}

// A visitor is one connection.
type visitor struct {
	conn   net.Conn
	from   netip.Addr
	asking bool // a request has begun, and its reply has not ended
}

// watch is called by the server when a connection changes its state.
func (c *crowd) watch(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	i := slices.IndexFunc(c.conns, func(v visitor) bool { return v.conn == conn })
	v := visitor{conn: conn, from: hostOf(conn)}
	if i >= 0 {
		v = c.conns[i]
		c.conns = slices.Delete(c.conns, i, i+1)
	}
	var goes net.Conn
	switch state {
	case http.StateNew:
		if len(c.conns) >= c.most {
			goes = c.leave(v)
		}
		if goes != conn {
			c.conns = append(c.conns, v)
		}
	case http.StateActive, http.StateIdle:
		if i >= 0 { // else it was sent away
			v.asking = state == http.StateActive
			c.conns = append(c.conns, v)
		}
	}
	c.mu.Unlock()
	if goes != nil {
		goes.Close()
	}
}

// leave takes out the connection that goes for a new one, and returns it.
func (c *crowd) leave(v visitor) net.Conn {
	of := map[netip.Addr]int{v.from: 1}
	for _, o := range c.conns {
		of[o.from]++
	}
	goes := -1
	for i, o := range c.conns {
		if !o.asking && (goes < 0 || of[o.from] > of[c.conns[goes].from]) {
			goes = i
		}
	}
	if goes < 0 {
		return v.conn
	}
	conn := c.conns[goes].conn
	c.conns = slices.Delete(c.conns, goes, goes+1)
	return conn
}

// hostOf returns the address of a connection's other end; the zero Addr: it has
// none.
func hostOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
