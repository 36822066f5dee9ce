package hostile

import (
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transport"
	"malcolm/wire"
)

// An Attacker is a client that makes use of a server. Any goroutine may call
// its methods.
type Attacker struct {
	Server net.Addr                       // whom it attacks
	Open   func() (net.PacketConn, error) // a socket for one connection, which closes it
	// Dial makes a TCP connection. If it is not nil, the attack goes over
	// TCP, and Open and Window are not used.
	Dial   func(context.Context) (net.Conn, error)
	Window int64 // of a stream and of a connection, in bytes; 0: transport's default
	// Unopened says that its connections are not opened: what it sends on a
	// first stream is sent as it is. Else "open" goes ahead of that, and
	// the reply to it is read first.
	Unopened bool
	Token    certs.Token // that it proves; zero: it has none
}

// Connect makes a connection, which the caller closes.
func (a *Attacker) Connect(ctx context.Context) (transport.Conn, error) {
	if a.Dial != nil {
		return transport.DialTCP(ctx, a.Dial, a.Server, a.options())
	}
	pc, err := a.Open()
	if err != nil {
		return nil, err
	}
	return transport.Dial(ctx, pc, a.Server, a.options())
}

func (a *Attacker) options() transport.DialOptions {
	o := transport.DialOptions{TLS: certs.ClientTLS(wire.ALPN, nil), StreamWindow: a.Window, ConnWindow: a.Window}
	if !a.Unopened {
		o.Greeting = &transport.Greeting{
			Say:  func(state tls.ConnectionState) []byte { return wire.AppendRequest(nil, OpenWith(state, a.Token)) },
			Hear: hear,
		}
	}
	return o
}

// OpenWith returns an open of a new run, with the proof of a token unless that
// is zero.
func OpenWith(state tls.ConnectionState, t certs.Token) wire.Open {
	o := wire.Open{Tail: wire.Idle()}
	crand.Read(o.Run[:])
	if exporter, err := certs.TokenExporter(state); err == nil && !t.IsZero() {
		proof := t.Proof(exporter, certs.ClientRole)
		o.Key, o.Proof = t.KeyName(), &proof
	}
	return o
}

// hear reads the reply to an open.
func hear(_ tls.ConnectionState, r io.Reader) error {
	h, err := wire.ReadHeader(r)
	if err != nil {
		return err
	}
	if h.Status != wire.StatusOK {
		return wire.ReadRefusal(r, h)
	}
	_, err = wire.ReadOpened(r, h)
	return err
}

// Connections keeps n connections, on each of which it runs use. When use
// returns or the server refuses, a new one begins. It returns when ctx ends and
// all is closed.
func (a *Attacker) Connections(ctx context.Context, n int, use func(conn transport.Conn)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				conn, err := a.Connect(ctx)
				if err != nil {
					continue // it was refused, a round trip ago
				}
				stop := context.AfterFunc(ctx, func() { conn.Close(0, "") })
				use(conn)
				stop()
				conn.Close(0, "")
			}
		})
	}
}

// Requests keeps transport.DefaultMaxStreams streams on each of n connections,
// which it opens with a stat. On each stream it runs use, with a number that
// differs from its neighbours'. It returns when ctx ends and all is closed.
func (a *Attacker) Requests(ctx context.Context, n int, use func(st transport.Stream, i int)) {
	a.Connections(ctx, n, func(conn transport.Conn) {
		if !a.Unopened {
			st, err := conn.OpenStream(ctx, transport.Patient)
			if err != nil {
				return
			}
			Exchange(st, wire.AppendRequest(nil, wire.StatRequest{}))
		}
		var wg sync.WaitGroup
		for i := range transport.DefaultMaxStreams {
			wg.Go(func() {
				for n := i; ; n += transport.DefaultMaxStreams {
					st, err := conn.OpenStream(ctx, transport.Patient)
					if err != nil {
						return
					}
					use(st, n)
				}
			})
		}
		wg.Wait()
	})
}

// Raw keeps n TCP connections without TLS, on each of which it runs use. When
// use returns, a new one begins. It returns when ctx ends and all is closed.
func (a *Attacker) Raw(ctx context.Context, n int, use func(c net.Conn)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := a.Dial(ctx)
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				use(c)
				stop()
				c.Close()
			}
		})
	}
}

