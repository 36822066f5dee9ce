package serve

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"

	"malcolm/transport"
	"malcolm/wire"
)

// resetLabel names the identity's subkey for stateless reset tokens (RFC 9000,
// section 10.3). With them a restarted server can tell its former clients at
// once.
const resetLabel = "malcolm stateless reset"

// A virtualServer is a port and its counters. Any goroutine may call its
// methods.
type virtualServer struct {
	srv       *Server
	number    int         // in Server.virtual
	addr      net.Addr    // of its UDP socket
	endpoints []*endpoint // over UDP, and over TCP if it has that

	congestion string // control of what is sent over TCP; empty: nothing is said

	ways    [3]way // over UDP, over TCP, of HTTP
	ranges  atomic.Int64
	asked   atomic.Int64 // requests for ranges since the start
	packets atomic.Int64 // that were sent
	lost    atomic.Int64 // packets; falls when a late one is acknowledged
}

// newVirtual makes the virtual server number n.
func (s *Server) newVirtual(n int) *virtualServer {
	pc := s.cfg.Conns[n]
	v := &virtualServer{srv: s, number: n, addr: pc.LocalAddr()}
	v.endpoints = append(v.endpoints, newEndpoint(v, pc, v.addr, transport.Listen, s.cfg.Reopen))
	if tcp := s.cfg.TCP.Sockets; n < len(tcp) && tcp[n] != nil {
		v.congestion = s.cfg.TCP.Congestion
		v.endpoints = append(v.endpoints, newEndpoint(v, tcp[n], tcp[n].Addr(), transport.ListenTCP, s.cfg.TCP.Reopen))
	}
	return v
}

// listening reports whether clients can reach the virtual server over UDP, and
// over TCP.
func (v *virtualServer) listening() (udp, tcp bool) {
	for _, e := range v.endpoints {
		if e.addr.Network() == "tcp" {
			tcp = e.listening.Load()
		} else {
			udp = e.listening.Load()
		}
	}
	return udp, tcp
}

// resetKey returns the secret of stateless resets for this identity on this
// machine: others may have the identity too.
func (cfg *Config) resetKey() [32]byte {
	machine := cfg.Machine
	if machine == ([32]byte{}) {
		rand.Read(machine[:])
	}
	identity := cfg.Identity.Derive(resetLabel)
	mac := hmac.New(sha256.New, identity[:])
	mac.Write(machine[:])
	return [32]byte(mac.Sum(nil))
}

// contain is deferred by each goroutine that works for a connection. A panic
// ends the connection, not the process.
func (v *virtualServer) contain(conn transport.Conn) {
	p := recover()
	if p == nil {
		return
	}
	conn.Close(uint64(wire.CloseInternal), "")
	v.panicked(conn.RemoteAddr(), p)
}

// panicked tells of a panic that was recovered from.
func (v *virtualServer) panicked(client net.Addr, value any) {
	v.srv.events.offer(Panicked{
		Server: v.addr, Client: client, Value: fmt.Sprintf("%.*q", maxPanicValue, fmt.Sprint(value)),
		Count: v.srv.panics.Add(1), Stack: debug.Stack(),
	})
}
