package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"
)

func TestStreamBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t)
		if got := client.TLS().NegotiatedProtocol; got != testALPN {
			t.Errorf("protocol = %q, want %q", got, testALPN)
		}
		if got, want := server.RemoteAddr().String(), "10.0.0.2:2"; got != want {
			t.Errorf("remote address = %s, want %s", got, want)
		}
		c, s := streams(t, client, server)
		data := bytes.Repeat([]byte("malcolm "), 100_000)
		go func() {
			s.Write(data)
			s.CloseWrite()
		}()
		peeked := make([]byte, 7)
		if _, err := c.Peek(peeked); err != nil || string(peeked) != "malcolm" {
			t.Errorf("peeked %q, %v", peeked, err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d bytes, %v, want %d", len(got), err, len(data))
		}
		if _, err := c.Peek(peeked); err != io.EOF {
			t.Errorf("peek at the end: %v, want io.EOF", err)
		}
		st := client.Stats()
		if st.MinRTT != testRTT || st.BytesReceived < uint64(len(data)) || st.PacketsReceived == 0 ||
			st.PacketsSent == 0 || st.BytesSent == 0 || st.SmoothedRTT < testRTT {
			t.Errorf("stats = %+v", st)
		}
		if client.Err() != nil || server.Err() != nil {
			t.Errorf("errors of live connections: %v, %v", client.Err(), server.Err())
		}
	})
}

func TestCloseCodes(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for _, tc := range []struct {
		name   string
		choose func(client, server Conn) (closing, other Conn)
	}{
		{"client", func(c, s Conn) (Conn, Conn) { return c, s }},
		{"server", func(c, s Conn) (Conn, Conn) { return s, c }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := pair(t)
				cs, ss := streams(t, client, server)
				closing, other := tc.choose(client, server)
				closing.Close(7, long+"cut off")
				wantLocal(t, closing.Err(), LocalClosed)
				<-other.Done()
				e := wantPeer(t, other.Err(), PeerClosed)
				if e.Code != 7 || e.Text != long {
					t.Errorf("code %d, text of %d bytes, want 7, %d", e.Code, len(e.Text), len(long))
				}
				mine, theirs := cs, ss
				if closing == server {
					mine, theirs = ss, cs
				}
				_, err := mine.Read(make([]byte, 1))
				wantLocal(t, err, LocalClosed)
				_, err = theirs.Read(make([]byte, 1))
				wantPeer(t, err, PeerClosed)
				_, err = theirs.Write(make([]byte, 1))
				wantPeer(t, err, PeerClosed)
				_, err = other.OpenStream(t.Context(), Patient)
				wantPeer(t, err, PeerClosed)
				_, err = other.AcceptStream(t.Context())
				wantPeer(t, err, PeerClosed)
				closing.Close(8, "again")
			})
		})
	}
}

func TestHostileTextIsQuoted(t *testing.T) {
	err := classify(&quic.ApplicationError{Remote: true, ErrorMessage: "\x1b[2J\xff" + strings.Repeat("y", 1000)})
	e := wantPeer(t, err, PeerClosed)
	if len(e.Text) != maxText {
		t.Errorf("text of %d bytes, want %d", len(e.Text), maxText)
	}
	if s := e.Error(); strings.ContainsRune(s, 0x1b) || strings.Contains(s, "\xff") || !strings.Contains(s, `\x1b`) {
		t.Errorf("error text not quoted: %q", s)
	}
}

func TestStreamCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t)

		c, s := streams(t, client, server)
		s.CancelWrite(41)
		_, err := c.Read(make([]byte, 1))
		if e := wantPeer(t, err, PeerReset); e.Code != 41 {
			t.Errorf("reset code = %d, want 41", e.Code)
		}
		_, err = s.Write([]byte{1})
		wantLocal(t, err, LocalCanceled)
		wantLocal(t, s.CloseWrite(), LocalCanceled)

		c, s = streams(t, client, server)
		c.CancelRead(42, LeftUnknown)
		<-s.Done()
		_, err = s.Write([]byte{1})
		if e := wantPeer(t, err, PeerStopped); e.Code != 42 {
			t.Errorf("stop code = %d, want 42", e.Code)
		}
		wantPeer(t, s.CloseWrite(), PeerStopped)
		_, err = c.Read(make([]byte, 1))
		wantLocal(t, err, LocalCanceled)

		c, _ = streams(t, client, server)
		c.SetReadDeadline(time.Now().Add(time.Second))
		_, err = c.Read(make([]byte, 1))
		wantLocal(t, err, LocalDeadline)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		_, err = c.Write(make([]byte, 2*serverConnWindow))
		wantLocal(t, err, LocalDeadline)
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		_, err = c.Write([]byte{1})
		wantLocal(t, err, LocalClosed)
	})
}

func TestOpenStreamWaitsForTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t)
		for range DefaultMaxStreams {
			if _, err := client.OpenStream(t.Context(), Patient); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.OpenStream(ctx, Patient)
		wantLocal(t, err, LocalCanceled)
	})
}

func TestHostileServerStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server := pair(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := server.OpenStream(ctx, Patient)
		wantLocal(t, err, LocalCanceled)
	})
}

func TestServerWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t)
		var total int
		for range 8 {
			s, err := client.OpenStream(t.Context(), Patient)
			if err != nil {
				t.Fatal(err)
			}
			s.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := s.Write(make([]byte, serverConnWindow))
			wantLocal(t, err, LocalDeadline)
			if n > serverStreamWindow {
				t.Errorf("a stream took %d bytes, want at most %d", n, serverStreamWindow)
			}
			total += n
		}
		if total != serverConnWindow {
			t.Errorf("the connection took %d bytes, want %d", total, serverConnWindow)
		}
	})
}

// sessions counts the session tickets that a client got.
type sessions struct{ tls.ClientSessionCache }

func (s *sessions) Put(key string, cs *tls.ClientSessionState) {
	if cs != nil {
		panic("a session ticket")
	}
}
func (s *sessions) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func TestNoSessionTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		withCache := clientTLS()
		withCache.ServerName = "server"
		withCache.ClientSessionCache = &sessions{}

		// A listener gives no ticket to any client ...
		l := serve(t, n.conn(1, 1), ListenOptions{})
		tr := &quic.Transport{Conn: n.conn(2, 2)}
		defer tr.Close()
		c, err := tr.Dial(t.Context(), l.Addr(), withCache, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c.CloseWithError(0, "")

		// ... and our client takes no ticket from any server.
		other := &quic.Transport{Conn: n.conn(3, 3)}
		defer other.Close()
		if _, err := other.Listen(serverTLS(), nil); err != nil {
			t.Fatal(err)
		}
		mustDial(t, n.conn(4, 4), other.Conn.LocalAddr(), DialOptions{TLS: withCache})
		time.Sleep(time.Second)
	})
}

func TestNoCommonProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		conf := clientTLS()
		conf.NextProtos = []string{"h3"}
		_, err := dial(n.conn(2, 2), l.Addr(), DialOptions{TLS: conf})
		wantPeer(t, err, PeerNoALPN)
	})
}

func TestAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		tr := &quic.Transport{Conn: n.conn(1, 1)}
		defer tr.Close()
		if _, err := tr.Listen(serverTLS(), &quic.Config{Versions: []quic.Version{quic.Version2}}); err != nil {
			t.Fatal(err)
		}
		_, err := dial(n.conn(2, 2), tr.Conn.LocalAddr(), DialOptions{})
		wantPeer(t, err, PeerVersion)
	})
}

func TestVerificationRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		conf := clientTLS()
		want := &net.ParseError{Type: "identity"} // any type of the caller's
		conf.VerifyConnection = func(tls.ConnectionState) error { return want }
		_, err := dial(n.conn(2, 2), l.Addr(), DialOptions{TLS: conf})
		wantLocal(t, err, LocalRefused)
		if got, ok := errors.AsType[*net.ParseError](err); !ok || got != want {
			t.Errorf("the error of VerifyConnection is lost in %v", err)
		}
	})
}

// closeSpy records that a socket was closed.
type closeSpy struct {
	net.PacketConn
	closed bool
}

func (c *closeSpy) Close() error { c.closed = true; return c.PacketConn.Close() }

func TestDialRefusesOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noVerify, noALPN := clientTLS(), clientTLS()
		noVerify.VerifyConnection = nil
		noALPN.NextProtos = nil
		n := newNetwork(t)
		for name, o := range map[string]DialOptions{
			"no tls":          {},
			"no verification": {TLS: noVerify},
			"no protocol":     {TLS: noALPN},
			"stream window":   {TLS: clientTLS(), StreamWindow: -1},
			"conn window":     {TLS: clientTLS(), ConnWindow: -1},
		} {
			spy := &closeSpy{PacketConn: n.conn(2, 2)}
			_, err := Dial(t.Context(), spy, spy.LocalAddr(), o)
			wantLocal(t, err, LocalConfig)
			if !spy.closed {
				t.Errorf("%s: the socket is still open", name)
			}
		}
		for name, o := range map[string]ListenOptions{
			"no tls":      {},
			"no protocol": {TLS: &tls.Config{Certificates: []tls.Certificate{testCert}}},
			"streams":     {TLS: serverTLS(), MaxStreams: -1},
		} {
			spy := &closeSpy{PacketConn: n.conn(1, 1)}
			_, err := Listen(spy, o)
			wantLocal(t, err, LocalConfig)
			if !spy.closed {
				t.Errorf("%s: the socket is still open", name)
			}
		}
	})
}

