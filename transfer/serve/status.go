package serve

import (
	"net"

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

	Servers     []VirtualStatus // in the order of the sockets
	Clients     []ClientStatus  // those that were sent the most, at most 32
	MoreClients int             // clients not in Clients
}

// VirtualStatus is the state of one virtual server.
type VirtualStatus struct {
	Addr    net.Addr // of UDP; TCP has the same port
	UDP     bool     // it listens there now
	TCP     bool     // and there
	State   State
	Clients int   // connections now
	Ranges  int   // being sent now
	Sent    int64 // bytes of the file since the start
	Lost    int64 // packets since the start; falls when a late one is acknowledged
}

// Status returns the state of the server now. Any goroutine may call it at any
// time: before, during and after Run. It waits only for short locks.
func (s *Server) Status() Status {
	st := Status{
		Hashing: s.index.progress(), Indexed: s.index.isReady(), Requests: s.active.count(),
		Denied: s.denied.Load(), Panics: s.panics.Load(),
	}
	st.Load, st.Counts = s.book.Load()
	st.Clients, st.MoreClients = s.book.Clients(maxClients)
	for _, v := range s.virtual {
		st.Servers = append(st.Servers, v.status(st.Indexed))
	}
	return st
}

// status returns the state of the virtual server. indexed: there is a file to
// offer.
func (v *virtualServer) status(indexed bool) VirtualStatus {
	st := VirtualStatus{
		Addr: v.addr, Clients: int(v.clients.Load()), Ranges: int(v.ranges.Load()), Sent: v.sent.Load(),
		Lost: max(0, v.lost.Load()),
	}
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
