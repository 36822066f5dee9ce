// Package transport opens UDP sockets and QUIC connections for malcolm/1 and
// says of every error whether the peer, the network or we ourselves caused it.
//
// It is the only package that imports quic-go's root package, and it knows
// nothing of malcolm's messages: a [Listener] hands out connections, a
// connection hands out streams, and close and reset codes are numbers that the
// wire package names.
//
// # Sockets
//
// The client opens one connected UDP socket a connection ([DialUDP]). The
// kernel then reports an ICMP "port unreachable" as ECONNREFUSED, so a closed
// port fails in a millisecond instead of after a timeout. ICMP can be forged by
// anyone who knows the two ports, so after the handshake such a report is only a
// hint: it ends the connection when it comes back again and again for two
// seconds while no packet arrives, and is otherwise ignored.
//
// The first such hint after a packet makes the client ask the port again, five
// times within these two seconds, so that a server that is gone is found by them
// and not by its keep-alives. Reading and writing go on meanwhile.
//
// # Speed
//
// What the client does beyond quic-go:
//
//   - The kernel joins packets of one connection (UDP_GRO, Linux 5.0) and one call
//     reads up to 64 KiB of them, which are handed to quic-go one by one (about
//     12 at a time between two processes; see groReader).
//   - Reading waits while quic-go is more than 200 packets behind (see pressure):
//     beyond 256 it drops packets, and the sender takes that for congestion.
//   - Socket buffers of 7 MiB, with force where the process may.
//
// Joined packets and the waiting together carry 1.35 to 1.38 times as much over
// four connections on two cores (`just bench`). GOGC=400, tried in turn with
// Go's own, brought nothing beyond noise. Joined packets at the server, which
// receives acknowledgements of all sizes, have not been measured.
//
// # A server that was restarted
//
// A listener's stateless-reset key outlives the process, so a restarted server
// answers packets of connections it has forgotten with a stateless reset.
// quic-go sends one only in reply to a packet of more than 42 bytes (RFC 9000,
// section 10.3), and the client's acknowledgements and PINGs are shorter. The
// client therefore sends, next to the third such short packet in a row that
// nobody has answered, a longer one made of the same first bytes and random
// ones: a server that still has the connection cannot decrypt it and drops it.
//
// # Who closes what
//
// [Listen] and [Dial] own the socket they are given, also when they fail. A
// dialed connection has its own quic.Transport; transport, socket and the share
// of the [WindowBudget] are given back when the connection ends, whoever ended
// it. [Listener.Close] ends everything that the listener still holds without a
// word to the peers: close the connections with a code first.
package transport
