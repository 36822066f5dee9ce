package transfer

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// unopened connects to a server from an attacker's address, 10.66.0.host.
// Nothing opens the connection but what is sent on it.
func (w *world) unopened(t source.Target, host byte) transport.Conn {
	w.t.Helper()
	return w.connect(unopened(w.attacker(t, host)))
}

// opening is an open of a run, and a request behind it.
func opening(run byte, r wire.Request) []byte {
	return append(request(wire.Open{Run: [16]byte{run}, Tail: wire.Idle()}), request(r)...)
}

// readOpened reads what begins the reply on a first stream.
func readOpened(t *testing.T, r io.Reader) wire.Opened {
	t.Helper()
	h, err := wire.ReadHeader(r)
	if err != nil || h.Status != wire.StatusOK {
		t.Fatalf("open is answered %v, %v, want ok", h.Status, err)
	}
	o, err := wire.ReadOpened(r, h)
	must(t, err)
	return o
}

// readRefusal reads a refusal and the end of the reply.
func readRefusal(t *testing.T, r io.Reader) *wire.Refusal {
	t.Helper()
	h, err := wire.ReadHeader(r)
	must(t, err)
	refusal, ok := errors.AsType[*wire.Refusal](wire.ReadRefusal(r, h))
	if rest, err := io.ReadAll(r); !ok || len(rest) > 0 || err != nil {
		t.Fatalf("reply %v, then %x, %v, want a refusal", h.Status, rest, err)
	}
	return refusal
}

// unanswered fails the test if a byte has come on a stream, which has a read
// deadline then.
func unanswered(t *testing.T, st transport.Stream) {
	t.Helper()
	st.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := st.Read(make([]byte, 1)); n > 0 || err == io.EOF {
		t.Errorf("answered with %d bytes, %v, want nothing", n, err)
	}
}

// A connection that is not opened has its deadline from the handshake, whatever
// it sends, and nothing is answered.
func TestUnopenedConnections(t *testing.T) {
	whole := opening(1, wire.StatRequest{})
	every := func(pause time.Duration, do func(i int)) {
		for i := range int((admission.DefaultOpenTime - time.Second) / pause) {
			do(i)
			time.Sleep(pause)
		}
	}
	for name, use := range map[string]func(conn transport.Conn, ask func([]byte) transport.Stream){
		"nothing":      func(transport.Conn, func([]byte) transport.Stream) {},
		"half an open": func(_ transport.Conn, ask func([]byte) transport.Stream) { ask(whole[:5]) },
		"late":         func(_ transport.Conn, ask func([]byte) transport.Stream) { time.Sleep(9 * time.Second); ask(whole[:5]) },
		"open byte by byte": func(_ transport.Conn, ask func([]byte) transport.Stream) {
			st := ask(nil)
			every(time.Second, func(i int) { st.Write(whole[i : i+1]) })
		},
		"other streams": func(_ transport.Conn, ask func([]byte) transport.Stream) {
			ask(nil) // the first one stays empty
			every(time.Second, func(int) { ask(request(wire.StatRequest{})).CloseWrite() })
		},
		"open on another stream": func(_ transport.Conn, ask func([]byte) transport.Stream) {
			ask(whole[:1])
			ask(whole).CloseWrite()
		},
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				if w.tcp.only && strings.Contains(name, "stream") {
					return // there another stream would be the first of its own connection
				}
				s := w.ready(file(3*chunk, 1), serve.Config{Limits: serve.Limits{RequestTimeout: time.Hour}})
				began := time.Now()
				conn := w.unopened(s.targets[0], 1)
				var streams []transport.Stream
				use(conn, func(b []byte) transport.Stream {
					st, err := conn.OpenStream(t.Context(), transport.Patient)
					must(t, err)
					st.Write(b)
					streams = append(streams, st)
					return st
				})
				time.Sleep(time.Until(began.Add(admission.DefaultOpenTime - 500*time.Millisecond)))
				if !alive(conn) {
					t.Fatalf("the connection ended with %v", conn.Err())
				}
				for _, st := range streams {
					unanswered(t, st)
				}
				time.Sleep(time.Second)
				for _, st := range streams { // over TCP who reads learns of the end
					st.SetReadDeadline(time.Time{})
					io.ReadAll(st)
				}
				wantClosed(t, conn, wire.CloseLimit)
			})
		})
	}
}

