package transfer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"

	"malcolm/transport"
	"malcolm/wire"
)

// dial connects to a server by hand, from a client's address. Its first request
// opens the connection.
func (w *world) dial(t source.Target, window int64) transport.Conn {
	w.t.Helper()
	a := &hostile.Attacker{
		Server: addrOf(t), Window: window, Open: func() (net.PacketConn, error) { return w.Open(netip.AddrPort{}) },
		Dial: w.dialer(t, clientHost),
	}
	conn, err := a.Connect(w.t.Context())
	must(w.t, err)
	return conn
}

// send sends bytes on a stream of its own, and ends it.
func send(t *testing.T, conn transport.Conn, b []byte) transport.Stream {
	t.Helper()
	st, err := conn.OpenStream(t.Context(), transport.Patient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return st
}

func request(r wire.Request) []byte { return wire.AppendRequest(nil, r) }

// rangeOf is a request for one span.
func rangeOf(sum [32]byte, offset, length int64) []byte {
	return request(wire.RangesRequest{Spans: []wire.Span{{Checksum: sum, Offset: offset, Length: length}}})
}

// Each kind of request gets its reply.
func TestReplies(t *testing.T) {
	data := file(2*chunk+9, 1)
	values, sum := hashes(data)
	other := [32]byte{1}
	for _, test := range []struct {
		name   string
		ask    []byte
		status wire.Status
		body   []byte // nil: not looked at
	}{
		{"range", rangeOf(sum, 5, 1000), wire.StatusOK, data[5:1005]},
		{"last byte", rangeOf(sum, 2*chunk+8, 1), wire.StatusOK, data[2*chunk+8:]},
		{"values", request(wire.ValuesRequest{Checksum: sum, Count: 3}), wire.StatusOK, values.Bytes()},
		{"one value", request(wire.ValuesRequest{Checksum: sum, First: 1, Count: 1}), wire.StatusOK, values.Bytes()[32:64]},
		{"more values than there are", request(wire.ValuesRequest{Checksum: sum, First: 1, Count: 3}), wire.StatusOutOfRange, nil},
		{"values of another version", request(wire.ValuesRequest{Checksum: other, Count: 1}), wire.StatusChanged, nil},
		{"recheck", request(wire.RecheckRequest{Checksum: sum, Chunk: 2}), wire.StatusOK, []byte{}},
		{"recheck of no chunk", request(wire.RecheckRequest{Checksum: sum, Chunk: 3}), wire.StatusOutOfRange, nil},
		{"recheck of another version", request(wire.RecheckRequest{Checksum: other}), wire.StatusChanged, nil},
		{"selector", request(wire.StatRequest{Selector: "x"}), wire.StatusNotFound, nil},
		{"unknown type", []byte{9, 2, 0, 0}, wire.StatusUnsupported, nil},
		{"empty range", append([]byte{3, 36, 1}, make([]byte, 35)...), wire.StatusMalformed, nil},
		{"too long", []byte{1, 0x80, 0, 0x40, 1}, wire.StatusMalformed, nil},
		{"bytes behind it", append(rangeOf(sum, 0, 1), 0), wire.StatusMalformed, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				n := renamableOf(newSource(data))
				s := w.serve(n.file.Load(), 0, 1, serve.Config{Source: n})
				conn := w.dial(s.targets[0], 0)
				time.Sleep(time.Second) // it is hashed
				st := send(t, conn, test.ask)
				h, err := wire.ReadHeader(st)
				if err != nil || h.Status != test.status {
					t.Fatalf("reply = %v, %v, want %v", h.Status, err, test.status)
				}
				body, err := io.ReadAll(st)
				if err != nil || len(body) != h.Length || test.body != nil && !bytes.Equal(body, test.body) {
					t.Errorf("body of %d bytes, %v, want %d bytes as they are", len(body), err, h.Length)
				}
				if test.status != wire.StatusOK && len(body) > 1+wire.MaxTextLen {
					t.Errorf("a refusal of %d bytes", len(body))
				}
				conn.Close(0, "")
				time.Sleep(time.Second) // the server notices
				s.cancel()
				<-s.done
				if got := n.open.Load(); got != 0 {
					t.Errorf("%d files are open behind the end", got)
				}
			})
		})
	}
}

// The values come with the offer only if the client asked for them, and if the
// checksum does not say them already.
func TestInlineValues(t *testing.T) {
	for _, test := range []struct {
		size   int
		asked  bool
		inline bool
	}{{2 * chunk, false, false}, {2 * chunk, true, true}, {chunk, true, false}, {0, true, false}} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(test.size, 1)
			values, sum := hashes(data)
			s := w.holders(data)[0]
			conn := w.dial(s.targets[0], 0)
			defer conn.Close(0, "")
			time.Sleep(time.Second) // it is hashed
			st := send(t, conn, request(wire.StatRequest{Values: test.asked}))
			h, err := wire.ReadHeader(st)
			if err != nil {
				t.Fatal(err)
			}
			offer, err := wire.ReadOffer(st, h)
			if err != nil || offer.Checksum != sum || offer.Size != int64(test.size) || offer.Name != "data.bin" {
				t.Fatalf("offer = %+v, %v, want the file", offer, err)
			}
			rest, err := io.ReadAll(st)
			var want []byte
			if test.inline {
				want = hostile.Frame(wire.StatusOK, values.Bytes())
			}
			if err != nil || !bytes.Equal(rest, want) || (offer.ValuesLen > 0) != test.inline {
				t.Errorf("%+v: %d bytes behind the offer, %v, want %d", test, len(rest), err, len(want))
			}
		})
	}
}

