// Package admission decides whom a server lets in, who must leave when there is
// no room, and who waits. It is pure: time is an argument, nothing is sent or
// closed here. The caller closes the connections that must go.
//
// A [Book] has a record of each connection, from its first packet to its end.
// The address is taken once, when the connection comes in. A client may move to
// another address later; it still leaves from the first one.
//
// # Places
//
// An address is not a person: an office, a rack and a phone carrier are one
// address. So there is no limit of connections for an address. There are many
// places. When all are taken, the connection that must go is chosen in this
// order:
//
//   - one that is not opened yet;
//   - one that has taken less than 1 KiB/s for a minute, of the network (IPv4
//     /24, IPv6 /48) with the most connections, the longest idle first.
//
// A connection whose bytes move never goes. One whose client has gone keeps its
// place until its requests are over, which a disk that hangs may prevent. A
// client that has left too many of these behind gets no more reads of the file.
//
// A first packet can be sent in anybody's name. So handshakes without a proof
// of the address are limited in three ways: they have a rate, get at most half
// of the places, and only a few at a time come from one address. Above that a
// client must first show that it receives what is sent to its address (Retry,
// RFC 9000, section 8.1.2).
//
// # Bytes
//
// Each connection is charged what it may make the server hold: its largest
// congestion window, because the library below keeps unacknowledged bytes, its
// buffers and its requests.
//
// The budget counts as spent at 7/8: the rest is what windows grow by before
// they are held. While it is spent
//
//   - connections that moved less than their charge in 10 s are closed, the
//     largest first;
//   - connections are slowed to half of their window in a round trip, so that
//     their windows do not grow. A connection that holds less than its fair
//     part of a sixteenth of the budget is not slowed, so newcomers always get
//     on.
//
// Large buffers are given only while there is room.
//
// # Shares
//
// Limited things are shared evenly between clients, then between the runs of
// one client, then between the connections of one run. A client is an IPv4
// address, an IPv6 /64, or a link. A run is what a client calls one, by a
// number of its choice: further numbers gain a client nothing.
package admission
