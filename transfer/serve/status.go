package serve

import (
	"net"
	"time"

	"malcolm/transfer/admission"
	"malcolm/wire"
)

// ClientStatus is what one client was sent. An IPv6 /64 is one client.
type ClientStatus = admission.Status

// maxClients bounds the clients in a [Status].
const maxClients = 32

// A State is what a virtual server does.
type State int

// The states of a virtual server.
const (
	StateIndexing  State = iota // is hashing the file, and says so
	StateListening              // waits for clients
	StateServing                // sends at least one range
	StateStopped                // does not listen
)

var stateNames = [...]string{"indexing", "listening", "serving", "stopped"}

// String returns the state in one word.
func (s State) String() string { return stateNames[s] }

// Hashing is the progress of hashing.
type Hashing struct {
	Indexing          wire.Indexing // in bytes
	Files, TotalFiles int64         // of a tree
	// Made counts how often hashing has made something to offer, or found
	// it unchanged. Took is the time of all of them. The cache may have had
	// the hashes.
	Made int64
	Took time.Duration
}

// Status is the state of a [Server] at one moment. Its counters are since the
// start.
type Status struct {
	Hashing  // its progress, while Indexed is false
	Indexed  bool
	Requests int              // being read or answered now
	Load     admission.Load   // what connections use now
	Counts   admission.Counts // what was decided against clients
	Denied   int64            // connections without the token
	Panics   int64            // see [Panicked]
	Passed   admission.Passed // how far connections came
	Present  int              // clients with a connection
	Meters

	Servers     []VirtualStatus // in the order of the sockets; that of HTTP without TLS is the last
	Clients     []ClientStatus  // those that were sent the most, at most 32
	MoreClients int             // clients not in Clients
}

// VirtualStatus is the state of one virtual server.
type VirtualStatus struct {
	Addr    net.Addr // of UDP, TCP has the same port; or of HTTP without TLS
	UDP     bool     // it listens there now
	TCP     bool     // and there
	State   State
	Web     bool       // it answers HTTP without TLS, and nothing else
	Clients int        // connections now
	Ranges  int        // being sent now
	Sent    int64      // bytes of the file since the start
	Lost    int64      // packets since the start; falls when a late one is acknowledged
	OverTCP PartStatus // what is of TCP
	HTTP    PartStatus // of that, what is of HTTP
	Asked   int64      // requests for ranges since the start
	Packets int64      // sent since the start, repetitions included
}

// PartStatus is a part of a virtual server's numbers.
type PartStatus struct {
	Clients int
	Sent    int64
}

// Status returns the state of the server now. Any goroutine may call it at any
// time: before, during and after Run. It waits only for short locks.
func (s *Server) Status() Status {
	st := s.Brief()
	st.Clients, st.MoreClients = s.book.Clients(maxClients)
	return st
}

// Brief is [Server.Status] without Clients and MoreClients. Its cost does not
// grow with the clients.
func (s *Server) Brief() Status {
	st := Status{
		Hashing: s.index.progress(), Indexed: s.index.isReady(), Requests: s.active.count(),
		Denied: s.denied.Load(), Panics: s.panics.Load(), Meters: s.meters.meters(),
	}
	st.Load, st.Counts = s.book.Load()
	st.Passed, st.Present = s.book.Passed()
	for _, v := range s.all() {
		st.Servers = append(st.Servers, v.status(st.Indexed))
	}
	return st
}

// status returns the state of the virtual server. indexed says that there is a
// file to offer.
func (v *virtualServer) status(indexed bool) VirtualStatus {
	udp, tcp, web := &v.ways[0], &v.ways[1], &v.ways[2]
	st := VirtualStatus{
		Addr: v.addr, Ranges: int(v.ranges.Load()), Lost: max(0, v.lost.Load()), Web: v == v.srv.web.plain,
		HTTP:  PartStatus{Clients: int(web.clients.Load()), Sent: web.sent.Load()},
		Asked: v.asked.Load(), Packets: v.packets.Load(),
	}
	st.OverTCP = PartStatus{Clients: int(tcp.clients.Load()) + st.HTTP.Clients, Sent: tcp.sent.Load() + st.HTTP.Sent}
	st.Clients, st.Sent = int(udp.clients.Load())+st.OverTCP.Clients, udp.sent.Load()+st.OverTCP.Sent
	st.UDP, st.TCP = v.listening()
	switch {
	case v.srv.stopped.Load() || !st.UDP && !st.TCP:
		st.State = StateStopped
	case st.Ranges > 0:
		st.State = StateServing
	case !indexed:
		st.State = StateIndexing
	default:
		st.State = StateListening
	}
	return st
}
