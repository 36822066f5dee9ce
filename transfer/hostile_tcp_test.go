package transfer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transport"
	"malcolm/wire"
)

// Over TCP a client that gives a request up gives a connection up, and pays
// with a handshake for the next. It costs an honest client nothing.
func TestHostileRapidResetsOverTCP(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	for _, reset := range hostile.RapidResets {
		t.Run(reset.Name, func(t *testing.T) {
			bubbleTCP(t, func(t *testing.T, w *world) {
				const resets = 2 * admission.DefaultWasted
				data := file(16*chunk, 1)
				s := w.ready(data, serve.Config{})
				a, ask := w.attacker(s.targets[0], 1), rangeOf(checksum(data), 0, 16*chunk)
				conn, made := w.connect(a), 0
				for ; made < resets; made++ {
					ctx, stop := context.WithTimeout(t.Context(), time.Second)
					st, err := conn.OpenStream(ctx, transport.Patient)
					stop()
					if err != nil {
						break // the address has wasted its budget
					}
					reset.Do(st, ask)
					if got := s.run.Status().Load.Conns; got > 2*w.mostStreams() {
						t.Fatalf("%d connections have a place", got)
					}
				}
				t.Logf("%d requests, for which %d bytes of the file were read", made, s.src.sent())
				if most := int64(made) * 2 * (128 << 10); s.src.sent() > most {
					t.Errorf("%d bytes of the file were read for them, want at most %d", s.src.sent(), most)
				}
				s.honest(data)
				conn.Close(0, "")
				time.Sleep(time.Second)
				if st := s.run.Status(); st.Requests > 0 || st.Load.Conns > 0 {
					t.Errorf("%d requests and %d connections are left", st.Requests, st.Load.Conns)
				}
			})
		})
	}
}

// Each TLS connection to a server proves the token with keys of its own.
func TestTokenOverTCP(t *testing.T) {
	bubbleTCP(t, func(t *testing.T, w *world) {
		data, token := file(4*chunk, 1), tokenOf(t, rightToken)
		s := w.ready(data, serve.Config{Tokens: []certs.Token{token}})
		a := w.attacker(s.targets[0], 1)
		a.Token = token
		conn := w.connect(a)
		var streams []transport.Stream
		for range 4 {
			streams = append(streams, send(t, conn, rangeOf(checksum(data), 0, 4*chunk)))
		}
		for _, st := range streams {
			if got, err := hostile.ReadSpans(st, spansOf(checksum(data), 0, 4*chunk)); err != nil || !bytes.Equal(got[0].Data, data) {
				t.Errorf("a reply with %d bytes, %v", len(got[0].Data), err)
			}
		}
		if n := s.overTCP(0).Dialed(); n < 2 {
			t.Errorf("%d TLS connections were made, want several", n)
		}
	})
}

// clientHello is the first record of an honest client.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go tls.Client(ours, certs.ClientTLS(wire.ALPN, nil)).Handshake()
	head := make([]byte, 5)
	if _, err := io.ReadFull(theirs, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(theirs, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// A flood of what is no TLS, or not a client's, ends each connection at once
// and costs an honest client nothing. A client that stops in the middle of a
// handshake keeps a place for the time of one.
func TestHostileTLSGarbage(t *testing.T) {
	t.Parallel()
	record := func(kind byte, b []byte) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(b))), b...)
	}
	for name, test := range map[string]struct {
		words func(hello []byte) [][]byte // sent one after the other
		stays bool
	}{
		"noise":                     {func([]byte) [][]byte { return [][]byte{hostile.NewForger(1).Next()} }, false},
		"another protocol":          {func([]byte) [][]byte { return [][]byte{[]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")} }, false},
		"a record too long":         {func([]byte) [][]byte { return [][]byte{{22, 3, 1, 255, 255, 1}} }, false},
		"empty records":             {func([]byte) [][]byte { return [][]byte{bytes.Repeat(record(22, nil), 1000)} }, false},
		"alerts":                    {func([]byte) [][]byte { return [][]byte{bytes.Repeat(record(21, []byte{1, 90}), 1000)} }, false},
		"data before the handshake": {func([]byte) [][]byte { return [][]byte{record(23, make([]byte, 1000))} }, false},
		"half a hello":              {func(hello []byte) [][]byte { return [][]byte{hello[:len(hello)/2]} }, true},
		"a hello and no more":       {func(hello []byte) [][]byte { return [][]byte{hello} }, true},
		"two hellos":                {func(hello []byte) [][]byte { return [][]byte{hello, hello} }, false},
		"a hello, then noise":       {func(hello []byte) [][]byte { return [][]byte{hello, hostile.NewForger(2).Next()} }, false},
		"a hello, then what no key fits": {func(hello []byte) [][]byte {
			return [][]byte{hello, record(23, make([]byte, 500))}
		}, false},
		"a hello without end": {func([]byte) [][]byte {
			body := append([]byte{1, 255, 255, 255, 3, 3}, make([]byte, 16<<10-6)...)
			words := [][]byte{record(22, body)}
			for range 8 {
				words = append(words, record(22, make([]byte, 16<<10)))
			}
			return words
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubbleTCP(t, func(t *testing.T, w *world) {
				data := file(8*chunk, 1)
				s := w.ready(data, serve.Config{})
				words := test.words(clientHello(t))
				ctx, stop := context.WithCancel(t.Context())
				var attack sync.WaitGroup
				attack.Go(func() {
					w.attacker(s.targets[0], 1).Raw(ctx, 16, func(c net.Conn) {
						for _, b := range words {
							c.Write(b)
							time.Sleep(3 * defaultDelay)
						}
						io.Copy(io.Discard, c) // until the server closes it
					})
				})
				time.Sleep(time.Second)
				s.honest(data)
				most := transport.DefaultHandshakeTimeout + time.Second
				if !test.stays {
					most = time.Second
				}
				stop()
				attack.Wait()
				time.Sleep(time.Second)
				c, err := w.attacker(s.targets[0], 2).Dial(t.Context())
				must(t, err)
				began := time.Now()
				for _, b := range words {
					c.Write(b)
				}
				go io.Copy(io.Discard, c)
				time.Sleep(3 * defaultDelay)
				for s.run.Status().Load.Conns > 0 && time.Since(began) < time.Minute {
					time.Sleep(100 * time.Millisecond)
				}
				if took := time.Since(began); took > most {
					t.Errorf("it had a place for %v, want at most %v", took, most)
				}
				c.Close()
				synctest.Wait()
				if got := s.run.Status().Servers[0].Sent; got != int64(len(data)) {
					t.Errorf("%d bytes of the file were sent, want the honest client's %d", got, len(data))
				}
			})
		})
	}
}
