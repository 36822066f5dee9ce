package hostile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// A Server is a malicious server. Without hooks it is an honest one, which
// serves Data. A hook that is not nil replies in its place, on the goroutine of
// its stream. The reply ends when the hook returns. Fields and hooks are set
// before Start, which every other method needs; those are safe for all.
type Server struct {
	Target source.Target
	Data   []byte
	Offer  wire.Offer
	Values wire.Values // follow the offer if Offer.ValuesLen is positive
	Limits wire.Limits // that it announces; without Flight: generous ones
	// Streams are those that QUIC lets a client have open, whatever is
	// announced; 0: transport's default.
	Streams int64

	Hooks
	Asked
	running
}

// Hooks are what a server does in another way than an honest one.
type Hooks struct {
	OnTLS     func(c *tls.Config) // once, before it listens
	OnPackets func(c net.PacketConn) net.PacketConn
	OnConn    func(c transport.Conn)                      // once its handshake is complete
	OnStream  func(st transport.Stream) bool              // before the request is read; true: leave the stream as it is
	OnOpen    func(st transport.Stream, o wire.Open) bool // true: the connection is open, a reply to the first request follows
	OnStat    func(st transport.Stream, n int)            // n is 0 for the first one
	OnValues  func(st transport.Stream, v wire.ValuesRequest)
	OnRanges  func(st transport.Stream, spans []wire.Span)
}

// Asked counts the requests so far; Inlines are the stats that ask for the
// values, Lists the requests for them.
type Asked struct{ Opens, Stats, Inlines, Lists, Ranges atomic.Int64 }

// A running is what Stop ends.
type running struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

// Hold makes the server hold data, and offer it as "data.bin" with its values
// inline if there are several.
func (s *Server) Hold(data []byte) error {
	values, sum, err := manifest.Build(context.Background(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{Workers: 1})
	if err != nil {
		return err
	}
	s.Data, s.Values = data, values
	s.Offer = wire.Offer{
		Size: int64(len(data)), ModTime: time.Unix(1e9, 0), Checksum: sum, Name: "data.bin",
	}
	if values.Len() > 1 {
		s.Offer.ValuesLen = len(values.Bytes())
	}
	return nil
}

// Start serves on a socket under an identity, until Stop. Both close the
// socket.
func (s *Server) Start(pc net.PacketConn, id *certs.Identity) error {
	if s.OnPackets != nil {
		pc = s.OnPackets(pc)
	}
	return s.start(id, func(o transport.ListenOptions) (transport.Listener, error) { return transport.Listen(pc, o) })
}

// StartTCP serves on a TCP socket, as Start does. Streams and OnPackets have no
// meaning then.
func (s *Server) StartTCP(ln net.Listener, id *certs.Identity) error {
	return s.start(id, func(o transport.ListenOptions) (transport.Listener, error) { return transport.ListenTCP(ln, o) })
}

func (s *Server) start(id *certs.Identity, listen func(transport.ListenOptions) (transport.Listener, error)) error {
	conf, err := id.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		return err
	}
	if s.OnTLS != nil {
		s.OnTLS(conf)
	}
	if s.Limits.Flight == 0 {
		streams := cmp.Or(s.Limits.Streams, transport.DefaultMaxStreams)
		s.Limits = wire.Limits{Streams: streams, Flight: 1 << 40, Longest: 1 << 40, Wasted: 1 << 20}
	}
	l, err := listen(transport.ListenOptions{TLS: conf, MaxStreams: s.Streams})
	if err != nil {
		return err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.done = make(chan struct{})
	go s.run(l)
	return nil
}

// Stop stops the server, and returns when its hooks have returned. No hook may
// call it.
func (s *Server) Stop() {
	s.cancel()
	<-s.done
}

// Stopping is closed as soon as Stop is called.
func (s *Server) Stopping() <-chan struct{} { return s.ctx.Done() }

// Wait blocks until Stop is called.
func (s *Server) Wait() { <-s.ctx.Done() }

func (s *Server) run(l transport.Listener) {
	defer close(s.done)
	var wg sync.WaitGroup
	defer l.Close()
	defer wg.Wait()
	for {
		conn, err := l.Accept(s.ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.Close(uint64(wire.CloseDone), "")
			s.serve(conn)
		})
	}
}

// serve answers the streams of a connection until it ends. Nothing is answered
// before it is open.
func (s *Server) serve(conn transport.Conn) {
	if s.OnConn != nil {
		s.OnConn(conn)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	opened := make(chan struct{})
	for {
		st, err := conn.AcceptStream(s.ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			defer st.Release()
			if s.OnStream != nil && s.OnStream(st) {
				return
			}
			if !st.First() {
				select {
				case <-opened:
				case <-conn.Done():
					return
				}
			} else if s.open(st) {
				close(opened)
			} else {
				return
			}
			s.answer(st)
		})
	}
}

