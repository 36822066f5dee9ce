package transfer

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source/malcolm"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transport"
	"malcolm/wire"
)

func tokenOf(t *testing.T, text string) certs.Token {
	t.Helper()
	k, err := certs.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	rightToken = "right-right-right-right-rigA"
	nextToken  = "after-after-after-after-aftA"
	wrongToken = "wrong-wrong-wrong-wrong-wroA"
)

// A token opens a server with the same token, and is no good with any other.
func TestToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		client       string
		server       string
		want         *malcolm.DeniedError // nil: the file arrives
		servesAnyway bool
	}{
		{"none", "", "", nil, false},
		{"both", rightToken, rightToken, nil, false},
		{"wrong", wrongToken, rightToken, &malcolm.DeniedError{Ours: true, Had: true, Text: "this server asks for a token"}, false},
		{"missing", "", rightToken, &malcolm.DeniedError{Ours: true, Text: "this server asks for a token"}, false},
		{"server without", rightToken, "", &malcolm.DeniedError{Had: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				data := file(3*chunk, 1)
				var serve serve.Config
				cfg := getConfig{}
				if tt.server != "" {
					serve.Tokens = []certs.Token{tokenOf(t, tt.server)}
				}
				if tt.client != "" {
					cfg.Trust.Token = tokenOf(t, tt.client)
				}
				s := w.serve(newSource(data), 0, 2, serve)
				cfg.Targets = s.targets
				o := w.get(cfg)
				if tt.want == nil {
					o.has("data.bin", data)
					return
				}
				var denied *malcolm.DeniedError
				r := o.report(s.targets[0])
				if fetch.KindOf(o.err) != fetch.KindIdentity || r.State != fetch.StateRefused || !errors.As(r.Err, &denied) || *denied != *tt.want {
					t.Errorf("ended with %v, the server as %+v (%v), want %v", o.err, r, r.Err, tt.want)
				}
				if n := s.src.sent(); n > 0 {
					t.Errorf("%d bytes were read for a client without the token", n)
				}
			})
		})
	}
}

// Two tokens at a time both open a server, while one is changed for the other.
func TestTwoTokens(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.ready(data, serve.Config{Tokens: []certs.Token{tokenOf(t, rightToken), tokenOf(t, nextToken)}})
		for _, text := range []string{rightToken, nextToken} {
			w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Token: tokenOf(t, text)}}).has("data.bin", data)
		}
		o := w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Token: tokenOf(t, wrongToken)}})
		if fetch.KindOf(o.err) != fetch.KindIdentity {
			t.Errorf("a third token: %v", o.err)
		}
		if got := s.run.Status().Denied; got == 0 {
			t.Error("nobody was denied")
		}
	})
}

// proves is an open with the proof of a token for a connection.
func proves(c transport.Conn, token certs.Token) wire.Open {
	return hostile.OpenWith(c.TLS(), token)
}

// exported is an open with the proof of a token over what TLS exports for
// another context than the protocol's.
func exported(t *testing.T, c transport.Conn, token certs.Token, context string) wire.Open {
	state := c.TLS()
	exporter, err := state.ExportKeyingMaterial("EXPORTER-malcolm-auth", []byte(context), 32)
	must(t, err)
	p := token.Proof(exporter, certs.ClientRole)
	return wire.Open{Key: token.KeyName(), Proof: &p}
}

// badProofs are opens that prove nothing to a server with the right token and
// the next one; stolen is a good one of another connection.
func badProofs(t *testing.T, conn transport.Conn, stolen wire.Open) map[string]wire.Open {
	right, next, wrong := tokenOf(t, rightToken), tokenOf(t, nextToken), tokenOf(t, wrongToken)
	exporter, err := certs.TokenExporter(conn.TLS())
	must(t, err)
	mirrored := right.Proof(exporter, certs.ServerRole)
	return map[string]wire.Open{
		"no key":                       {},
		"wrong key name":               {Key: wrong.KeyName(), Proof: proves(conn, right).Proof},
		"name of the other key":        {Key: next.KeyName(), Proof: proves(conn, right).Proof},
		"wrong proof":                  {Key: right.KeyName(), Proof: proves(conn, wrong).Proof},
		"no proof in its place":        {Key: right.KeyName(), Proof: new([32]byte)},
		"wrong token":                  proves(conn, wrong),
		"proof of another connection":  stolen,
		"proof of the server's":        {Key: right.KeyName(), Proof: &mirrored},
		"proof for another protocol":   exported(t, conn, right, "malcolm/2"),
		"proof for no protocol":        exported(t, conn, right, ""),
		"name of zeros, and its proof": {Proof: proves(conn, right).Proof},
	}
}

