// Package source is the port through which a file comes: a [Source] is one
// place of the command line, a [Conn] one live way to it, a [Body] the bytes of
// spans. Package malcolm below it is a malcolm server over QUIC or TCP.
//
// Whoever copies files knows this package and no transport. Each method's error
// is a [*Fault], which says whose fault it is and what follows. Once the
// context has ended it may be any error.
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

	// Name is what the user called the host when Host is one of its several
	// addresses; empty: the user wrote Host.
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

// A Source is one place of the command line. Any goroutine may call its
// methods.
type Source interface {
	// Target returns the place. It names the source in events and reports.
	Target() Target
	// Voter says who the source votes as; false: its bytes never vote.
	Voter() (Voter, bool)
	// Connect makes a way to the source, which has proved who it is.
	Connect(ctx context.Context) (Conn, error)
}

// A Voter is who a source votes as.
type Voter struct {
	Host string // as the user typed it
	// IDs are those that the user or a ticket names. The source proves one
	// of them. None: it may have any.
	IDs []certs.ServerID
}

// A Conn is one live way to a source. Any goroutine may call its methods.
type Conn interface {
	// Peer says who and where the source is.
	Peer() Peer
	// Again makes one more way to the same place. Another identity there is
	// an error.
	Again(ctx context.Context, which Another) (Conn, error)
	// Stat asks what the source offers. It calls indexing while the source
	// says that it is hashing its file. If indexing is nil, that is a Fault
	// of kind [Indexing].
	Stat(ctx context.Context, ask Ask, indexing func(done, total int64)) (Offer, error)
	// Values returns the values of an offer, checked against the offer's
	// checksum. It calls arrived, in the caller's goroutine, with the
	// number of bytes that came.
	Values(ctx context.Context, o Offer, arrived func(bytes int)) (wire.Values, error)
	// Range asks for spans. It waits while the source allows no more, and
	// returns when it has asked. The bytes come until ctx ends.
	Range(ctx context.Context, spans []Span) (Body, error)
	// Recheck tells the source of a wrong chunk, so that it checks its own
	// disk, and waits until it has. Its answer changes nothing.
	Recheck(ctx context.Context, checksum [32]byte, chunk int)
	// Path asks the source what its sending side sees of the way to here,
	// and calls report, in the caller's goroutine, with each answer: at
	// most 10 a second, while bytes come. It returns nil once ctx has
	// ended. A source that gives no reports is a Fault of the kind
	// [Unsupported].
	Path(ctx context.Context, report func(PathReport)) error
	// Traits says what this kind of source can do.
	Traits() Traits
	// Stats says what is known of the way to the source.
	Stats() Stats
	// Done is closed when the connection has ended; Err then says why.
	Done() <-chan struct{}
	Err() error
	Close()
}

// Another says which way to a source is wanted beside one: see [Conn].Again.
type Another uint8

// The ways that may be wanted.
const (
	More    Another = iota // one over the same transport
	Instead                // one over any, as this one is useless
	Across                 // one over the other transport, see [Traits].Across
)

// A Peer is the other end of a [Conn].
type Peer struct {
	ID   certs.ServerID // that it has proved; zero: such a source has none
	Addr netip.AddrPort // where it is; IPv4 is never mapped to IPv6. Zero: only a proxy knows
	// Local is the address of this machine from which it is reached; zero:
	// only a proxy knows.
	Local netip.Addr
	// Transport is what carries the connection; 0: not said.
	Transport Transport
	// Other is what was proved over another transport to the same place,
	// which is therefore not used; zero: nothing was.
	Other certs.ServerID
}

// A Transport is what carries a connection, "quic" or "tcp".
type Transport = transport.Protocol

// The transports.
const (
	QUIC = transport.QUIC
	TCP  = transport.TCP
)

// An Ask is what is asked of a source.
type Ask struct {
	Values bool // ask for the values too if they are short, which saves a round trip
}

// An Offer is what a source offers.
type Offer struct {
	wire.Offer
	// Values are those that came with it, checked; zero: none came.
	Values wire.Values
	// Accepted says what accepting the source meant. It is set in the first
	// offer of a connection.
	Accepted Accepted
}

// SameFile reports whether two offers are of the same bytes, or of trees with
// the same listing.
func (o Offer) SameFile(other Offer) bool {
	return o.Kind == other.Kind && o.Checksum == other.Checksum && o.Size == other.Size
}

// Accepted says what accepting a source's identity meant. Zero: nothing to
// tell.
type Accepted struct {
	First    bool // nothing was known of it
	Recorded bool // its ID is remembered from now on
	// Contradicts is a record of another ID; nil without such a record.
	Contradicts *certs.KnownServer
	// NotRecorded is why its ID is not remembered; nil: it is, or need not
	// be.
	NotRecorded error
}

// A Span is a part of a file, in bytes.
type Span struct {
	Checksum       [32]byte // of the file
	Offset, Length int64    // Length is at least 1
}

// A Body is exactly the bytes of all spans, in their order, then io.EOF. One
// goroutine reads it; any may close it, and one has to.
type Body interface {
	// Wait returns nil when Read has something to return at once: until
	// then a reader holds no buffer.
	Wait() error
	// Read returns bytes. Where a span fails, it returns a [*FailedSpan] in
	// place of the rest of it, once, and goes on with the next span.
	// Another error ends the body.
	Read(p []byte) (int, error)
	Close()
}

// A PathReport is what the sending side of a source sees of the way to here.
type PathReport = wire.PathReport

// Traits say what a kind of source can do.
type Traits struct {
	// MoreConns says that more connections to the source can make it
	// faster.
	MoreConns bool
	// Across is the other transport, which may be faster; 0: there is no
	// other, or the user forbids it, or only a proxy leads there.
	Across Transport
	// BBR: the source says that it sends over TCP with BBR, which needs
	// fewer connections on lossy paths.
	BBR bool
	// SmallBuffers are this machine's socket buffers that are smaller than
	// fast networks need.
	SmallBuffers []SmallBuffer
}

// A SmallBuffer is a socket buffer that the system keeps small.
type SmallBuffer = transport.SmallBuffer

// Stats say what is known of the way to a source; zero: not known.
type Stats struct {
	MinRTT, SmoothedRTT time.Duration
	Received            uint64 // packets; they are never 0 where they are known
	// Unanswered is for how long UDP to the source has had no answer,
	// although TCP has.
	Unanswered time.Duration
	// Refused says that UDP to the source is sent back, while TCP is not.
	Refused bool
}