// open reads the head of a connection's first stream and answers it. Without
// success the reply has ended.
func (s *Server) open(st transport.Stream) bool {
	o, err := wire.ReadOpen(st)
	if err != nil {
		st.CancelWrite(uint64(wire.StreamProtocol))
		return false
	}
	s.Opens.Add(1)
	if s.OnOpen != nil && !s.OnOpen(st, o) {
		st.CloseWrite()
		return false
	}
	if s.OnOpen == nil {
		s.SendOpened(st)
	}
	return true
}

func (s *Server) answer(st transport.Stream) {
	req, err := wire.ReadRequest(st)
	if err != nil {
		return
	}
	switch req := req.(type) {
	case wire.StatRequest:
		n := int(s.Stats.Add(1)) - 1
		if req.Values {
			s.Inlines.Add(1)
		}
		if s.OnStat != nil {
			s.OnStat(statStream{st, req.Values}, n)
		} else {
			s.SendOffer(statStream{st, req.Values}, s.Offer)
		}
	case wire.ValuesRequest:
		s.Lists.Add(1)
		if s.OnValues != nil {
			s.OnValues(st, req)
		} else {
			s.SendValues(st)
		}
	case wire.RangesRequest:
		s.Ranges.Add(1)
		if s.OnRanges != nil {
			s.OnRanges(st, req.Spans)
		} else {
			s.SendRanges(st, req.Spans)
		}
	case wire.PathRequest:
		Refuse(st, wire.StatusUnsupported, 0, "") // as over TCP
	}
	st.CloseWrite()
}

// SendOpened accepts an open, without a proof.
func (s *Server) SendOpened(st transport.Stream) {
	Reply(st, wire.StatusOK, wire.Opened{Limits: s.Limits, Tail: wire.Idle()}.Append(nil))
}

// A statStream is that of a stat. It knows whether the values are asked for.
type statStream struct {
	transport.Stream
	values bool
}

// SendOffer sends an offer, and the values if the offer announces them. As the
// reply to a stat that does not ask for them, the offer announces none.
func (s *Server) SendOffer(st transport.Stream, o wire.Offer) {
	if stat, ok := st.(statStream); ok && !stat.values {
		o.ValuesLen = 0
	}
	Reply(st, wire.StatusOK, o.Append(nil))
	if o.ValuesLen > 0 {
		s.SendValues(st)
	}
}

// SendValues sends all values.
func (s *Server) SendValues(st transport.Stream) {
	st.Write(s.Values.AppendFrames(nil, 0, s.Values.Len()))
}

// SendRanges sends the bytes of Data that spans ask for.
func (s *Server) SendRanges(st transport.Stream, spans []wire.Span) {
	SendBytes(st, s.Bytes(spans))
}

// Bytes returns the bytes of Data that spans ask for. They are shared with Data
// if there is one span.
func (s *Server) Bytes(spans []wire.Span) (b []byte) {
	for _, r := range spans {
		part := s.Data[r.Offset : r.Offset+r.Length : r.Offset+r.Length]
		if len(spans) == 1 {
			return part
		}
		b = append(b, part...)
	}
	return b
}

// Stall sends bytes and then nothing, until Stop.
func (s *Server) Stall(st transport.Stream, b []byte) {
	st.Write(b)
	s.Wait()
}

// Header is the header of a frame whose body of n bytes need not follow. n may
// be beyond every limit, up to the greatest varint.
func Header(status wire.Status, n uint64) []byte {
	return wire.Header{Status: status, Length: int(n)}.Append(nil)
}

// Frame is a frame with its body.
func Frame(status wire.Status, body []byte) []byte {
	return append(Header(status, uint64(len(body))), body...)
}

// Reply sends one frame.
func Reply(st transport.Stream, status wire.Status, body []byte) { st.Write(Frame(status, body)) }

// Refuse sends a refusal.
func Refuse(st transport.Stream, status wire.Status, wait time.Duration, text string) {
	st.Write((&wire.Refusal{Status: status, Wait: wait, Text: text}).Append(nil))
}

// Frames are the bytes of ranges in as few frames as the limit allows.
func Frames(b []byte) (frames []byte) {
	for len(b) > 0 {
		n := min(len(b), wire.MaxFrameLen)
		frames = append(frames, Frame(wire.StatusOK, b[:n])...)
		b = b[n:]
	}
	return frames
}

// SendBytes sends the bytes of ranges.
func SendBytes(st transport.Stream, b []byte) { st.Write(Frames(b)) }

// Flood repeats b, which is not empty, while somebody takes it, up to size
// bytes.
func Flood(st transport.Stream, b []byte, size int64) {
	b = bytes.Repeat(b, 1+(64<<10)/len(b))
	for ; size > 0; size -= int64(len(b)) {
		if _, err := st.Write(b); err != nil {
			return
		}
	}
}
