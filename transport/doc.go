// Package transport opens sockets and connections for malcolm/1, over QUIC and
// over TCP with TLS 1.3. It says of every error whether the peer, the network
// or this side caused it.
//
// It is the only package that imports quic-go's root package. It does not know
// malcolm's messages: a [Listener] hands out connections, a connection hands
// out streams, and close and reset codes are numbers that the wire package
// names. Callers do not see whether a [Conn] runs over QUIC or TCP.
//
// # Sockets of UDP
//
// The client opens one connected UDP socket a connection ([DialUDP]). The
// kernel then reports an ICMP "port unreachable" as ECONNREFUSED, so a closed
// port fails in a millisecond instead of after a timeout. Anyone who knows the
// two ports can forge ICMP. So after the handshake such a report is only a
// hint: it ends the connection if it comes again and again for two seconds
// while no packet arrives, and is otherwise ignored.
//
// The first such hint after a packet makes the client ask the port again, five
// times within these two seconds. So a server that is gone is found by these
// packets and not by its keep-alives. Reading and writing go on meanwhile.
//
// One error of a socket ends nothing, at either end. A failed read is repeated,
// with pauses; the socket counts as broken after about 10 s of nothing but
// errors. A packet that could not be sent is lost, which QUIC repairs.
// Exceptions: ICMP during the handshake ends it at once, since the user waits;
// and quic-go is told that a packet was too large.
//
// # Connections over TCP
//
// A server's connection is one TLS connection. Its requests are answered in
// order, and at most one waits behind the reply that is under way. The segments
// that mark where messages end are specified in package wire.
//
// A client's connection is a pool of up to 8 TLS connections, the links, which
// all prove the same key. A stream takes an idle link, else the place behind
// another stream, else a new link; an urgent one never takes a place behind
// another. A stream that is cancelled ends its link, unless the rest of its
// reply is small; what waited there is sent again over another link. An idle
// link is watched, so that its end is seen at once. A busy one is read by its
// stream alone: its end is seen by the next Read.
//
// A write deadline that strikes inside a TLS record would spoil a tls.Conn for
// good. So TLS writes into memory, and what waits there is sent piece by piece;
// no piece is encrypted before the one before it is in the socket. At most one
// piece waits: 16 KiB for a client that has just made us wait, else 128 KiB.
//
// Both ends probe a silent peer each second and give up after 15 s. A server's
// sockets hold at most 128 KiB that are not sent, so that a request ahead and a
// close code are not late. [ListenOptions].StallTimeout bounds the time without
// acknowledgements (Linux; TCP_USER_TIMEOUT, which then also is the limit of
// the probes).
//
// A crypto/tls connection makes a system call a record of 16 KiB. Here 128 KiB
// are read and written at a time, in buffers that a connection holds only while
// bytes move. A read waits without a buffer, except on Windows, where it reads
// record by record.
//
// Bytes that are only moved cost both ends together 0.3 of the CPU time that
// they cost over QUIC on one connection, and 0.22 on four (BenchmarkBytes over
// loopback, 800 MB, two cores that others used too). The kernel cuts and joins
// the packets, and a record is 16 KiB where a packet of QUIC is 1.4.
//
// A listener with [Web] also takes clients that speak HTTP/1.1, or name no
// protocol at all. It hands their connections on, and knows nothing of HTTP.
//
// # Speed of QUIC
//
// What the client adds to quic-go:
//
//   - The kernel joins packets of one connection (UDP_GRO, Linux 5.0) and one
//     call reads up to 64 KiB of them, which are handed to quic-go one by one
//     (about 12 at a time between two processes; see groReader).
//   - Reading waits while quic-go is more than 200 packets behind (see
//     pressure): beyond 256 it drops packets, and the sender takes that for
//     congestion.
//   - Socket buffers of 7 MiB, with force if the process may.
//
// What the server adds: a burst that quic-go sends is joined to the ones before
// it that the kernel has not taken yet (see joiner; Linux). A call then sends
// two or three bursts, and the client reads longer runs of joined packets.
// MALCOLM_NO_JOIN=1 switches that off, and MALCOLM_NO_GRO=1 the client's joined
// reading, so that each can be measured. What the client sends is not joined:
// acknowledgements and requests are single packets.
//
// Joined packets and the waiting together carry 1.16 to 1.38 times the bytes
// over four connections on two cores, most on a quiet machine, and 1.1 to 1.8
// times over one (`just bench`, three runs).
//
// A copy of 2 GB over four connections keeps both cores busy from end to end:
// 60 % of the time in the processes, 39 % in the kernel (perf, 500 samples a
// second). Nothing stands out. quic-go packs and encrypts for 22 %, takes
// packets apart for 19 % and sends for 13 %; hashing takes 7 %, writing 6 %,
// reading joined packets 5 %, reserving the file's pages 6 %, the garbage
// collector 0.2 %. Of the total, copying bytes is 21 % and AES-GCM 10 %. There
// is one acknowledgement for about 20 packets, and the server already reads
// several of them with one call.
//
// These were tried over 2 GB, 5 to 11 rounds in turn, and dropped. The median
// of the paired ratios was within 3 %, which is the difference between two runs
// of the same program here:
//
//   - GOGC=400; a PGO profile of both ends (2.4 % less CPU, 2.8 % more speed).
//   - Connection windows held at 256 KiB to 2 MiB, to stay in the cache: 5 to
//     18 % slower. Socket buffers of 1 and 2 MiB: the same as 7.
//   - 64 or 128 packets ahead instead of 200; pieces of 64 or 256 KiB instead
//     of 128 at the client, of 256 KiB to 1 MiB instead of 128 KiB at the
//     server.
//   - A lock around pwrite, for which the kernel has one of its own: 6 %
//     slower.
//   - A part file in memory that is left sparse: 2 to 5 % more CPU, 0 to 3 %
//     faster. Reserving it during the fetching: 4 to 6 % slower, for writes
//     wait for the same lock. Chunks of 2 MiB instead of 256 KiB: the same.
//
// One thing was dropped although it pays. With one processor for each end
// (GOMAXPROCS=1), a copy between two ends that share two cores takes 15 % less
// CPU and is 13 % quicker: what a goroutine hands to the next stays in its
// core's cache. But an end with the machine to itself would have half of it,
// and one beside other programs a smaller share. To measure both ends on one
// machine you may set it.
//
// # A server that was restarted
//
// A listener's stateless-reset key outlives the process, so a restarted server
// answers packets of connections it has forgotten with a stateless reset.
// quic-go sends one only in reply to a packet of more than 42 bytes (RFC 9000,
// section 10.3), and the client's acknowledgements and PINGs are shorter. So
// with the third such short packet in a row without an answer, the client sends
// a longer one: the same first bytes, then random ones. A server that still has
// the connection cannot decrypt it and drops it.
//
// # Who closes what
//
// [Listen], [ListenTCP], [Dial] and [DialTCP] own the sockets they are given or
// make, even if they fail. Over TCP a close is the last segment. A client
// closes the socket behind it, a server when the client has, or after a second.
// A peer that does not read is not waited for: its socket is closed a second
// later.
//
// Over QUIC a dialed connection has its own quic.Transport. Transport, socket
// and the share of the [WindowBudget] are given back when the connection ends,
// whichever side ended it. A listener's Close ends everything that it still
// holds without telling the peers: close the connections with a code first.
package transport