// Whatever is not an open ends the connection at once if it comes first. The
// client is told, and nothing is answered.
func TestOpenComesFirst(t *testing.T) {
	data := file(3*chunk, 1)
	sum := checksum(data)
	run := make([]byte, 16)
	for name, ask := range map[string][]byte{
		"stat":                   request(wire.StatRequest{}),
		"ranges":                 rangeOf(sum, 0, 1),
		"values":                 request(wire.ValuesRequest{Checksum: sum, Count: 1}),
		"recheck":                request(wire.RecheckRequest{Checksum: sum}),
		"path":                   request(wire.PathRequest{}),
		"unknown type":           message(99),
		"text":                   append([]byte("GET / HTTP/1.1\r\n\r\n"), make([]byte, 6000)...),
		"stat before open":       append(request(wire.StatRequest{}), opening(1, wire.StatRequest{})...),
		"oversized open":         {0, 0x80, 0, 0x40, 1},
		"open of half a run":     message(typeOpen, run[:8]),
		"key without a proof":    message(typeOpen, run, 8, run[:8], 0),
		"proof without a key":    message(typeOpen, run, 0, 32, run, run),
		"key of 7 bytes":         message(typeOpen, run, 7, run[:7], 32, run, run),
		"proof of 31 bytes":      message(typeOpen, run, 8, run[:8], 31, run, run[:15]),
		"even type in the tail":  message(typeOpen, run, 0, 0, 65536, 0),
		"bytes behind the tail":  message(typeOpen, run, 0, 0, 65537, 0, 1),
		"long form of the type":  append([]byte{0x40}, opening(1, wire.StatRequest{})...),
		"17 types in the tail":   message(typeOpen, append([]any{run, 0, 0}, manyTypes(17)...)...),
		"tail of the same types": message(typeOpen, run, 0, 0, 65537, 0, 65537, 0),
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				s := w.ready(data, serve.Config{})
				conn := w.unopened(s.targets[0], 1)
				first := send(t, conn, ask)
				var second io.Reader = strings.NewReader("")
				if !w.tcp.only { // there another stream would be the first of its own connection
					second = send(t, conn, request(wire.StatRequest{}))
				}
				if refusal := readRefusal(t, first); refusal.Status != wire.StatusMalformed {
					t.Errorf("refused with %v, want malformed", refusal)
				}
				time.Sleep(time.Second)
				wantClosed(t, conn, wire.CloseProtocol)
				if b, _ := io.ReadAll(second); len(b) > 0 {
					t.Errorf("another stream is answered with %x", b)
				}
				if got := s.src.sent(); got != 0 {
					t.Errorf("%d bytes of the file were read", got)
				}
			})
		})
	}
}

// manyTypes are n odd types of a tail without bytes.
func manyTypes(n int) (fields []any) {
	for i := range n {
		fields = append(fields, 65537+2*i, 0)
	}
	return fields
}

// A range on the third stream that comes before the open on the first one is
// answered once the open is there, and costs nothing until then.
func TestRangeBeforeOpen(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.ready(data, serve.Config{})
		conn := w.unopened(s.targets[0], 1)
		open := append(message(typeOpen, append([]any{make([]byte, 16), 0, 0}, manyTypes(16)...)...), request(wire.StatRequest{})...)
		first, err := conn.OpenStream(t.Context(), transport.Patient)
		must(t, err)
		early := send(t, conn, rangeOf(checksum(data), 7, 1000))
		time.Sleep(4 * time.Second)
		first.Write(open[:9])
		time.Sleep(4 * time.Second)
		unanswered(t, early)
		if got := s.src.sent(); got != 0 {
			t.Errorf("%d bytes of the file were read for a connection that is not opened", got)
		}
		early.SetReadDeadline(time.Time{})
		first.Write(open[9:])
		first.CloseWrite()
		if o := readOpened(t, first); o.Limits.Streams != transport.DefaultMaxStreams-1 || o.Limits.Wasted != admission.DefaultWasted || o.Proof != nil || len(o.Tail) != 1 {
			t.Errorf("opened with %+v, want the default limits, no proof and a tail", o)
		}
		if got, err := hostile.ReadSpans(early, spansOf(checksum(data), 7, 1000)); err != nil || !bytes.Equal(got[0].Data, data[7:1007]) {
			t.Errorf("the early range: %v, %d bytes, want them all", err, len(got[0].Data))
		}
		time.Sleep(admission.DefaultOpenTime)
		if !alive(conn) {
			t.Error("the opened connection is closed")
		}
	})
}

// A connection is opened once. A second open is malformed, and others go on.
func TestOpenTwice(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.ready(file(3*chunk, 1), serve.Config{})
		conn := w.unopened(s.targets[0], 1)
		first := send(t, conn, opening(1, wire.Open{Run: [16]byte{2}}))
		readOpened(t, first)
		for _, st := range []transport.Stream{first, send(t, conn, request(wire.Open{})), send(t, conn, opening(3, wire.StatRequest{}))} {
			if refusal := readRefusal(t, st); refusal.Status != wire.StatusMalformed {
				t.Errorf("a second open is refused with %v, want malformed", refusal)
			}
		}
		h, err := wire.ReadHeader(send(t, conn, request(wire.StatRequest{})))
		if err != nil || h.Status != wire.StatusOK {
			t.Errorf("stat is answered %v, %v, want an offer", h.Status, err)
		}
	})
}
