package transfer

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/source"

	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// An evil server speaks malcolm/1 by hand. Without hooks it is an honest one,
// which serves data; a hook that is not nil replies in its place, and belongs
// to the goroutine of its stream. A reply ends when the hook returns, unless
// it says that the stream is to be left as it is.
type evil struct {
	target   source.Target
	data     []byte
	offer    wire.Offer
	manifest wire.Manifest
	streams  int64 // that a client may have open; 0: the default

	onTLS      func(c *tls.Config) // once, before it listens
	onPackets  func(c net.PacketConn) net.PacketConn
	onConn     func(c *transport.Conn)           // once its handshake is complete
	onStream   func(st *transport.Stream) bool   // before the request is read; true: that was all
	onHello    func(st *transport.Stream, n int) // n is 0 for the first one
	onManifest func(st *transport.Stream)
	onRange    func(st *transport.Stream, r wire.RangeRequest)

	hellos, inlines, manifests, ranges atomic.Int64

	cancel context.CancelFunc
	ctx    context.Context
	done   chan struct{}
}

// evil starts an evil server under an identity of testIDs. It offers data and
// its manifest inline; prepare may change that.
func (w *world) evil(data []byte, id int, prepare func(e *evil)) *evil {
	e := &evil{target: w.nextTargets(1)[0], data: data, done: make(chan struct{})}
	e.manifest, e.offer.Checksum = hashes(data)
	e.offer.Size = int64(len(data))
	e.offer.Name = "data.bin"
	e.offer.ModTime = time.Unix(1e9, 0)
	e.offer.Digest = manifest.Digest(e.manifest)
	e.offer.ManifestLen = len(e.manifest.Bytes())
	e.ctx, e.cancel = context.WithCancel(context.Background())
	w.link(e.target)
	if prepare != nil {
		prepare(e)
	}
	conf, err := testIDs[id].ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		w.t.Fatal(err)
	}
	if e.onTLS != nil {
		e.onTLS(conf)
	}
	socket := w.socket(net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(e.target.Host), e.target.Port)))
	if e.onPackets != nil {
		socket = e.onPackets(socket)
	}
	l, err := transport.Listen(socket, transport.ListenOptions{TLS: conf, MaxStreams: e.streams})
	if err != nil {
		w.t.Fatal(err)
	}
	w.evils = append(w.evils, e)
	go e.run(l)
	return e
}

func (e *evil) run(l *transport.Listener) {
	defer close(e.done)
	var wg sync.WaitGroup
	defer l.Close()
	defer wg.Wait()
	for {
		conn, err := l.Accept(e.ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.Close(uint64(wire.CloseDone), "")
			if e.onConn != nil {
				e.onConn(conn)
			}
			for {
				st, err := conn.AcceptStream(e.ctx)
				if err != nil {
					return
				}
				wg.Go(func() {
					defer st.Release()
					e.answer(st)
				})
			}
		})
	}
}

func (e *evil) answer(st *transport.Stream) {
	if e.onStream != nil && e.onStream(st) {
		return
	}
	req, err := wire.ReadRequest(st)
	if err != nil {
		return
	}
	switch req := req.(type) {
	case wire.Hello:
		n := int(e.hellos.Add(1)) - 1
		if req.InlineManifest {
			e.inlines.Add(1)
		}
		if e.onHello != nil {
			e.onHello(st, n)
		} else {
			e.sendOffer(st, e.offer)
		}
	case wire.ManifestRequest:
		e.manifests.Add(1)
		if e.onManifest != nil {
			e.onManifest(st)
		} else {
			e.sendManifest(st)
		}
	case wire.RangeRequest:
		e.ranges.Add(1)
		if e.onRange != nil {
			e.onRange(st, req)
		} else {
			e.sendRange(st, req)
		}
	}
	st.CloseWrite()
}

// frame sends one frame of a reply.
func frame(st *transport.Stream, status wire.Status, body []byte) {
	b := wire.Header{Status: status, Length: uint64(len(body))}.Append(nil)
	st.Write(append(b, body...))
}

// sendOffer sends an offer, and the manifest if it announces one.
func (e *evil) sendOffer(st *transport.Stream, o wire.Offer) {
	frame(st, wire.StatusOK, o.Append(nil))
	if o.ManifestLen > 0 {
		e.sendManifest(st)
	}
}

func (e *evil) sendManifest(st *transport.Stream) { frame(st, wire.StatusOK, e.manifest.Bytes()) }

func (e *evil) sendRange(st *transport.Stream, r wire.RangeRequest) {
	frame(st, wire.StatusOK, e.data[r.Offset:r.Offset+r.Length])
}

// wait blocks until the end of the world.
func (e *evil) wait() { <-e.ctx.Done() }

func TestEvilIsHonestWithoutHooks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk+5, 1)
		e := w.evil(data, 0, nil)
		o := w.get(getConfig{Targets: []source.Target{e.target}})
		o.has("data.bin", data)
	})
}
