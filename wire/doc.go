// Package wire is the specification of malcolm/1, the protocol by which a
// malcolm client copies one file from several servers. It is also the codec:
// messages to bytes and back, and the limits of every length. It does no I/O
// beyond the [io.Reader] it is handed, does not know connections, and holds no
// state.
//
// # Goals
//
//   - Ask many servers what they hold before trusting any of them.
//   - A first byte of data two round trips after the handshake: hello, range.
//   - Every length is checked against a limit before anything is allocated.
//   - One message has exactly one encoding.
//
// Not goals: directories, writing to a server, compression, proxying, finding
// servers. QUIC (RFC 9000) brings encryption, streams, flow control and
// recovery; none of it is repeated here.
//
// # Connection
//
// QUIC version 1 and TLS 1.3, ALPN "malcolm/1". No 0-RTT, no session tickets,
// no datagrams, no unidirectional streams. The server's certificate carries the
// Ed25519 key that is its identity; names, chains and dates in it mean nothing.
// The client opens every stream, bidirectional; a server never opens one. A
// stream carries one request and its reply, and ends. Streams are independent
// of each other and may be answered in any order.
//
// # Notation
//
//	varint      a QUIC variable-length integer (RFC 9000, section 16) in its
//	            shortest form; a longer form is malformed
//	hash        32 bytes
//	bytes<=N    varint length, at most N, and that many bytes
//	proof       bytes<=32 of length 0 (none) or 32, see "Proof"
//
// Bytes left over behind the last field of a body are malformed. A message has
// no room for extensions: a new field is a new request type or a new ALPN. A
// peer that skips what it does not understand would answer a question that was
// not asked.
//
// # Request
//
// The client sends one request and finishes its side of the stream at once. The
// end of the stream is part of the request, and more bytes are malformed. A
// request that ends before it is whole, or takes too long, is answered by a
// reset of both sides of the stream.
//
//	varint  type
//	varint  length of the body, at most 4096
//	body
//
//	type  name      body
//	1     hello     varint flags: bit 0 = send the values with the offer if they
//	                are at most 65536 bytes long; every other bit is 0
//	                bytes<=1024 selector: which file, compared byte by byte;
//	                empty = the only one
//	                proof: the client's
//	2     manifest  hash checksum of the version whose values are meant
//	3     range     hash checksum of the version that is meant
//	                varint offset, in bytes
//	                varint length, in bytes, at least 1;
//	                offset + length is at most 2^44
//	4     recheck   hash checksum of the version that is meant
//	                varint chunk, below 2^20: the server is asked to read it from
//	                its disk once more, since the client got other bytes of it
//	                than its value says
//
// A server answers an unknown type with the status "unsupported", whatever its
// body says, if the length is within the limit.
//
// # Reply
//
// A reply is a sequence of frames; the last one is followed by the end of the
// stream. Every status but "ok" and "indexing" ends the reply.
//
//	varint  status
//	varint  length of the body
//	body
//
//	status  name         body
//	0       ok           what was asked for, see below
//	1       indexing     varint bytes hashed so far, varint bytes in all,
//	                     each at most 2^44, the first at most the second; only
//	                     in reply to hello; more frames follow, at most 4 a
//	                     second on average and 16 besides, until an offer
//	                     or a status that ends the reply; both numbers may fall
//	                     when the file changes while it is hashed
//	2       changed      text: the version that is named is no longer held
//	3       not found    text: no file of that selector
//	4       out of range text: the range does not lie within the file
//	5       unsupported  text: unknown request type
//	6       malformed    text: the request breaks this specification
//	7       denied       text: the proof is missing or wrong
//	8       busy         text: a limit of the server is reached, come back later
//	9       stopping     text: the server is shutting down
//	10      unreadable   text: the server cannot read its file
//
// A text is bytes<=256 without its length (the body's length is enough). It is
// for people only, means nothing to a program, and is hostile until quoted. It
// need not be UTF-8. A status that is not in the table has a text too.
//
// Bodies of "ok":
//
//	hello     an offer; when it announces values, a second frame "ok" with
//	          them follows
//	manifest  the values
//	range     exactly the bytes asked for
//	recheck   nothing: the chunk has its value. A server whose chunk has not
//	          answers "changed", or "unreadable"; one that has looked too
//	          often lately answers "busy"
//
// A server may bound whatever a client makes it do. It answers "busy" to a
// hello that has waited for the index for too long, or while another hello of
// the same connection waits. It closes the connection with the code "limit" in
// these cases:
//
//   - No request was accepted soon, or none comes for too long.
//   - Too many requests were wasted.
//   - The client takes too little of what the server sends.
//   - The connection is idle and others need its place.
//
// A client may come back later.
//
// If the file changes, or the server stops, while the bytes of a range are
// under way, the server resets the stream with a code from the table below.
//
// # Offer
//
// At most 1024 bytes.
//
//	varint      size of the file in bytes, at most 2^44
//	varint      modification time, seconds since 1970-01-01 UTC, rounded down,
//	            -2^61 to 2^61 - 1, zigzag: 2n for n >= 0, -2n-1 for n < 0
//	varint      modification time, nanoseconds, 0 to 999999999, counted forward
//	            from those seconds
//	hash        checksum: BLAKE3-256 of the whole file
//	bytes<=230  name: UTF-8, empty when the server has none that it can offer;
//	            what a client writes to is for the client to decide
//	proof       the server's
//	varint      length in bytes of the values that follow in a frame of their
//	            own: that of all of the file's values if hello asked for them,
//	            they fit and there are two or more; else 0 = none follow; at
//	            most 65536
//
// # Values
//
// 32n bytes for the n chunks of a file, at most 2^20.
//
//	n * hash   the value of each chunk: its BLAKE3 chaining value as a subtree
//	           of the file
//
// The chunk size is a function of the file's size alone: the smallest power of
// two that is at least size/4096 (a fraction, not rounded), at least 2^18 and
// at most 2^24. n is size / chunk size, rounded up. A client refuses values of
// any other length, and values that do not merge to the checksum. The merge
// proves the values, not the size: the last chunk does.
//
// The values of a file of one chunk are its checksum. An empty file has no
// chunk; its checksum is the BLAKE3 of no bytes. A client knows both without
// asking, and they never follow an offer.
//
// # Proof
//
// An access token is a text of at least 22 characters, without white space
// around it. If both sides hold one, each proves it to the other by an
// HMAC-SHA256. Its key is HKDF-SHA256 (RFC 5869) of the text, without a salt,
// with the info "malcolm/1 auth"; it has 32 bytes. Its input is the role
// ("client" or "server", ASCII) and 32 bytes that TLS exports for this
// connection (RFC 8446, section 7.5) with the label "EXPORTER-malcolm-auth" and
// an empty context. Nobody who relays a proof can use it on another connection.
// A server that asks for a token answers "denied" to a hello without a valid
// proof, and to everything before a hello with one.
//
// # Codes
//
// The application error code with which a connection is closed:
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
package wire
