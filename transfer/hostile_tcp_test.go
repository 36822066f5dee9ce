package transfer

import (
	"bytes"
	"context"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transport"
)

// Over TCP a client that gives a request up gives a connection up, and pays
// with a handshake for the next. It costs an honest client nothing.
func TestHostileRapidResetsOverTCP(t *testing.T) {
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
