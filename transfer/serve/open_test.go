package serve

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/wire"
)

// readRefusal reads a reply that is a refusal and nothing else.
func readRefusal(t *testing.T, reply []byte) *wire.Refusal {
	t.Helper()
	r := bytes.NewReader(reply)
	h, err := wire.ReadHeader(r)
	if err != nil {
		t.Fatalf("reply %x: %v", reply, err)
	}
	var refusal *wire.Refusal
	if !errors.As(wire.ReadRefusal(r, h), &refusal) || r.Len() > 0 {
		t.Fatalf("reply %x is no refusal", reply)
	}
	return refusal
}

// opened reads what begins the reply on a connection's first stream.
func opened(t *testing.T, r io.Reader) wire.Opened {
	t.Helper()
	h, err := wire.ReadHeader(r)
	if err != nil || h.Status != wire.StatusOK {
		t.Fatalf("open is answered %v, %v", h.Status, err)
	}
	o, err := wire.ReadOpened(r, h)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// The first stream opens the connection and goes on with a request. Its reply
// says the limits, then the offer, then the values of a file of several chunks.
func TestOpen(t *testing.T) {
	for _, chunks := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			data := filled(chunks*oneChunk, 7)
			w := newWorld(t, newMemFile(data), Config{Limits: Limits{Streams: 32, Wasted: 5}})
			time.Sleep(time.Second) // hashed
			c := w.dial()
			request := wire.AppendRequest(wire.AppendRequest(nil, wire.Open{Run: [16]byte{1}, Tail: wire.Idle()}), wire.StatRequest{Selector: "data", Values: true})
			r := bytes.NewReader(c.ask(true, unread, true, request).end())
			o := opened(t, r)
			if want := (wire.Limits{Streams: 31, Flight: 2 << 30, Longest: 1 << 30, Wasted: 5}); o.Limits != want || o.Proof != nil || len(o.Tail) != 1 {
				t.Errorf("opened with %+v, want the limits %+v, no proof and a tail", o, want)
			}
			h, err := wire.ReadHeader(r)
			if err != nil || h.Status != wire.StatusOK {
				t.Fatalf("stat is answered %v, %v", h.Status, err)
			}
			offer, err := wire.ReadOffer(r, h)
			if err != nil || offer.Kind != wire.KindFile || offer.Size != int64(len(data)) || offer.Name != "data" || offer.Checksum != sumOf(data) || len(offer.Tail) != 1 {
				t.Fatalf("offer = %+v, %v", offer, err)
			}
			if chunks == 3 {
				values, err := wire.ReadValues(r, 3)
				if err != nil || offer.ValuesLen != 3*wire.ValueLen || values.At(1) != sumOfChunk(data, 1) {
					t.Errorf("values of %d bytes: %v", offer.ValuesLen, err)
				}
			} else if offer.ValuesLen != 0 {
				t.Error("values that say no more than the checksum")
			}
			if r.Len() > 0 {
				t.Errorf("%d bytes more", r.Len())
			}
		})
	}
}

// Nothing of another stream is read before the connection was opened. Without
// that it ends, whatever else is sent.
func TestNothingBeforeOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newMemFile(filled(1, 1)), Config{Limits: Limits{RequestTimeout: time.Hour}})
		c := w.dial()
		first := c.ask(true, unread, false, wire.AppendRequest(nil, wire.Open{})[:5])
		other := c.request(wire.StatRequest{})
		time.Sleep(admission.DefaultOpenTime - time.Second)
		if other.read > 0 || len(other.reply) > 0 {
			t.Error("another stream is read before the connection was opened")
		}
		first.change(func() { first.asked = wire.AppendRequest(nil, wire.Open{})[5:] })
		synctest.Wait()
		if len(other.end()) == 0 {
			t.Error("it is not answered then")
		}
		time.Sleep(time.Minute)
		if isClosed(c.done) {
			t.Errorf("an opened connection is closed with code %d", c.code)
		}

		began := time.Now()
		c = w.dial()
		for range 20 {
			c.request(wire.StatRequest{})
		}
		c.ask(true, unread, false, []byte{0})
		<-c.done
		if got := time.Since(began); got != admission.DefaultOpenTime || c.code != wire.CloseLimit {
			t.Errorf("closed after %v with code %d, want after %v with limit", got, c.code, admission.DefaultOpenTime)
		}
	})
}

