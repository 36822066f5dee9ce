// Package wire is the specification of malcolm/1, the protocol by which a
// malcolm client copies files from several servers. It is also the codec:
// messages to bytes and back, and the limits of every length. It does no I/O
// beyond the [io.Reader] it is handed, does not know connections, and holds no
// state.
//
// # Goals
//
//   - Ask many servers what they hold before trusting any of them.
//   - A first byte of data two round trips after the handshake: stat, ranges.
//   - Content is named by its checksum. A file that several trees hold, or that
//     two servers keep in different places, is one file.
//   - Every length is checked against a limit before anything is allocated.
//   - One message has exactly one encoding.
//
// Not goals: writing to a server, compression, finding servers. QUIC (RFC 9000)
// and TLS bring encryption, flow control and recovery; none of it is repeated
// here.
//
// # Notation
//
//	varint      a QUIC variable-length integer (RFC 9000, section 16) in its
//	            shortest form; a longer form is malformed
//	hash        32 bytes
//	bytes<=N    varint length, at most N, and that many bytes
//	checksum    varint kind, and what the kind demands; only kind 0 is used:
//	            BLAKE3-256 of the whole file, a hash
//	time        varint seconds since 1970-01-01 UTC, rounded down, -2^61 to
//	            2^61 - 1, zigzag: 2n for n >= 0, -2n-1 for n < 0; varint
//	            nanoseconds, 0 to 999999999, counted forward from those seconds
//	tail        up to the end of the body: varint type, bytes<=256, each type at
//	            most once, in ascending order; at most 16 of them
//
// Bytes left over behind the last field of a body are malformed. A tail is room
// for what comes later. A reader skips an odd type that it does not know. An
// even type that it does not know makes the body malformed. Types with a
// meaning are named at their message. Types of 2^16 to 2^30 never get one. A
// writer puts one random odd type of that range into every tail, with up to 16
// random bytes, so that no reader forgets to skip it.
//
// # Connection
//
// A client connects with QUIC, or with TCP on the same port number. Both use
// TLS 1.3, ALPN "malcolm/1", without 0-RTT and session tickets. A client may
// offer the names of other revisions beside it, and a server takes one that it
// knows. The server's certificate carries the Ed25519 key that is its identity;
// names, chains and dates in it mean nothing. A stream carries one request and
// its reply, and ends. The client opens every stream.
//
// The first stream of a connection begins with the request "open", and its
// reply begins with the reply to that. The first real request follows "open" at
// once, on the same stream. A server reads no other stream before it has
// accepted "open", for which the client has a limited time from the handshake
// on.
//
// Over QUIC there are no datagrams and no unidirectional streams. Streams are
// independent of each other and may be answered in any order.
//
// Over TCP, each direction inside TLS is a sequence of segments:
//
//	varint n >= 1, at most 2^18    n bytes of a message follow
//	varint 0, then varint kind:
//	0  end    this request or reply is complete
//	1  reset  varint stream code: this request or reply will not be completed
//	2  close  varint close code, bytes<=256 text: nothing follows
//
// Requests and replies come strictly in turn. A client may send one request
// while the reply before it is still under way. To cancel a reply it closes the
// connection. If little is left of the reply, it may read that and go on. A
// message may be cut into segments anywhere.
//
// # Request
//
// The client sends one request and finishes its side of the stream at once. The
// end of the stream is part of the request, and more bytes are malformed. (Only
// "open" is followed by another request.) A request that ends before it is
// whole, or takes too long, is answered by a reset of both sides of the stream.
//
//	varint  type
//	varint  length of the body, at most 16384
//	body
//
//	type  name      body
//	0     open      16 bytes run: random, the same on all connections of one run
//	                bytes<=8 key: name of the token's key, 0 or 8 bytes
//	                bytes<=32 proof: the client's, 0 bytes without a key, else 32
//	                tail
//	1     stat      varint flags: bit 0 = send the values with the offer if they
//	                take at most 65536 bytes; every other bit is 0
//	                bytes<=1024 selector: which file or tree, compared byte by
//	                byte; empty = the only one
//	                tail
//	2     values    checksum of the file
//	                varint first, the number of a chunk
//	                varint count, at least 1; first + count is at most 2^20
//	3     ranges    varint n, the number of spans, 1 to 256
//	                n spans: checksum of the file, varint offset, varint length,
//	                both in bytes; length is at least 1, and offset + length at
//	                most 2^44
//	4     recheck   checksum of the file
//	                varint chunk, below 2^20: the server is asked to read it from
//	                its disk once more, since the client got other bytes of it
//	                than its value says
//	5     path      empty: the server is asked to report what it sees of the way
//	                to the client, until the client cancels
//
// A server answers an unknown type with the status "unsupported", whatever its
// body says, if the length is within the limit.
//
// An opened connection may name every checksum that the server holds, offered
// or not. A server holds the current version of a file, and the one before
// until nobody has asked for it for some time.
//
// # Reply
//
// A reply is a sequence of frames. The last one is followed by the end of the
// stream, except after the reply to an accepted "open".
//
//	varint  status
//	varint  length of the body, at most 131072
//	body
//
//	status  name         body
//	0       ok           what was asked for, see below
//	1       indexing     varint bytes hashed so far, varint bytes in all,
//	                     each at most 2^44, the first at most the second; only
//	                     in reply to stat; more frames follow, at most 4 a
//	                     second on average and 16 besides, until an offer
//	                     or a refusal; both numbers may fall when the file
//	                     changes while it is hashed
//	2       changed      refusal: no version with that checksum is held
//	3       not found    refusal: no file or tree of that selector
//	4       out of range refusal: it does not lie within the file
//	5       unsupported  refusal: unknown request type
//	6       malformed    refusal: the request breaks this specification
//	7       denied       refusal: the proof is missing or wrong
//	8       busy         refusal: a limit of the server is reached, or what is
//	                     asked for may be what is hashed for the first time
//	9       stopping     refusal: the server is shutting down
//	10      unreadable   refusal: the server cannot read its file
//	11      failed span  varint index of the span, varint status of a refusal,
//	                     and its body; only in reply to ranges
//
// A refusal ends the reply. Its body, like that of a status that is not in the
// table:
//
//	varint  milliseconds after which to come back, at most 2^32; 0: a wait may
//	        not help, or nobody knows
//	text    up to the end of the body, at most 256 bytes
//
// A text is for people only, means nothing to a program, and is hostile until
// quoted. It need not be UTF-8.
//
// Bodies of "ok":
//
//	open      varint streams: requests that may be under way on a connection, 1
//	          to 2^31 - 1; varint flight: bytes of ranges that may be under way
//	          on it; varint longest: bytes that a request for ranges may ask
//	          for, at most flight; varint wasted: requests that may come to
//	          nothing before the server closes the connection, at most
//	          2^31 - 1; bytes<=32 proof: the server's, 0 or 32 bytes; tail
//	stat      an offer; when it announces values, they follow as in reply to
//	          values
//	values    the values asked for: 32 bytes each, in as few frames as the limit
//	          of a frame allows
//	ranges    the bytes of the spans, in their order, cut into frames of at least
//	          1 byte; a frame may hold the end of a span and the beginning of
//	          the next; the reply ends with the last byte of the last span
//	recheck   nothing: the chunk has its value. A server whose chunk has not
//	          answers "changed", or "unreadable"; one that has looked too
//	          often lately answers "busy"
//	path      path reports, one a frame; see below
//
// The limits in the reply to "open" bind both sides: a client keeps them, and a
// server never holds less against a connection. flight and longest are at least
// 2^24, the length of the largest chunk. wasted counts every stat, and every
// request that was refused, or cancelled before a byte of the reply was taken.
// A request that was answered whole takes one off. If the connections of one
// address together waste more than that in a short time, they may be closed
// too.
//
// The tail of the reply to "open" may have this type, whatever carries the
// connection:
//
//	1  congestion  name of the congestion control with which the server sends
//	               over TCP from this port number, as its system calls it: 1 to
//	               16 bytes of ASCII from "!" to "~"; anything else says nothing
//
// A server reads and checks the bytes of a range before it writes the header of
// their frame. So it answers with "failed span" for the span that the next byte
// belongs to. That takes the place of the rest of the span, and the next one
// follows. There is one exception. If a client is slow, the server may drop the
// bytes of a frame that it has begun. If it then cannot read them again, it
// resets the stream with a code.
//
// A server may bound whatever a client makes it do. It answers "busy":
//
//   - to a stat that has waited too long for the index,
//   - to a stat while another one of the same connection waits,
//   - to any request while too many abandoned ones still wait for its disk.
//
// It closes the connection with the code "limit" in these cases:
//
//   - No request was accepted soon, or none comes for too long.
//   - More requests were wasted than it has said.
//   - The client takes too little of what the server sends.
//   - The connection is idle and others need its place.
//
// A client may come back later. Connections of one run share what the server
// gives to it, and the runs of one address share what it gives to that address.
// A new run number never gets a client more.
//
// # Path report
//
// Only the sender can tell whether packets are lost at random or because a
// queue is full. So a client may ask its server. The answer shows whether one
// more connection would take bandwidth from others. At most 64 bytes:
//
//	varint  packets sent
//	varint  packets lost, at most those sent
//	varint  loss events, at most the packets lost
//	varint  the sum of the ranks of all loss events, each 0 to 1000
//	varint  congestion window in bytes, at most 2^40
//	varint  least round trip of the last minute
//	varint  smoothed round trip
//	varint  10th percentile of the round trips of the last 4 round trips
//	varint  90th percentile of them, at least the 10th
//
// The first four count from the request on, never fall, and are at most 2^48;
// the sum is at most 1000 times that. Round trips are in microseconds, rounded
// down, at most 2^26; 0: no round trip has been measured. A server looks at its
// counts every 5 to 25 ms. Packets that it finds lost within one and a half
// round trips are one loss event. Its rank says how long round trips were when
// it began: 1000 times the share of the last 256 that were shorter. Losses in a
// full queue rank near 1000, random ones anywhere.
//
// A server sends the first report at once, then at most 10 a second, each only
// if it has sent something else since the last. A client that gets more than 20
// a second on average over 10 s, or a count that falls, may close the
// connection.
//
// The reply has no end of its own. The client cancels it. A server that is
// stopping ends it at once by that refusal. There is at most one on a
// connection: a second request is answered "busy". A request for path does not
// count among the "streams" that a server allows, and does not keep an idle
// connection alive. The first one on a connection is never wasted. A server
// that has nothing to report, such as over TCP, answers "unsupported".
//
// # Offer
//
// At most 1024 bytes.
//
//	varint      kind: 0 = file, 1 = tree; of a tree, size, checksum and values are
//	            those of its listing
//	varint      size in bytes, at most 2^44
//	time        of the last modification
//	checksum
//	bytes<=230  name: UTF-8, empty when the server has none that it can offer;
//	            what a client writes to is for the client to decide
//	checksum    only in the offer of a tree: that of its list of times
//	varint      only there too: size of that list in bytes, at most 2^24
//	varint      length of the values that follow: all of them if stat asked for
//	            them and they fit, else 0 = none follow; at most 65536
//	tail
//
// # Values
//
// The chunk size is a function of the file's size alone: the smallest power of
// two that is at least size/4096 (a fraction, not rounded), at least 2^18 and
// at most 2^24. The number of chunks is size / chunk size, rounded up. The
// value of a chunk is its BLAKE3 chaining value as a subtree of the file, a
// hash. The values of all chunks, merged as BLAKE3 merges, give the checksum. A
// client refuses values that do not. A file of one chunk needs no values: they
// would be its checksum. An empty file has no chunk; its checksum is the BLAKE3
// of no bytes. For both, a request for values is answered "out of range".
//
// # Listing
//
// A tree is a file that lists its entries, at most 2^27 bytes:
//
//	the bytes "malcolm listing 1\n"
//	varint  number of entries, at most 2^20
//	entries, in the order of their paths:
//	    varint       kind: 0 = file, 1 = executable file, 2 = empty directory,
//	                 3 = link
//	    bytes<=4096  path
//	    file:        varint size, at most 2^44; checksum
//	    link:        bytes<=4096 target
//
// A path is one or more parts of 1 to 255 bytes, joined by "/". No part is "."
// or ".." or holds a NUL byte; any other byte is allowed. Paths are in the
// order of their bytes with "/" before every other byte. No path comes twice.
// No path lies beneath the path of another entry: a directory is an entry only
// when it is empty.
//
// A target is one or more parts like those of a path, but "." is allowed
// anywhere, and ".." in front of the first part that is neither. It has no more
// of ".." than there are directories above the link. The way from the link's
// directory to the target leads through no link; the target itself may be one,
// unless "." follows it. It need not exist.
//
// Modification times are a second file, for replicas differ in them:
//
//	the bytes "malcolm times 1\n"
//	varint  number of entries
//	time    of each entry of the listing, in its order
//	varint  number of directories, at most 2^20
//	time    of each of these
//
// The directories are those that are no entries, since they have something in
// them: first the one that is the tree, then each one in front of what lies in
// it, in the order of the listing. The list may end before all of them.
//
// # File of values
//
// NAME.malcolm beside an object says what the object holds:
//
//	the bytes "malcolm values 1\n"
//	bytes<=1024  an offer without values to follow and with an empty tail
//	file:        its values, if it has more than one chunk
//	tree:        varint length, at most 2^27, and the listing; then the values of
//	             each file in it of more than one chunk, in the order of the
//	             listing, those of one checksum once
//
// # Proof
//
// An access token is a text of at least 22 characters, without white space
// around it. If both sides hold one, each proves it to the other by an
// HMAC-SHA256. Its key is HKDF-SHA256 (RFC 5869) of the text, without a salt,
// with the info "malcolm/1 auth"; it has 32 bytes. The name of the key is the
// first 8 bytes of HKDF-SHA256 of the text with the info "malcolm/1 key". A
// server may hold several tokens, and finds the client's by that name. The
// input of the HMAC is the role ("client" or "server", ASCII) and 32 bytes that
// TLS exports for this connection (RFC 8446, section 7.5) with the label
// "EXPORTER-malcolm-auth" and the ALPN as context. Nobody who relays a proof
// can use it on another connection. A server that asks for a token answers
// "denied" to an open without a valid proof, and closes the connection.
//
// # Codes
//
// The code with which a connection is closed:
//
//	0  done        the client has what it wanted
//	1  stopping    the server is shutting down; another may be asked at once
//	2  protocol    the peer broke this specification
//	3  limit       the peer went over a limit, was idle for too long, or had too
//	               many requests that came to nothing
//	4  denied      no valid proof of the access token
//	5  untrusted   the client does not accept the server's identity
//	6  internal    a fault of the closing side
//
// The code with which one side of a stream is reset or its sending is refused:
//
//	1  cancelled   the client no longer needs the reply
//	2  changed     the file changed under the range
//	3  unreadable  the server cannot read its file
//	4  stalled     the request or the reply made no progress for too long
//	5  stopping    the server is shutting down
//	6  protocol    the request breaks this specification
//	7  internal    a fault of the sending side
//
// # Example
//
// A client without a token opens a connection and asks for the only file, with
// its values. On the first stream it sends:
//
//	00 1a                                            open, 26 bytes
//	6f 1d 8a 02 c4 7b e9 50 33 a7 f6 18 4d d2 90 5e  run
//	00 00                                            no key, no proof
//	80 ab cd ef 03 9c 41 07                          tail: an idle type
//	01 07                                            stat, 7 bytes
//	01 00                                            values; no selector
//	80 01 23 45 00                                   tail: an idle type
//
// The server has a file of 300000 bytes, of which byte n is n mod 251, in two
// chunks:
//
//	00 12                                            ok, 18 bytes: opened
//	40 64                                            100 streams
//	90 00 00 00                                      2^28 bytes in flight
//	84 00 00 00                                      2^26 in one request
//	14 00                                            20 wasted; no proof
//	81 02 03 05 01 5a                                tail: an idle type
//	00 3c                                            ok, 60 bytes: offer
//	00 80 04 93 e0                                   a file, its size
//	c0 00 00 00 ca a7 e2 00 00                       modified: s, ns
//	00                                               kind of the checksum
//	6c c9 dc e0 5d 4c ff 8c 5b ef 5c 5a 24 68 1e 42  checksum
//	b1 3f 03 e3 4a 0b c5 e6 6f 65 a9 1d 48 c9 44 fa
//	05 61 2e 62 69 6e                                name
//	40 40                                            64 bytes of values
//	b1 41 59 27 00                                   tail: an idle type
//	00 40 40                                         ok, 64 bytes: values
//	69 fe bc 86 41 03 72 6f 98 eb a5 f7 43 7e d4 da  of the first chunk
//	19 3c 9d 6c b0 2d 46 03 67 29 c1 ea 9d c3 ff ad
//	4e 4f 11 e5 80 84 4c 42 ba f6 e2 04 fc 0d bd d0  of the second chunk
//	71 a6 b7 01 a4 b4 2f b9 a9 30 79 1f c2 80 61 83
//
// On a second stream the client asks for the first three bytes of each chunk:
//
//	03 40 4a                                         ranges, 74 bytes
//	02                                               two spans
//	00                                               kind of the checksum
//	6c c9 dc e0 5d 4c ff 8c 5b ef 5c 5a 24 68 1e 42  checksum
//	b1 3f 03 e3 4a 0b c5 e6 6f 65 a9 1d 48 c9 44 fa
//	00 03                                            offset, length
//	00                                               kind of the checksum
//	6c c9 dc e0 5d 4c ff 8c 5b ef 5c 5a 24 68 1e 42  checksum
//	b1 3f 03 e3 4a 0b c5 e6 6f 65 a9 1d 48 c9 44 fa
//	80 04 00 00 03                                   offset, length
//
// The first frame of the reply holds the first span and a byte of the second:
//
//	00 04                                            ok, 4 bytes
//	00 01 02 64                                      bytes 0-2, 262144
//	00 02                                            ok, 2 bytes
//	65 66                                            bytes 262145-262146
//
// The server might fail to read the first span behind its first byte. The
// second span follows all the same:
//
//	00 01                                            ok, 1 byte
//	00                                               byte 0
//	0b 08                                            failed span, 8 bytes
//	00 0a                                            span 0: unreadable
//	43 e8                                            come back in 1000 ms
//	64 69 73 6b                                      text: "disk"
//	00 03                                            ok, 3 bytes
//	64 65 66                                         bytes 262144-262146
package wire