func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		spy := &closeSpy{PacketConn: n.conn(2, 2)}
		start := time.Now()
		_, err := dial(spy, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 9).To4(), Port: 9}, DialOptions{})
		wantNetwork(t, err, NoAnswer)
		if got, want := time.Since(start), 5*time.Second; got != want {
			t.Errorf("gave up after %v, want %v", got, want)
		}
		if !spy.closed {
			t.Error("the socket is still open")
		}
	})
}

// TestSlowAnswer: a server that sent packets, but completed no handshake, is
// told from a silent one.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		var sent atomic.Int64
		drop := func(p simnet.Packet) bool { return p.From.String() == "10.0.0.1:1" && sent.Add(1) > 1 }
		n.drop.Store(&drop)
		_, err := dial(n.conn(2, 2), l.Addr(), DialOptions{})
		wantNetwork(t, err, SlowAnswer)
		if sent.Load() < 2 {
			t.Error("nothing was dropped")
		}
	})
}

func TestNoAnswerWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		_, err := Dial(context.Background(), n.conn(2, 2),
			&net.UDPAddr{IP: net.IPv4(10, 0, 0, 9).To4(), Port: 9}, DialOptions{TLS: clientTLS()})
		wantNetwork(t, err, NoAnswer)
	})
}

func TestDialCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough servers")
		time.AfterFunc(time.Second, func() { cancel(why) })
		_, err := Dial(ctx, n.conn(2, 2), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 9).To4(), Port: 9},
			DialOptions{TLS: clientTLS()})
		wantLocal(t, err, LocalCanceled)
		if !errors.Is(err, why) {
			t.Errorf("the cause is lost in %v", err)
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		pc := &closeSpy{PacketConn: n.conn(2, 2)}
		client := mustDial(t, pc, l.Addr(), DialOptions{})
		server := mustAccept(t, l)
		time.Sleep(2 * serverIdle)
		if client.Err() != nil || server.Err() != nil {
			t.Fatalf("keep-alive did not keep alive: %v, %v", client.Err(), server.Err())
		}
		var dropped atomic.Int64
		drop := func(simnet.Packet) bool { dropped.Add(1); return true }
		n.drop.Store(&drop)
		start := time.Now()
		<-client.Done()
		wantNetwork(t, client.Err(), IdleTimeout)
		if got := time.Since(start); got < clientIdle || got > clientIdle+2*keepAlive {
			t.Errorf("the client gave up after %v, want about %v", got, clientIdle)
		}
		<-server.Done()
		wantNetwork(t, server.Err(), IdleTimeout)
		if dropped.Load() == 0 {
			t.Error("nothing was dropped")
		}
		synctest.Wait()
		if !pc.closed {
			t.Error("the socket is still open although nobody called Close")
		}
	})
}

func TestRestartedServer(t *testing.T) {
	for _, tc := range []struct {
		name       string
		first, new [32]byte
		noticed    bool
	}{
		{"same key", [32]byte{1}, [32]byte{1}, true},
		{"other key", [32]byte{1}, [32]byte{2}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				l := serve(t, n.conn(1, 1), ListenOptions{ResetKey: tc.first})
				client := mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{})
				mustAccept(t, l)
				time.Sleep(10 * time.Second)
				l.Close()
				serve(t, n.conn(1, 1), ListenOptions{ResetKey: tc.new})

				start := time.Now()
				<-client.Done()
				took := time.Since(start)
				if tc.noticed {
					wantPeer(t, client.Err(), PeerRestarted)
				} else {
					wantNetwork(t, client.Err(), IdleTimeout)
				}
				if got := took < 2*time.Second; got != tc.noticed {
					t.Errorf("the connection ended after %v", took)
				}
			})
		})
	}
}

func TestResetKeyDiffersByPort(t *testing.T) {
	a := resetKey([32]byte{1}, &net.UDPAddr{Port: 1})
	if b := resetKey([32]byte{1}, &net.UDPAddr{Port: 2}); a == b {
		t.Error("two ports share a key")
	}
	if b := resetKey([32]byte{1}, &net.UDPAddr{Port: 1, IP: net.IPv6loopback}); a != b {
		t.Error("the key of a port changed with its address")
	}
}

func TestStopAccepting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		client := mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{})
		server := mustAccept(t, l)
		waiting := mustDial(t, n.conn(3, 3), l.Addr(), DialOptions{})
		time.Sleep(testRTT) // the server completes the handshake after the client

		l.StopAccepting()
		mustAccept(t, l).Close(3, "stopping")
		<-waiting.Done()
		wantPeer(t, waiting.Err(), PeerClosed)
		_, err := l.Accept(t.Context())
		wantLocal(t, err, LocalClosed)
		_, err = dial(n.conn(4, 4), l.Addr(), DialOptions{})
		wantNetwork(t, err, NoAnswer)

		streams(t, client, server) // still works
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantLocal(t, server.Err(), LocalClosed)
	})
}
