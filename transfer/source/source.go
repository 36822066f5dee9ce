// Package source is the port through which a file comes: a [Source] is one place
// of the command line, a [Conn] one live way to it, a [Body] the bytes of a span.
// Package malcolm below it is a malcolm server over QUIC.
//
// Whoever copies files knows this package and no transport. Each error of a
// method is a [*Fault], which says whose it is and what follows from it; after
// the end of a context it may be any error.
package source

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"malcolm/certs"
	"malcolm/transport"
	"malcolm/wire"
)

// A Target is one place of the command line.
type Target struct {
	Host string // a name or an IP address, without brackets
	Port uint16

	// Name is what the user called a host of which Host is one address of several;
	// empty when Host is what the user called it.
	Name string
}

// Typed returns what the user called the host.
func (t Target) Typed() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Host
}

// String returns the target as host:port, IPv6 addresses in brackets.
func (t Target) String() string {
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

// A Source is one place of the command line. Any goroutine may call its methods.
type Source interface {
	// Target returns the place, which is the source's name in events and reports.
	Target() Target
	// Voter returns as whom the source votes; false: its bytes never vote.
	Voter() (Voter, bool)
	// Connect makes a way to the source, which has proved who it is.
	Connect(ctx context.Context) (Conn, error)
}

// A Voter is whom a source votes as.
type Voter struct {
	Host string // that the user typed
	// IDs are those that the user or a ticket names: the source proves one of them.
	// None: it may have any.
	IDs []certs.ServerID
}

// A Conn is one live way to a source. Any goroutine may call its methods.
type Conn interface {
	// Peer says who and where the source is.
	Peer() Peer
	// Again makes one more way to the same place. Another identity there is an
	// error.
	Again(ctx context.Context) (Conn, error)
	// Stat asks what the source offers. While the source says that it is still
	// indexing its file, indexing is called; nil: then the error is a Fault of
	// [Indexing].
	Stat(ctx context.Context, ask Ask, indexing func(done, total int64)) (Offer, error)
	// Values returns the manifest of an offer, checked against its checksum.
	// arrived is called with the number of bytes that came, from the calling
	// goroutine.
	Values(ctx context.Context, o Offer, arrived func(bytes int)) (wire.Manifest, error)
	// Range asks for a span of a file.
	Range(ctx context.Context, s Span) (Body, error)
	// Recheck tells the source of a wrong chunk, so that it looks at its own disk,
	// and waits until it has. What it answers changes nothing.
	Recheck(ctx context.Context, checksum [32]byte, chunk int)
	// Traits says what this kind of source can do.
	Traits() Traits
	// Stats says what is known of the way to the source.
	Stats() Stats
	// Done is closed when the connection has ended; Err then says why.
	Done() <-chan struct{}
	Err() error
	Close()
}

// A Peer is the other end of a [Conn].
type Peer struct {
	ID   certs.ServerID // that it has proved; zero for a source that has none
	Addr netip.AddrPort // where it is; IPv4 not as IPv6
}

// An Ask is what is asked of a source.
type Ask struct {
	Values bool // the manifest as well, if it is small: that saves a round trip
}

// An Offer is what a source offers.
type Offer struct {
	wire.Offer
	// Values is the manifest that came with it, checked; the zero Manifest: none.
	Values wire.Manifest
	// Accepted is what accepting the source meant, with the first offer of a
	// connection.
	Accepted Accepted
}

// SameFile reports whether two offers are of the same bytes.
func (o Offer) SameFile(other Offer) bool {
	return o.Checksum == other.Checksum && o.Size == other.Size
}

// Accepted says what accepting a source's identity meant. The zero Accepted:
// nothing that has to be told.
type Accepted struct {
	First    bool // nothing was known of it
	Recorded bool // its ID is remembered from now on
	// Contradicts is a record of another ID; nil: there is none.
	Contradicts *certs.KnownServer
	// NotRecorded is why its ID is not remembered; nil when it is, or need not be.
	NotRecorded error
}

// A Span is a part of a file, in bytes.
type Span struct {
	Checksum       [32]byte // of the file
	Offset, Length int64
}

// A Body is exactly the bytes of a span, then io.EOF. One goroutine reads it; any
// may close it.
type Body interface {
	// Wait returns when bytes are there: a reader holds no buffer before.
	Wait() error
	Read(p []byte) (int, error)
	Close()
}

// Traits say what a kind of source can do.
type Traits struct {
	// MoreConns says that more connections to the source can make it quicker.
	MoreConns bool
	// SmallBuffers are the buffers of this machine's sockets that are smaller than
	// quick networks need.
	SmallBuffers []SmallBuffer
}

// A SmallBuffer is a buffer of a socket that the system keeps small.
type SmallBuffer = transport.SmallBuffer

// Stats say what is known of the way to a source; zero: not known.
type Stats struct {
	MinRTT, SmoothedRTT time.Duration
	Received            uint64 // packets
}
