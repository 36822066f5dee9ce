package transfer

import (
	"crypto/tls"
	"errors"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"

	"github.com/quic-go/quic-go/quicvarint"

	"malcolm/transport"
	"malcolm/wire"
)

// byteASecond sends bytes one by one, a second apart.
func byteASecond(st transport.Stream, p []byte) {
	for i := range p {
		time.Sleep(time.Second)
		if _, err := st.Write(p[i : i+1]); err != nil {
			return
		}
	}
}

// A server that sends one byte a second, of anything, does not stop others from
// delivering the file.
func TestHostileByteASecond(t *testing.T) {
	data := file(6*chunk+1, 1)
	for _, test := range []struct {
		name  string
		slow  func(m *hostile.Server)
		state fetch.State
		takes time.Duration // at most
	}{
		{"offer", func(m *hostile.Server) {
			m.OnStat = func(st transport.Stream, _ int) {
				o := m.Offer.Append(nil)
				byteASecond(st, hostile.Frame(wire.StatusOK, o))
			}
		}, fetch.StateNotReached, malcolm.DefaultConnectTimeout + 2*time.Second},
		{"values", func(m *hostile.Server) {
			withoutInline(m)
			m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) {
				byteASecond(st, hostile.Frame(wire.StatusOK, m.Values.Bytes()))
			}
		}, fetch.StateServing, slowTime + 2*time.Second},
		{"ranges", func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, spans []wire.Span) {
				byteASecond(st, hostile.Frames(m.Bytes(spans)))
			}
		}, fetch.StateServing, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 0, test.slow)
				other := w.malicious(data, 1, withoutInline)
				w.link(other.Target).set(func(l *link) { l.delay = 100 * time.Millisecond }) // so that it is not asked first
				o := w.suffer(getConfig{Targets: []source.Target{m.Target, other.Target}})
				o.has("data.bin", data)
				if o.Elapsed > test.takes {
					t.Errorf("took %v, want at most %v", o.Elapsed, test.takes)
				}
				if r := o.report(m.Target); r.State != test.state {
					t.Errorf("report = %+v, want %s", r, test.state)
				}
			})
		})
	}
}

// Alone, such a server goes on, and the rate shows it.
func TestHostileByteASecondAlone(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(100, 1)
		m := w.malicious(data, 0, func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, spans []wire.Span) {
				byteASecond(st, hostile.Frames(m.Bytes(spans)))
			}
		})
		o := w.suffer(getConfig{Targets: []source.Target{m.Target}, Interval: time.Second})
		o.has("data.bin", data)
		seen := 0
		for _, p := range events[progress](o) {
			if p.Phase == fetch.PhaseFetching && p.Servers[0].State == fetch.StateServing && p.Good == 0 && p.Rate > 0.5 && p.Rate < 2 {
				seen++
			}
		}
		if seen < 90 || o.Elapsed < 100*time.Second {
			t.Errorf("in %v the rate was told %d times, want every second", o.Elapsed, seen)
		}
	})
}

// A server says for ever that it is indexing. At the allowed rate it is waited
// for until patience ends. Above that rate it is out at once.
func TestHostileIndexing(t *testing.T) {
	withoutRace(t)
	const patience = 20 * time.Second
	data := file(chunk, 1)
	for _, test := range []struct {
		name  string
		every time.Duration
		want  string
		takes time.Duration
	}{
		{"as often as it may", time.Second / indexingRate, "is still indexing", patience},
		{"without a pause", 0, "says too often that it is indexing", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 0, func(m *hostile.Server) {
					m.OnStat = func(st transport.Stream, _ int) {
						word := wire.Indexing{Done: 1, Total: wire.MaxFileSize}.Append(nil)
						for range 1 << 20 {
							b := hostile.Header(wire.StatusIndexing, uint64(len(word)))
							if _, err := st.Write(append(b, word...)); err != nil {
								return
							}
							time.Sleep(test.every)
						}
					}
				})
				honest := w.holders(data)
				o := w.suffer(getConfig{Targets: append(targetsOf(honest...), m.Target), Patience: patience})
				o.has("data.bin", data)
				named(t, o, m, fetch.StateNotReached)
				if r := o.report(m.Target); r.Err == nil || !strings.Contains(r.Err.Error(), test.want) {
					t.Errorf("error = %v, want that it %v", r.Err, test.want)
				}
				if o.Elapsed < test.takes || o.Elapsed > test.takes+2*time.Second {
					t.Errorf("took %v, want %v", o.Elapsed, test.takes)
				}
				if sent := w.sentBy(m); sent > 64<<10 {
					t.Errorf("%d bytes came from it, want 64 KiB at most", sent)
				}
			})
		})
	}
}

