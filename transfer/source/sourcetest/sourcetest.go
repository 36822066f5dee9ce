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
	values, sum, err := manifest.Build(context.Background(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
	if err != nil {
		panic(err) // memory can be read
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
			o.Name, o.Size, o.Checksum = "data.bin", int64(len(data)), sum
			if ask.Values {
				o.Values = values
			}
			return o, nil
		}
		c.OnValues = func(_ context.Context, _ source.Offer, arrived func(bytes int)) (wire.Values, error) {
			arrived(len(values.Bytes()))
			return values, nil
		}
		c.OnRange = func(_ context.Context, spans []source.Span) (source.Body, error) {
			var all []io.Reader
			for _, s := range spans {
				all = append(all, bytes.NewReader(data[s.Offset:s.Offset+s.Length]))
			}
			return NewBody(io.MultiReader(all...)), nil
		}
		if change != nil {
			change(c)
		}
		return c, nil
	}
	return s
}

// NewBody returns a body of what r has.
func NewBody(r io.Reader) source.Body { return &body{r} }

type body struct{ io.Reader }

func (b *body) Wait() error { return nil }

func (b *body) Close() {}
