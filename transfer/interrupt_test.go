package transfer

import (
	"context"
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"

	"malcolm/transport"
	"malcolm/wire"
)

// ^C ends a run within two seconds, and each of its connections, whatever the
// server waits for or does not do.
func TestInterruptIsSoon(t *testing.T) {
	t.Parallel()
	data := file(16*chunk, 1)
	malicious := func(prepare func(m *hostile.Server)) func(w *world) []source.Target {
		return func(w *world) []source.Target {
			return []source.Target{w.malicious(data, 0, prepare).Target}
		}
	}
	stops := func(st transport.Stream, b []byte, m *hostile.Server) {
		st.Write(b)
		m.Wait()
	}
	for _, test := range []struct {
		name    string
		targets func(w *world) []source.Target
	}{
		{"no end of the handshake", malicious(func(m *hostile.Server) {
			m.OnTLS = func(c *tls.Config) {
				c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
					m.Wait()
					return nil, context.Canceled
				}
			}
		})},
		{"no answer to open", malicious(func(m *hostile.Server) {
			m.OnOpen = func(transport.Stream, wire.Open) bool { m.Wait(); return false }
		})},
		{"no request is read", malicious(func(m *hostile.Server) {
			m.OnStream = func(transport.Stream) bool { m.Wait(); return true }
		})},
		{"half of an offer", malicious(func(m *hostile.Server) {
			m.OnStat = func(st transport.Stream, _ int) { stops(st, hostile.Header(wire.StatusOK, 100), m) }
		})},
		{"half of the values", malicious(func(m *hostile.Server) {
			m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) {
				stops(st, hostile.Header(wire.StatusOK, 16*wire.ValueLen), m)
			}
			m.OnStat = func(st transport.Stream, _ int) {
				o := m.Offer
				o.ValuesLen = 0
				m.SendOffer(st, o)
			}
		})},
		{"half of a frame", malicious(func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, spans []wire.Span) { stops(st, hostile.Frames(m.Bytes(spans))[:1000], m) }
		})},
		{"a disk that hangs", func(w *world) []source.Target {
			s := w.holders(data)[0]
			s.src.onRange(func([]byte, int64) error {
				s.src.block()
				return nil
			})
			return s.targets
		}},
		{"a network that loses everything", func(w *world) []source.Target {
			s := w.holders(data)[0]
			time.AfterFunc(500*time.Millisecond, func() { s.links[0].set(func(l *link) { l.hole = true }) })
			slow(200<<10, s)
			return s.targets
		}},
		{"a slow server", func(w *world) []source.Target {
			s := w.holders(data)[0]
			slow(20<<10, s)
			return s.targets
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				targets := test.targets(w)
				ctx, cancel := context.WithCancelCause(t.Context())
				var interrupted time.Time
				time.AfterFunc(4*time.Second, func() {
					interrupted = time.Now()
					cancel(errInterrupted)
				})
				o := w.getUnder(ctx, getConfig{Targets: targets})
				if took := time.Since(interrupted); o.err != errInterrupted || took > 2*time.Second {
					t.Errorf("error %v, %v after ^C, want the interrupt within two seconds", o.err, took)
				}
			})
		})
	}
}

// ^C ends a stream within two seconds although nobody reads it and the server's
// send buffer is full. The server's requests are over soon after.
func TestInterruptOfAFullStream(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		s := w.ready(file(64*chunk, 1), serve.Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		full := make(chan struct{})
		var interrupted time.Time
		time.AfterFunc(20*time.Second, func() {
			interrupted = time.Now()
			cancel(errInterrupted)
		})
		o := w.streamUnder(ctx, getConfig{Targets: s.targets}, writerFunc(func(p []byte) (int, error) {
			<-full
			return len(p), nil
		}), 4*chunk)
		if took := time.Since(interrupted); o.err != errInterrupted || took > 2*time.Second {
			t.Errorf("error %v, %v after ^C, want the interrupt within two seconds", o.err, took)
		}
		none[fetch.Lost](o)
		close(full)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if st := s.run.Status(); st.Requests > 0 || st.Load.Conns > 0 {
			t.Errorf("%d requests and %d connections are left", st.Requests, st.Load.Conns)
		}
	})
}