// An initialsOnly lets only Initial packets out. Each handshake packet is
// answered, and no handshake ends.
type initialsOnly struct {
	net.PacketConn
	let *atomic.Int64 // packets
}

func (c initialsOnly) WriteTo(b []byte, to net.Addr) (int, error) {
	end := initialEnd(b)
	if end == 0 {
		return len(b), nil
	}
	c.let.Add(1)
	if _, err := c.PacketConn.WriteTo(b[:end], to); err != nil {
		return 0, err
	}
	return len(b), nil
}

// initialEnd returns the length of the Initial packet at the start of a
// datagram; 0 if another packet is there (RFC 9000, section 17.2.2).
func initialEnd(b []byte) int {
	if len(b) < 7 || b[0]&0xf0 != 0xc0 {
		return 0
	}
	at := 6 + int(b[5])
	at += 1 + int(b[at])
	for range 2 { // the token's length and token, and the packet's length
		n, size, err := quicvarint.Parse(b[at:])
		if err != nil {
			return 0
		}
		at += size + int(n)
	}
	return min(at, len(b))
}

// A handshake that does not end costs its server the vote. Others wait at most
// for the connect timeout.
func TestHostileHandshake(t *testing.T) {
	data := file(chunk, 1)
	for _, test := range []struct {
		name    string
		prepare func(m *hostile.Server, let *atomic.Int64)
	}{
		{"no answer to the hello of TLS", func(m *hostile.Server, let *atomic.Int64) {
			m.OnTLS = func(c *tls.Config) {
				c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
					let.Add(1)
					m.Wait()
					return nil, errors.New("too late")
				}
			}
		}},
		{"one part of it, again and again", func(m *hostile.Server, let *atomic.Int64) {
			m.OnPackets = func(c net.PacketConn) net.PacketConn { return initialsOnly{c, let} }
		}},
		{"a certificate without an end", func(m *hostile.Server, let *atomic.Int64) {
			m.OnTLS = func(c *tls.Config) {
				let.Add(1)
				for range 2000 {
					c.Certificates[0].Certificate = append(c.Certificates[0].Certificate, c.Certificates[0].Certificate[0])
				}
			}
		}},
	} {
		for honest, takes := range map[int]time.Duration{1: malcolm.DefaultConnectTimeout, 2: time.Second} {
			t.Run(test.name, func(t *testing.T) {
				overBoth(t, func(t *testing.T, w *world) {
					if w.tcp.only && strings.HasPrefix(test.name, "one part") {
						return // of QUIC's packets
					}
					var let atomic.Int64
					m := w.malicious(data, 3, func(m *hostile.Server) { test.prepare(m, &let) })
					servers := w.holders([][]byte{data, data}[:honest]...)
					o := w.suffer(getConfig{Targets: append(targetsOf(servers...), m.Target)})
					o.has("data.bin", data)
					if r := o.report(m.Target); r.State != fetch.StateNotReached && honest == 1 || r.State == fetch.StateServing {
						t.Errorf("report = %+v, want not reached", r)
					}
					if o.Elapsed > takes+time.Second {
						t.Errorf("took %v, want at most %v and a little", o.Elapsed, takes)
					}
					if let.Load() == 0 {
						t.Error("the attack did not take place")
					}
				})
			})
		}
	}
}

// A server drops every connection after its offer. It is dialled less and less
// often, and reported once.
func TestHostileReconnects(t *testing.T) {
	withoutRace(t)
	overEither(t, func(t *testing.T, w *world) {
		data := file(chunk, 1)
		var conn atomic.Pointer[transport.Conn]
		m := w.malicious(data, 0, func(m *hostile.Server) {
			m.OnConn = func(c transport.Conn) { conn.Store(&c) }
			m.OnStat = func(st transport.Stream, _ int) {
				m.SendOffer(st, m.Offer)
				time.Sleep(50 * time.Millisecond) // so that it arrives
				(*conn.Load()).Close(uint64(wire.CloseStopping), "")
			}
		})
		patient := w.malicious(data, 1, func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, spans []wire.Span) {
				trickle(st, m.Bytes(spans), 20*time.Second)
			}
		})
		o := w.suffer(getConfig{Targets: []source.Target{m.Target, patient.Target}, Interval: 10 * time.Second})
		o.has("data.bin", data)
		named(t, o, m, fetch.StateLost)
		most := 10 + int64(o.Elapsed/(longestPause*3/4))
		if n := m.Stats.Load(); n < most/2 || n > most {
			t.Errorf("dialled %d times in %v, want about %d times", n, o.Elapsed, most)
		}
		if got := events[fetch.Lost](o); len(got) > 2 {
			t.Errorf("lost = %+v, want once, and once before the vote", got)
		}
	})
}

