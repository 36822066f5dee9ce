// Package source is the port through which a file comes: a [Source] is one
// place of the command line, a [Conn] one live way to it, a [Body] the bytes of
// spans. Package malcolm below it is a malcolm server over QUIC or TCP, package
// https a mirror.
//
// Code that copies files knows this package and no transport. Each method's
// error is a [*Fault], which says whose fault it is and what follows. After the
// context has ended it may be any error.
package source

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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

	// URL is the address of a mirror as the user typed it. It may hold
	// secrets: String leaves those out. Empty: this is a malcolm server.
	URL string

	// Service is the SRV name that the user typed, in lower case, if DNS
	// has named Host and Port for it. Without a Host the target is that
	// name itself. Of its servers those of the lowest Priority are
	// preferred.
	Service  string
	Priority uint16
}

// IsService reports whether the target is an SRV name, of which it is not said
// where it leads.
func (t Target) IsService() bool { return t.Service != "" && t.Host == "" }

// Absolute returns the host as a name server is asked for it. A name out of an
// SRV record is whole: nothing is put behind it.
func (t Target) Absolute() string {
	if _, err := netip.ParseAddr(t.Host); t.Service == "" || err == nil {
		return t.Host
	}
	return strings.TrimSuffix(t.Host, ".") + "."
}

// Over returns the only transport of a server whose SRV name says TCP; 0: any.
// Under the name of UDP both are used, as at any address: malcolm serve listens
// for both at one port number.
func (t Target) Over() Transport {
	if _, rest, _ := strings.Cut(t.Service, "."); strings.HasPrefix(rest, "_tcp.") {
		return TCP
	}
	return 0
}

// Domain returns the domain of an SRV name, without the labels of the service
// and of its transport, and without the last dot.
func Domain(service string) string {
	for strings.HasPrefix(service, "_") {
		_, rest, more := strings.Cut(service, ".")
		if !more {
			break
		}
		service = rest
	}
	return strings.TrimSuffix(service, ".")
}

// IsMirror reports whether the target is a mirror.
func (t Target) IsMirror() bool { return t.URL != "" }

// Typed returns what the user called the host. All servers of an SRV name are
// that of its domain.
func (t Target) Typed() string {
	if t.Service != "" {
		return Domain(t.Service)
	}
	if t.Name != "" {
		return t.Name
	}
	return t.Host
}

// String returns the target as host:port, IPv6 addresses in brackets. That of a
// mirror is its address, without what may be secret: user, password, query and
// fragment. That of an SRV name is srv:NAME.
func (t Target) String() string {
	if t.IsService() {
		return "srv:" + t.Service
	}
	if u, err := url.Parse(t.URL); t.IsMirror() && err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host + u.EscapedPath()
	}
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
	// number of bytes that came. A source without values is a Fault of the
	// kind [BytesOnly].
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
	// Want is the offer that a mirror is to serve, since a mirror cannot
	// say what it has. Only mirrors look at it. nil: not known.
	Want *Wanted
	// Bare asks a mirror for its size alone, whatever others say of its
	// file.
	Bare bool
}

// A Wanted is an offer for which a source only supplies bytes. It must not be
// changed once it was given away.
type Wanted struct {
	Offer wire.Offer
	// Path says where a file of a tree lies below the source's address: its
	// path, as in the listing, and its size in bytes. false: the tree has
	// no such file. Any goroutine may call it. nil: the offer is a file.
	Path func(checksum [32]byte) (path string, size int64, ok bool)
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
	// Ranges is how many ranges at a time one connection takes. Others
	// wait. 0: any number.
	Ranges int
	// Untied says that only the size ties the ranges of a file together:
	// whether they are of one version shows when all of it is proved.
	Untied bool
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