// HalfOpen begins one handshake after the other, and gives each up after wait,
// until ctx ends. The server hears the first two packets of each over UDP, and
// the client's hello over TCP.
func (a *Attacker) HalfOpen(ctx context.Context, wait time.Duration) {
	if a.Dial != nil {
		a.Raw(ctx, 1, func(c net.Conn) {
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			tls.Client(c, certs.ClientTLS(wire.ALPN, nil)).HandshakeContext(ctx)
		})
		return
	}
	for ctx.Err() == nil {
		pc, err := a.Open()
		if err != nil {
			return
		}
		first := &firstFlight{PacketConn: pc}
		first.left.Store(2)
		ctx, cancel := context.WithTimeout(ctx, wait)
		if conn, err := transport.Dial(ctx, first, a.Server, a.options()); err == nil {
			conn.Close(0, "")
		}
		cancel()
	}
}

// A firstFlight lets a few packets out and no more.
type firstFlight struct {
	net.PacketConn
	left atomic.Int32
}

func (c *firstFlight) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.left.Add(-1) < 0 {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, to)
}

// A Forger makes datagrams of DatagramSize bytes that belong to no connection.
// It is for one goroutine.
type Forger struct {
	rng  *rand.Rand
	n    int
	last [connIDSize]byte // connection ID of the last first packet
}

// DatagramSize is the size of a forged datagram, in bytes: the least that a
// server answers (RFC 9000, section 14.1).
const DatagramSize = 1200

const connIDSize = 8

// NewForger returns a Forger whose datagrams follow from the seed.
func NewForger(seed uint64) *Forger { return &Forger{rng: rand.New(rand.NewPCG(seed, 0))} }

// Next returns the next datagram, of four kinds in turn: noise, a client's
// first packet, and two packets that come too early for its connection (RFC
// 9000, section 17.2).
func (f *Forger) Next() []byte {
	const long, version, handshake, early = 0xc0, 1, 0x20, 0x10
	p := make([]byte, DatagramSize)
	for i := 0; i < len(p); i += 8 {
		binary.BigEndian.PutUint64(p[i:], f.rng.Uint64())
	}
	kind := f.n % 4
	f.n++
	if kind == 0 {
		return p
	}
	p[0] = long
	binary.BigEndian.PutUint32(p[1:], version)
	p[5] = connIDSize
	p[6+connIDSize] = 0 // no connection ID of its own
	rest := p[7+connIDSize:]
	switch kind {
	case 1:
		copy(f.last[:], p[6:])
		rest[0] = 0 // no token
		rest = rest[1:]
	case 2:
		p[0] |= handshake
		copy(p[6:], f.last[:])
	case 3:
		p[0] |= early
		copy(p[6:], f.last[:])
	}
	binary.BigEndian.PutUint16(rest, 0x4000|uint16(len(rest)-2))
	return p
}

// Send opens a stream and sends bytes, which need not be a request.
func Send(ctx context.Context, conn transport.Conn, b []byte) (transport.Stream, error) {
	st, err := conn.OpenStream(ctx, transport.Patient)
	if err != nil {
		return nil, err
	}
	st.Write(b)
	return st, nil
}

// Exchange sends a request and reads the reply to its end.
func Exchange(st transport.Stream, ask []byte) {
	st.Write(ask)
	st.CloseWrite()
	io.Copy(io.Discard, st)
}

// A RapidReset gives a request up as soon as it is made, again and again, as in
// CVE-2023-44487.
type RapidReset struct {
	Name string
	Do   func(st transport.Stream, ask []byte)
}

// RapidResets are all the ways to give a request up.
var RapidResets = []RapidReset{
	{"reset", func(st transport.Stream, ask []byte) {
		st.Write(ask[:len(ask)-1])
		st.CancelWrite(uint64(wire.StreamCancelled))
	}},
	{"stop sending", func(st transport.Stream, ask []byte) {
		st.Write(ask)
		st.CloseWrite()
		st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
	}},
	{"both", func(st transport.Stream, ask []byte) {
		st.Write(ask[:1])
		st.CancelWrite(uint64(wire.StreamCancelled))
		st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
	}},
	{"reset without a byte", func(st transport.Stream, _ []byte) {
		st.CancelWrite(uint64(wire.StreamCancelled))
		st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
	}},
}