// A server that comes back with another file is out.
func TestHostileOfferAfterReconnect(t *testing.T) {
	withoutRace(t)
	data := file(12*chunk, 1)
	for _, test := range []struct {
		name   string
		change func(o *wire.Offer)
		want   string
	}{
		{"checksum", func(o *wire.Offer) { o.Checksum[31] ^= 1 }, "came back with another file"},
		{"size", func(o *wire.Offer) { o.Size++ }, "came back with another file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				var conn atomic.Pointer[transport.Conn]
				m := w.malicious(data, 0, func(m *hostile.Server) {
					m.OnConn = func(c transport.Conn) { conn.Store(&c) }
					m.OnRanges = func(transport.Stream, []wire.Span) {
						(*conn.Load()).Close(uint64(wire.CloseInternal), "")
					}
					m.OnStat = func(st transport.Stream, n int) {
						o := m.Offer
						if n > 0 {
							o.ValuesLen = 0
							test.change(&o)
						}
						m.SendOffer(st, o)
					}
				})
				honest := w.holders(data)
				slow(100<<10, honest...)
				o := w.suffer(getConfig{Targets: append(targetsOf(honest...), m.Target)})
				o.has("data.bin", data)
				named(t, o, m, fetch.StateChanged)
				if r := o.report(m.Target); r.Err == nil || r.Err.Error() != test.want || r.Bytes != 0 || m.Ranges.Load() == 0 {
					t.Errorf("report = %+v, want that it %v", r, test.want)
				}
			})
		})
	}
}

// nasty is a text that must not reach a terminal: it clears the screen,
// overwrites the line, turns the direction, and rings.
var nasty = strings.Repeat("\x1b[2J\x1b]0;x\a\r\n\u202e\u0085\x9b\xff", 40)

// The words of a server that closes, refuses or resets are shown in a plain and
// short form.
func TestHostileReasonsAreShownPlain(t *testing.T) {
	data := file(3*chunk, 1)
	closing := func(m *hostile.Server) func(code uint64) {
		var conn atomic.Pointer[transport.Conn]
		m.OnConn = func(c transport.Conn) { conn.Store(&c) }
		return func(code uint64) { (*conn.Load()).Close(code, nasty) }
	}
	for _, test := range []struct {
		name string
		bad  func(m *hostile.Server)
	}{
		{"closes in a stat", func(m *hostile.Server) {
			end := closing(m)
			m.OnStat = func(transport.Stream, int) { end(quicvarint.Max) }
		}},
		{"closes in a range", func(m *hostile.Server) {
			end := closing(m)
			m.OnRanges = func(transport.Stream, []wire.Span) { end(math.MaxUint32) }
		}},
		{"refuses a stat", func(m *hostile.Server) {
			m.OnStat = func(st transport.Stream, _ int) { hostile.Refuse(st, wire.StatusBusy, 0, nasty) }
		}},
		{"denies", func(m *hostile.Server) {
			m.OnStat = func(st transport.Stream, _ int) { hostile.Refuse(st, wire.StatusDenied, 0, nasty) }
		}},
		{"refuses a range", func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, _ []wire.Span) {
				hostile.Refuse(st, wire.Status(quicvarint.Max), 0, nasty)
			}
		}},
		{"refuses the values", func(m *hostile.Server) {
			withoutInline(m)
			m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { hostile.Refuse(st, wire.StatusMalformed, 0, nasty) }
		}},
		{"resets with a code that is none", func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, _ []wire.Span) { st.CancelWrite(quicvarint.Max) }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 0, test.bad)
				o := w.suffer(getConfig{Targets: []source.Target{m.Target}, Patience: time.Second})
				errs := []error{o.err, o.report(m.Target).Err}
				for _, ev := range o.events {
					switch ev := ev.Event.(type) {
					case fetch.NotReached:
						errs = append(errs, ev.Err)
					case fetch.Lost:
						errs = append(errs, ev.Err)
					case fetch.ValuesRefused:
						errs = append(errs, ev.Err)
					}
				}
				for _, err := range errs {
					if text := err.Error(); strings.ContainsFunc(text, hidden) || strings.ContainsRune(text, '\uFFFD') || len(text) > 1200 {
						t.Errorf("error = %q, want it plain and short", text)
					}
				}
				if len(errs) < 3 || fetch.KindOf(o.err) == fetch.KindUnexpected {
					t.Errorf("errors = %q", errs)
				}
			})
		})
	}
}
