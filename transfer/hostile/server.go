package hostile

import (
	"bytes"
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
	Target  source.Target
	Data    []byte
	Offer   wire.Offer
	Values  wire.Values // follow the offer if Offer.ValuesLen is positive
	Streams int64       // that a client may have open; 0: transport's default

	OnTLS     func(c *tls.Config) // once, before it listens
	OnPackets func(c net.PacketConn) net.PacketConn
	OnConn    func(c transport.Conn)           // once its handshake is complete
	OnStream  func(st transport.Stream) bool   // before the request is read; true: leave the stream as it is
	OnHello   func(st transport.Stream, n int) // n is 0 for the first one
	OnValues  func(st transport.Stream)
	OnRange   func(st transport.Stream, r wire.RangeRequest)

	Asked
	running
}

// Asked counts the requests so far; Inlines are the hellos that ask for the
// values, Lists the requests for them.
type Asked struct{ Hellos, Inlines, Lists, Ranges atomic.Int64 }

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
	conf, err := id.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		return err
	}
	if s.OnTLS != nil {
		s.OnTLS(conf)
	}
	if s.OnPackets != nil {
		pc = s.OnPackets(pc)
	}
	l, err := transport.Listen(pc, transport.ListenOptions{TLS: conf, MaxStreams: s.Streams})
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
			if s.OnConn != nil {
				s.OnConn(conn)
			}
			for {
				st, err := conn.AcceptStream(s.ctx)
				if err != nil {
					return
				}
				wg.Go(func() {
					defer st.Release()
					s.answer(st)
				})
			}
		})
	}
}

func (s *Server) answer(st transport.Stream) {
	if s.OnStream != nil && s.OnStream(st) {
		return
	}
	req, err := wire.ReadRequest(st)
	if err != nil {
		return
	}
	switch req := req.(type) {
	case wire.Hello:
		n := int(s.Hellos.Add(1)) - 1
		if req.InlineManifest {
			s.Inlines.Add(1)
		}
		if s.OnHello != nil {
			s.OnHello(st, n)
		} else {
			s.SendOffer(st, s.Offer)
		}
	case wire.ManifestRequest:
		s.Lists.Add(1)
		if s.OnValues != nil {
			s.OnValues(st)
		} else {
			s.SendValues(st)
		}
	case wire.RangeRequest:
		s.Ranges.Add(1)
		if s.OnRange != nil {
			s.OnRange(st, req)
		} else {
			s.SendRange(st, req)
		}
	}
	st.CloseWrite()
}

// SendOffer sends an offer, and the values if the offer announces them.
func (s *Server) SendOffer(st transport.Stream, o wire.Offer) {
	Reply(st, wire.StatusOK, o.Append(nil))
	if o.ValuesLen > 0 {
		s.SendValues(st)
	}
}

// SendValues sends the values.
func (s *Server) SendValues(st transport.Stream) { Reply(st, wire.StatusOK, s.Values.Bytes()) }

// SendRange sends the bytes of Data that r asks for.
func (s *Server) SendRange(st transport.Stream, r wire.RangeRequest) {
	Reply(st, wire.StatusOK, s.Data[r.Offset:r.Offset+r.Length])
}

// Stall sends bytes and then nothing, until Stop.
func (s *Server) Stall(st transport.Stream, b []byte) {
	st.Write(b)
	s.Wait()
}

// Header is the header of a frame whose body of n bytes need not follow.
func Header(status wire.Status, n uint64) []byte {
	return wire.Header{Status: status, Length: n}.Append(nil)
}

// Frame is a frame with its body.
func Frame(status wire.Status, body []byte) []byte {
	return append(Header(status, uint64(len(body))), body...)
}

// Reply sends one frame.
func Reply(st transport.Stream, status wire.Status, body []byte) { st.Write(Frame(status, body)) }

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