// wantReset fails the test unless a stream ends with a code after a time.
func wantReset(t *testing.T, st transport.Stream, code wire.StreamCode, d time.Duration) {
	t.Helper()
	begun := time.Now()
	_, err := io.Copy(io.Discard, st)
	if got := streamCode(err); got != code {
		t.Errorf("the stream ended with %v, want a reset with code %d", err, code)
	}
	if took := time.Since(begun); took < d || took > d+time.Second {
		t.Errorf("after %v, want %v", took, d)
	}
}

// A request that does not end is not waited for.
func TestSlowRequest(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.holders(file(chunk, 1))[0]
		conn := w.dial(s.targets[0], 0)
		defer conn.Close(0, "")
		io.ReadAll(send(t, conn, request(wire.StatRequest{})))
		st, err := conn.OpenStream(t.Context(), transport.Patient)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		wantReset(t, st, wire.StreamStalled, serve.DefaultRequestTimeout)
	})
}

// A client that does not read its reply does not keep a buffer.
func TestClientThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.serve(newSource(data), 0, 1, serve.Config{})
		conn := w.dial(s.targets[0], 64<<10)
		defer conn.Close(0, "")
		time.Sleep(time.Second) // it is hashed
		st := send(t, conn, rangeOf(checksum(data), 0, 4*chunk))
		time.Sleep(serve.DefaultStallTimeout - time.Second)
		if s.run.Status().Servers[0].Ranges != 1 {
			t.Error("the range was given up too early")
		}
		// The first write made some progress, so that it takes a second
		// one to fail.
		time.Sleep(serve.DefaultStallTimeout + 2*time.Second)
		if s.run.Status().Servers[0].Ranges != 0 {
			t.Error("the range is still under way")
		}
		wantReset(t, st, wire.StreamStalled, 0)
	})
}

// A client may send any number of requests on one connection.
func TestManyRequests(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(1000, 1)
		s := w.holders(data)[0]
		conn := w.dial(s.targets[0], 0)
		defer conn.Close(0, "")
		time.Sleep(time.Second) // it is hashed
		for i := range 3 * transport.DefaultMaxStreams {
			st, err := conn.OpenStream(t.Context(), transport.Patient)
			if err != nil {
				t.Fatal(err)
			}
			ask := rangeOf(checksum(data), int64(i), 1)
			st.Write(ask)
			time.Sleep(20 * time.Millisecond) // the end travels by itself
			st.CloseWrite()
			b, err := io.ReadAll(st)
			if err != nil || len(b) != 3 || b[2] != data[i] {
				t.Fatalf("reply %d = %x, %v, want %x", i, b, err, data[i])
			}
		}
	})
}

// A server that is stopping finishes what is under way, and refuses what is
// new.
func TestStoppingRefusesRequests(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.holders(data)[0]
		slow(500<<10, s)
		conn := w.dial(s.targets[0], 0)
		time.Sleep(time.Second) // it is hashed
		long := send(t, conn, rangeOf(checksum(data), 0, 4*chunk))
		time.Sleep(500 * time.Millisecond) // it is under way
		s.cancel()
		time.Sleep(100 * time.Millisecond)
		h, err := wire.ReadHeader(send(t, conn, request(wire.StatRequest{})))
		if err != nil || h.Status != wire.StatusStopping {
			t.Errorf("reply = %v, %v, want that it is stopping", h.Status, err)
		}
		if got, err := hostile.ReadSpans(long, spansOf(checksum(data), 0, 4*chunk)); err != nil || !bytes.Equal(got[0].Data, data) {
			t.Errorf("%d bytes, %v, want the range whole", len(got[0].Data), err)
		}
		<-conn.Done()
		var peer *transport.PeerError
		if !errors.As(conn.Err(), &peer) || wire.CloseCode(peer.Code) != wire.CloseStopping {
			t.Errorf("the connection ended with %v, want that the server is stopping", conn.Err())
		}
		conn.Close(0, "")
	})
}

// spansOf are spans of one file: offset and length of each.
func spansOf(sum [32]byte, numbers ...int64) (spans []wire.Span) {
	for ; len(numbers) > 0; numbers = numbers[2:] {
		spans = append(spans, wire.Span{Checksum: sum, Offset: numbers[0], Length: numbers[1]})
	}
	return spans
}
