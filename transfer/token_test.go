package transfer

import (
	"context"
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
	wrongToken = "wrong-wrong-wrong-wrong-wroA"
)

// A token opens a server with the same token, and is no good with any other.
func TestToken(t *testing.T) {
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
			bubble(t, func(t *testing.T, w *world) {
				data := file(3*chunk, 1)
				var serve serve.Config
				cfg := getConfig{}
				if tt.server != "" {
					serve.Token = tokenOf(t, tt.server)
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

// proof is what shows the server of a connection that we hold a token.
func proof(c transport.Conn, token certs.Token) (*[32]byte, error) {
	exporter, err := certs.TokenExporter(c.TLS())
	if err != nil {
		return nil, err
	}
	p := token.Proof(exporter, certs.ClientRole)
	return &p, nil
}

// Before a hello with the token no request is answered, and a proof is worth
// nothing on another connection.
func TestTokenComesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.serve(newSource(data), 0, 1, serve.Config{Token: tokenOf(t, rightToken)})
		proofOf := func(c transport.Conn) (*[32]byte, error) { return proof(c, tokenOf(t, rightToken)) }
		ctx := context.Background()
		first := w.dial(s.targets[0], 0)
		stolen, err := proofOf(first)
		if err != nil {
			t.Fatal(err)
		}
		first.Close(0, "")
		for _, req := range []wire.Request{
			wire.Hello{}, wire.Hello{Proof: stolen}, wire.Hello{Proof: new([32]byte)},
			wire.RangeRequest{Checksum: checksum(data), Length: 1}, wire.ManifestRequest{Checksum: checksum(data)},
		} {
			conn := w.dial(s.targets[0], 0)
			st, err := conn.OpenStream(ctx, transport.Patient)
			if err != nil {
				t.Fatal(err)
			}
			if err := ask(st, req); err != nil {
				t.Fatal(err)
			}
			h, err := wire.ReadHeader(st)
			if err != nil || h.Status != wire.StatusDenied {
				t.Errorf("%T: %+v, %v; want it denied", req, h, err)
			}
			<-conn.Done() // the server hangs up
		}
	})
}

// A guess costs a connection, and the client is told at once that it was wrong.
// Those connections live no longer than silent ones. A client with the token
// notices nothing.
func TestHostileGuessesOfTheToken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.ready(data, serve.Config{Token: tokenOf(t, rightToken)})
		wrong := request(wire.Hello{Proof: new([32]byte)})
		began := time.Now()
		for n := range 20 {
			conn := w.attack(s.targets[0], 1, 0)
			send(t, conn, wrong)
			synctest.Wait()
			right, err := proof(conn, tokenOf(t, rightToken))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			if st, err := hostile.Send(t.Context(), conn, request(wire.Hello{Proof: right})); err == nil {
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
			conn := w.attack(s.targets[0], 1, 0)
			for range 10 {
				send(t, conn, wrong)
			}
			conns = append(conns, conn)
		}
		o := w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Token: tokenOf(t, rightToken)}})
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