// A connection without a valid proof gets one answer, the same whatever was
// wrong, and ends. No other request of it is answered.
func TestTokenComesFirst(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		right := tokenOf(t, rightToken)
		s := w.ready(data, serve.Config{Tokens: []certs.Token{tokenOf(t, nextToken), right}})
		first := w.unopened(s.targets[0], 1)
		stolen := proves(first, right)
		readOpened(t, send(t, first, append(request(exported(t, first, right, wire.ALPN)), request(wire.StatRequest{})...)))
		var same []byte
		for name := range badProofs(t, first, stolen) {
			conn := w.unopened(s.targets[0], 1)
			bad := append(request(badProofs(t, conn, stolen)[name]), request(wire.StatRequest{})...)
			st := send(t, conn, bad)
			var others []transport.Stream
			if !w.tcp.only { // there another stream would be the first of its own connection
				others = append(others, send(t, conn, rangeOf(checksum(data), 0, 1)),
					send(t, conn, append(request(proves(conn, right)), request(wire.StatRequest{})...)))
			}
			reply, err := io.ReadAll(st)
			if same == nil {
				same = reply
			}
			if refusal := readRefusal(t, bytes.NewReader(reply)); err != nil || refusal.Status != wire.StatusDenied || refusal.Wait != 0 || !bytes.Equal(reply, same) {
				t.Errorf("%s: %v, %v, %x, want that it is denied by %x", name, refusal, err, reply, same)
			}
			time.Sleep(time.Second)
			wantClosed(t, conn, wire.CloseDenied)
			for _, st := range others {
				if b, _ := io.ReadAll(st); len(b) > 0 {
					t.Errorf("%s: another stream is answered with %x", name, b)
				}
			}
		}
		if got := s.src.sent(); got != 0 {
			t.Errorf("%d bytes of the file were read", got)
		}
	})
}

// A guess costs a connection, and the client is told at once that it was wrong.
// Those connections live no longer than silent ones. A client with the token
// notices nothing.
func TestHostileGuessesOfTheToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		right := tokenOf(t, rightToken)
		s := w.ready(data, serve.Config{Tokens: []certs.Token{right}})
		wrong := append(request(wire.Open{Key: right.KeyName(), Proof: new([32]byte)}), request(wire.StatRequest{})...)
		began := time.Now()
		for n := range 20 {
			conn := w.unopened(s.targets[0], 1)
			send(t, conn, wrong)
			synctest.Wait()
			time.Sleep(50 * time.Millisecond)
			if st, err := hostile.Send(t.Context(), conn, append(request(proves(conn, right)), request(wire.StatRequest{})...)); err == nil {
				st.CloseWrite()
				if reply, _ := io.ReadAll(st); len(reply) > 0 {
					t.Fatalf("guess %d: a second one on its connection is answered with %x", n, reply)
				}
			}
			<-conn.Done()
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("20 guesses were answered after %v", took)
		}
		// All at once.
		began = time.Now()
		var conns []transport.Conn
		for range 100 {
			conn := w.unopened(s.targets[0], 1)
			for range 10 {
				send(t, conn, wrong)
			}
			conns = append(conns, conn)
		}
		o := w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Token: right}})
		o.has("data.bin", data)
		for _, conn := range conns {
			<-conn.Done()
			wantClosed(t, conn, wire.CloseDenied)
		}
		if took := time.Since(began); took > admission.DefaultOpenTime {
			t.Errorf("a connection without the token lived for %v", took)
		}
	})
}
