// Package sourcetest has sources without a network, for tests. They are made of
// functions, each of which a test may replace.
package sourcetest

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"sync"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// A Source is a [source.Source] made of functions.
type Source struct {
	Place  source.Target
	Mirror bool // its bytes never vote
	Dial   func(ctx context.Context) (source.Conn, error)
}

func (s *Source) Target() source.Target { return s.Place }

func (s *Source) Voter() (source.Voter, bool) {
	return source.Voter{Host: s.Place.Typed()}, !s.Mirror
}

func (s *Source) Connect(ctx context.Context) (source.Conn, error) { return s.Dial(ctx) }

// A Conn is a [source.Conn] made of functions. Once it has ended it calls none
// of them: each request fails with why it ended.
type Conn struct {
	Is        source.Peer
	Can       source.Traits
	OnAgain   func(ctx context.Context, which source.Another) (source.Conn, error)
	OnStat    func(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error)
	OnValues  func(ctx context.Context, o source.Offer, arrived func(bytes int)) (wire.Values, error)
	OnRange   func(ctx context.Context, spans []source.Span) (source.Body, error)
	OnRecheck func(chunk int)                                                 // nil: nobody asks
	OnPath    func(ctx context.Context, report func(source.PathReport)) error // nil: the source has no reports

	once   sync.Once
	closed chan struct{}
	err    error
}

// NewConn returns a connection whose only working part is its end.
func NewConn(is source.Peer) *Conn { return &Conn{Is: is, closed: make(chan struct{})} }

func (c *Conn) Peer() source.Peer { return c.Is }

func (c *Conn) Again(ctx context.Context, which source.Another) (source.Conn, error) {
	return c.OnAgain(ctx, which)
}

func (c *Conn) Stat(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
	if err := c.Err(); err != nil {
		return source.Offer{}, err
	}
	return c.OnStat(ctx, ask, indexing)
}

func (c *Conn) Values(ctx context.Context, o source.Offer, arrived func(bytes int)) (wire.Values, error) {
	if err := c.Err(); err != nil {
		return wire.Values{}, err
	}
	return c.OnValues(ctx, o, arrived)
}

func (c *Conn) Range(ctx context.Context, spans []source.Span) (source.Body, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	return c.OnRange(ctx, spans)
}

func (c *Conn) Recheck(_ context.Context, _ [32]byte, chunk int) {
	if c.OnRecheck != nil {
		c.OnRecheck(chunk)
	}
}

func (c *Conn) Path(ctx context.Context, report func(source.PathReport)) error {
	if c.OnPath == nil {
		return &source.Fault{What: source.Unsupported, Words: "has no path reports"}
	}
	return c.OnPath(ctx, report)
}

func (c *Conn) Traits() source.Traits { return c.Can }

func (c *Conn) Stats() source.Stats { return source.Stats{} }

func (c *Conn) Done() <-chan struct{} { return c.closed }

func (c *Conn) Err() error {
	select {
	case <-c.closed:
		return c.err
	default:
		return nil
	}
}

func (c *Conn) Close() {
	c.End(&source.Fault{What: source.Lost, Words: "the connection was closed here"})
}

// End ends the connection; why is its error.
func (c *Conn) End(why error) {
	c.once.Do(func() {
		c.err = why
		close(c.closed)
	})
}

// Holder returns a source at a place, which holds data and answers at once. If
// change is not nil, it gets each connection before it is used.
func Holder(place source.Target, data []byte, change func(*Conn)) *Source {
	return Holding(place, wire.Offer{Name: "data.bin"}, [][]byte{data}, change)
}

// HolderOfTree returns a source at a place, which offers a directory with a
// listing and holds files of it. Otherwise it is like [Holder].
func HolderOfTree(place source.Target, listing []byte, files [][]byte, change func(*Conn)) *Source {
	offer := wire.Offer{Kind: wire.KindTree, Name: "tree"}
	return Holding(place, offer, append([][]byte{listing}, files...), change)
}

// A held is bytes that a source holds.
type held struct {
	data   []byte
	values wire.Values
}