// A first request that is not open is malformed, and ends the connection.
func TestFirstRequestMustBeOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newMemFile(filled(1, 1)), Config{})
		c := w.dial()
		reply := c.ask(true, unread, true, wire.AppendRequest(nil, wire.StatRequest{})).end()
		if refusal := readRefusal(t, reply); refusal.Status != wire.StatusMalformed {
			t.Errorf("refused with %v", refusal)
		}
		if <-c.done; c.code != wire.CloseProtocol {
			t.Errorf("closed with code %d", c.code)
		}
	})
}

// handshake returns both ends' states of a TLS connection.
func handshake(t *testing.T) (client, server tls.ConnectionState) {
	t.Helper()
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	conf, err := id.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c, s := tls.Client(a, certs.ClientTLS(wire.ALPN, nil)), tls.Server(b, conf)
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState()
}

func token(t *testing.T, s string) certs.Token {
	t.Helper()
	tok, err := certs.ParseToken(s)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// A server holds two tokens, and proves the one that the client has. A client
// that has neither gets the same answer, whatever is wrong, and its connection
// ends.
func TestTokens(t *testing.T) {
	one, two, other := token(t, "the first token of this server"), token(t, "the second token of this server"), token(t, "a token of another server")
	client, server := handshake(t)
	exporter, err := certs.TokenExporter(client)
	if err != nil {
		t.Fatal(err)
	}
	proof := func(tok certs.Token) *[32]byte { p := tok.Proof(exporter, certs.ClientRole); return &p }
	mirrored := one.Proof(exporter, certs.ServerRole)
	var denied []byte
	for _, test := range []struct {
		name string
		open wire.Open
		by   certs.Token // zero: denied
	}{
		{"the first", wire.Open{Key: one.KeyName(), Proof: proof(one)}, one},
		{"the second", wire.Open{Key: two.KeyName(), Proof: proof(two)}, two},
		{"none", wire.Open{}, certs.Token{}},
		{"another", wire.Open{Key: other.KeyName(), Proof: proof(other)}, certs.Token{}},
		{"a wrong proof", wire.Open{Key: one.KeyName(), Proof: proof(other)}, certs.Token{}},
		{"the server's proof", wire.Open{Key: one.KeyName(), Proof: &mirrored}, certs.Token{}},
		{"a wrong name", wire.Open{Key: other.KeyName(), Proof: proof(one)}, certs.Token{}},
		{"the other's name", wire.Open{Key: two.KeyName(), Proof: proof(one)}, certs.Token{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, newMemFile(filled(1, 1)), Config{Tokens: []certs.Token{one, two}})
				c := w.dial()
				c.state = server
				began := time.Now()
				st := c.ask(true, unread, true, wire.AppendRequest(wire.AppendRequest(nil, test.open), wire.StatRequest{}))
				reply := st.end()
				if test.by.IsZero() {
					if refusal := readRefusal(t, reply); refusal.Status != wire.StatusDenied || refusal.Wait != 0 || time.Since(began) != 0 {
						t.Errorf("refused with %v after %v, want denied at once", refusal, time.Since(began))
					}
					if denied == nil {
						denied = reply
					}
					if !bytes.Equal(reply, denied) {
						t.Errorf("answered %x, others %x", reply, denied)
					}
					second := c.ask(false, unread, true, wire.AppendRequest(nil, wire.StatRequest{}))
					if <-c.done; c.code != wire.CloseDenied || w.srv.Status().Denied != 1 || second.read > 0 {
						t.Errorf("closed with code %d, %d denied, %d bytes of another stream read", c.code, w.srv.Status().Denied, second.read)
					}
					return
				}
				o := opened(t, bytes.NewReader(reply))
				if !test.by.Verify(exporter, certs.ServerRole, o.Proof) {
					t.Error("the server does not prove the client's token")
				}
			})
		})
	}
}

// Tokens that would protect nothing are refused.
func TestTokensAreChecked(t *testing.T) {
	tok := token(t, "the first token of this server")
	for _, tokens := range [][]certs.Token{{{}}, {tok, {}}, {tok, tok, tok}} {
		if _, err := NewServer(Config{Tokens: tokens}); err == nil {
			t.Errorf("%d tokens are taken", len(tokens))
		}
	}
}
