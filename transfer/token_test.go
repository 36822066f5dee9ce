package transfer

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

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

func TestToken(t *testing.T) {
	for _, tt := range []struct {
		name         string
		client       string
		server       string
		want         *DeniedError // nil: the file arrives
		servesAnyway bool
	}{
		{"none", "", "", nil, false},
		{"both", rightToken, rightToken, nil, false},
		{"wrong", wrongToken, rightToken, &DeniedError{Ours: true, Had: true, Text: "this server asks for a token"}, false},
		{"missing", "", rightToken, &DeniedError{Ours: true, Text: "this server asks for a token"}, false},
		{"server without", rightToken, "", &DeniedError{Had: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(3*chunk, 1)
				var serve ServeConfig
				cfg := GetConfig{}
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
				var denied *DeniedError
				r := o.report(s.targets[0])
				if KindOf(o.err) != KindIdentity || r.State != PeerRefused || !errors.As(r.Err, &denied) || *denied != *tt.want {
					t.Errorf("ended with %v, the server as %+v (%v), want %v", o.err, r, r.Err, tt.want)
				}
				if n := s.src.sent(); n > 0 {
					t.Errorf("%d bytes were read for a client without the token", n)
				}
			})
		})
	}
}

// Before a hello with the token nothing is answered, whatever is asked, and a
// proof is of no use on another connection.
func TestTokenComesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.serve(newSource(data), 0, 1, ServeConfig{Token: tokenOf(t, rightToken)})
		trust := Trust{Token: tokenOf(t, rightToken)}
		ctx := context.Background()
		first := w.dial(s.targets[0], 0)
		stolen, _, err := trust.hold(first)
		if err != nil {
			t.Fatal(err)
		}
		first.Close(0, "")
		for _, req := range []wire.Request{
			wire.Hello{}, wire.Hello{Proof: stolen}, wire.Hello{Proof: new([32]byte)},
			wire.RangeRequest{Checksum: checksum(data), Length: 1}, wire.ManifestRequest{Checksum: checksum(data)},
		} {
			conn := w.dial(s.targets[0], 0)
			st, err := conn.OpenStream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := ask(st, req, time.Now().Add(askTime)); err != nil {
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

// Who guesses gets one guess a connection, and is told at once that it was wrong; its
// connections do not outlive those that ask for nothing, and who holds the token notices
// nothing.
func TestHostileGuessesOfTheToken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.besieged(data, ServeConfig{Token: tokenOf(t, rightToken)})
		wrong := request(wire.Hello{Proof: new([32]byte)})
		began := time.Now()
		for n := range 20 {
			conn := w.raid(s.targets[0], 1, 0)
			send(t, conn, wrong)
			synctest.Wait()
			trust := Trust{Token: tokenOf(t, rightToken)}
			right, _, err := trust.hold(conn)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			if st, err := open(t, conn, request(wire.Hello{Proof: right})); err == nil {
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
		var conns []*transport.Conn
		for range 100 {
			conn := w.raid(s.targets[0], 1, 0)
			for range 10 {
				send(t, conn, wrong)
			}
			conns = append(conns, conn)
		}
		o := w.get(GetConfig{Targets: s.targets, Trust: Trust{Token: tokenOf(t, rightToken)}})
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