// Holding returns a source at a place, which offers the first of some bytes and
// holds all of them. A source with one file sends that one, whatever name it is
// asked for. Otherwise it is like [Holder].
func Holding(place source.Target, offer wire.Offer, all [][]byte, change func(*Conn)) *Source {
	holds := make(map[[32]byte]held)
	for i, data := range all {
		values, sum, err := manifest.Build(context.Background(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
		if err != nil {
			panic(err) // memory can be read
		}
		if holds[sum] = (held{data, values}); i == 0 {
			offer.Size, offer.Checksum = int64(len(data)), sum
		}
	}
	var id certs.ServerID
	copy(id[:], place.String())
	peer := source.Peer{
		ID:   id,
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(place.Port >> 8), byte(place.Port)}), place.Port),
	}
	s := &Source{Place: place}
	s.Dial = func(context.Context) (source.Conn, error) {
		c := NewConn(peer)
		c.OnAgain = func(ctx context.Context, _ source.Another) (source.Conn, error) { return s.Dial(ctx) }
		c.OnStat = func(_ context.Context, ask source.Ask, _ func(done, total int64)) (o source.Offer, _ error) {
			o.Offer = offer
			if ask.Values {
				o.Values = holds[offer.Checksum].values
			}
			return o, nil
		}
		c.OnValues = func(_ context.Context, o source.Offer, arrived func(bytes int)) (wire.Values, error) {
			h, ok := holds[o.Checksum]
			if !ok {
				return wire.Values{}, errNotHeld
			}
			arrived(len(h.values.Bytes()))
			return h.values, nil
		}
		c.OnRange = func(_ context.Context, spans []source.Span) (source.Body, error) {
			b := &spanBody{}
			for _, s := range spans {
				var part []byte
				if h, ok := holds[s.Checksum]; ok {
					part = h.data[s.Offset : s.Offset+s.Length]
				} else if len(all) == 1 {
					part = all[0][s.Offset : s.Offset+s.Length]
				}
				b.parts = append(b.parts, part)
			}
			return b, nil
		}
		if change != nil {
			change(c)
		}
		return c, nil
	}
	return s
}

// Mirror returns a mirror at a place, which holds files and never says what
// they are. It answers at once. A range of a checksum that it does not know is
// of the first file; of a tree it fails. Otherwise it is like [Holder].
func Mirror(place source.Target, files [][]byte, change func(*Conn)) *Source {
	s := Holding(place, wire.Offer{}, files, nil)
	s.Mirror = true
	dial := s.Dial
	s.Dial = func(ctx context.Context) (source.Conn, error) {
		plain, err := dial(ctx)
		c := plain.(*Conn)
		c.Is.ID = certs.ServerID{}
		c.Can = source.Traits{MoreConns: true, Ranges: 1}
		c.OnAgain = func(ctx context.Context, _ source.Another) (source.Conn, error) { return s.Dial(ctx) }
		c.OnStat = func(_ context.Context, ask source.Ask, _ func(done, total int64)) (o source.Offer, _ error) {
			o.Offer = wire.Offer{Name: "data.bin", Size: int64(len(files[0]))}
			if ask.Want != nil {
				o.Offer = ask.Want.Offer
			}
			return o, nil
		}
		c.OnValues = func(context.Context, source.Offer, func(bytes int)) (wire.Values, error) {
			return wire.Values{}, &source.Fault{What: source.BytesOnly, Words: "has no values"}
		}
		if change != nil {
			change(c)
		}
		return c, err
	}
	return s
}

// errNotHeld is the error of a source for bytes that it does not hold.
var errNotHeld = &source.Fault{What: source.Changed, Words: "its file changed"}

// A spanBody is the bytes of spans; nil: the span fails.
type spanBody struct {
	parts [][]byte
	at    int
}

func (b *spanBody) Wait() error { return nil }

func (b *spanBody) Read(p []byte) (int, error) {
	for ; b.at < len(b.parts); b.at++ {
		switch part := b.parts[b.at]; {
		case part == nil:
			b.at++
			return 0, &source.FailedSpan{Index: b.at - 1, Fault: errNotHeld}
		case len(part) > 0:
			n := copy(p, part)
			b.parts[b.at] = part[n:]
			return n, nil
		}
	}
	return 0, io.EOF
}

func (b *spanBody) Close() {}

// NewBody returns a body of what r has.
func NewBody(r io.Reader) source.Body { return &body{r} }

type body struct{ io.Reader }

func (b *body) Wait() error { return nil }

func (b *body) Close() {}
