package serve

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/quicvarint"

	"malcolm/certs"
	"malcolm/transfer/hostile"
	"malcolm/wire"
)

// segments cuts a message over TCP into segments of at most n bytes.
func segments(b []byte, n int) (all []byte) {
	for len(b) > 0 {
		part := b[:min(n, len(b))]
		all = append(quicvarint.Append(all, uint64(len(part))), part...)
		b = b[len(part):]
	}
	return all
}

// The segments without bytes.
const (
	kindEnd = iota
	kindReset
	kindClose
)

func control(kind byte, rest ...byte) []byte { return append([]byte{0, kind}, rest...) }

// A rawClient is one TLS connection of a client by hand.
type rawClient struct {
	*tls.Conn
	from *bufio.Reader
}

// raw makes a TLS connection from a host.
func (l *pipeListener) raw(t *testing.T, host byte) rawClient {
	t.Helper()
	conn := l.connect(host)
	t.Cleanup(func() { conn.Close() })
	c := tls.Client(conn, certs.ClientTLS(wire.ALPN, nil))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return rawClient{c, bufio.NewReader(c)}
}

// A rawEnd is how a reply has ended.
type rawEnd struct {
	kind uint64
	code uint64 // of a reset or a close
}

// reply reads one reply.
func (c rawClient) reply() (body []byte, end rawEnd, err error) {
	read := func() (n uint64) {
		if err == nil {
			n, err = quicvarint.Read(c.from)
		}
		return n
	}
	for {
		n := read()
		if n == 0 {
			break
		}
		part := make([]byte, n)
		if _, err = io.ReadFull(c.from, part); err != nil {
			break
		}
		body = append(body, part...)
	}
	if end.kind = read(); end.kind != kindEnd {
		end.code = read()
	}
	return body, end, err
}

// A request may come in any pieces, and another one ahead of the reply to open.
// Both are answered, in their order.
func TestTCPRequestsInPieces(t *testing.T) {
	data := numbers(300_000, 1)
	ask := all(data)
	for _, test := range []struct {
		segment, record int // bytes of each
	}{{1, 1}, {1, 1000}, {7, 3}, {1 << 18, 1 << 18}} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, l := tcpServer(t, data, Config{})
				c := l.raw(t, 1)
				b := append(segments(openAndStat(), test.segment), control(kindEnd)...)
				b = append(append(b, segments(wire.AppendRequest(nil, ask), test.segment)...), control(kindEnd)...)
				go func() {
					for ; len(b) > 0; b = b[min(test.record, len(b)):] {
						c.Write(b[:min(test.record, len(b))])
					}
				}()
				first, end, err := c.reply()
				r := bytes.NewReader(first)
				h, _ := wire.ReadHeader(r)
				if o, openErr := wire.ReadOpened(r, h); err != nil || end.kind != kindEnd || openErr != nil || o.Limits.Streams == 0 {
					t.Fatalf("open: %+v, %v; ended by %+v, %v", o, openErr, end, err)
				}
				second, end, err := c.reply()
				got, spanErr := hostile.ReadSpans(bytes.NewReader(second), ask.Spans)
				if err != nil || end.kind != kindEnd || spanErr != nil || !bytes.Equal(got[0].Data, data) {
					t.Errorf("%d bytes, %v; ended by %+v, %v", len(second), spanErr, end, err)
				}
			})
		})
	}
}

// Whatever breaks the rules of segments, or ends where nothing ends, ends the
// connection and frees its place soon. Nothing of the file is sent for it, and
// others are served.
func TestHostileTCPSegments(t *testing.T) {
	open := segments(openAndStat(), 1<<10)
	ask := append(bytes.Clone(open), control(kindEnd)...)
	half, long := open[:9], quicvarint.Append(nil, 1<<18+1)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	protocol := &rawEnd{kindClose, uint64(wire.CloseProtocol)}
	for name, test := range map[string]struct {
		send  []byte
		want  *rawEnd // the last words of the server; nil: any
		ends  bool    // then the client ends its side of TLS
		unfed bool    // the client reads nothing
	}{
		"an end without a request":     {send: control(kindEnd), want: protocol},
		"a reset before open":          {send: control(kindReset, 5), want: protocol},
		"a reset within open":          {send: join(segments(openAndStat()[:5], 5), control(kindReset, 5)), want: protocol},
		"an end within open":           {send: join(segments(openAndStat()[:5], 5), control(kindEnd)), want: protocol},
		"a close":                      {send: control(kindClose, 0, 0)},
		"a close within a segment":     {send: join(half, control(kindClose, 0, 0)), ends: true},
		"an unknown kind":              {send: control(3)},
		"an unknown kind behind open":  {send: join(open, control(7))},
		"a kind of two bytes":          {send: []byte{0, 0x40, 0}},
		"a segment too long":           {send: long},
		"a long segment behind open":   {send: join(open, long)},
		"a long text of a close":       {send: join(control(kindClose, 0), quicvarint.Append(nil, 1<<12))},
		"an endless request":           {send: join(open, segments(make([]byte, 1<<17), 1<<14))},
		"two requests ahead":           {send: join(ask, ask, open), unfed: true},
		"many ends":                    {send: bytes.Repeat(control(kindEnd), 1000)},
		"the end of TLS":               {ends: true},
		"the end of TLS within open":   {send: half, ends: true},
		"the end of TLS after a reply": {send: ask, ends: true},
		"the end of TLS before a reply": {
			send: join(ask, segments(wire.AppendRequest(nil, all(numbers(1000, 1))), 1<<10), control(kindEnd)), ends: true, unfed: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				data := numbers(1000, 1)
				s, l := tcpServer(t, data, Config{})
				time.Sleep(time.Second) // it is hashed
				c := l.raw(t, 1)
				last := make(chan rawEnd, 1)
				if !test.unfed {
					go func() {
						var end rawEnd
						for {
							_, e, err := c.reply()
							if err != nil {
								break
							}
							end = e
						}
						last <- end
					}()
				}
				go func() {
					c.Write(test.send)
					if test.ends {
						c.CloseWrite()
					}
				}()
				time.Sleep(2 * time.Second)
				if st := s.Status(); st.Load.Conns != 0 || st.Requests != 0 || st.Servers[0].Sent != 0 {
					t.Errorf("2 seconds later: %d places, %d requests, %d bytes sent", st.Load.Conns, st.Requests, st.Servers[0].Sent)
				}
				c.NetConn().Close()
				if !test.unfed {
					if end := <-last; test.want != nil && end != *test.want {
						t.Errorf("the server's last words are %+v, want %+v", end, *test.want)
					}
				}
				fetchAll(t, l.dial(t, 2), data)
			})
		})
	}
}
