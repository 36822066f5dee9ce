// Package admission decides whom a server lets in, who goes when there is no room,
// and who waits. It is pure: time is an argument, nothing is sent or closed here.
// Whoever is told that a connection must go closes it.
//
// A [Book] has a record of each connection, from its first packet to its end. The
// address is taken once, when the connection comes in: a client may move to another
// address later, and still leaves from where it came.
//
// # Places
//
// An address is not a person: an office, a rack and a phone carrier are one address.
// So there is no limit of connections for an address. There are many places, and when
// none is left somebody goes: first who has not been accepted by a first request, then
// who has taken less than 1 KiB/s for a minute, the longest first, of the network (IPv4
// /24, IPv6 /48) that has most connections. A connection whose bytes move never goes.
//
// A first packet can be sent in anybody's name. So handshakes without a proof of the
// address have a rate, get no more than half of the places, and no more than a few at
// a time of one address. Above that a client must first show that it receives what is
// sent to its address (Retry, RFC 9000, section 8.1.2).
//
// # Bytes
//
// Each connection is charged what it may make the server hold: its largest congestion
// window, because the library below keeps what is not acknowledged, its buffers and
// its requests.
//
// The budget is spent when 7/8 of it are: the rest is what windows grow by before they are
// held. While it is spent
//
//   - who has moved less than its charge in 10 s goes, the largest first,
//   - connections are slowed to half of their window in a round trip: their windows do not
//     grow then. Who holds less than its fair part of a sixteenth of the budget is not
//     slowed, so newcomers always get on.
//
// Nobody gets a large buffer for which there is no room.
//
// # Shares
//
// What is limited is shared evenly between clients, and then between the connections
// of one. A client is an IPv4 address, an IPv6 /64, or a link. When the protocol tells
// runs apart, a run shares within its client, above its connections: see [client].
package admission
