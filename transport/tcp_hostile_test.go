package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// rawClient returns a TLS connection by hand, whose other end is a listener.
func rawClient(t *testing.T, m *memory) *tls.Conn {
	c, err := m.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := tls.Client(c, clientTLS())
	if err := raw.Handshake(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return raw
}

// rawServer answers a client's link by hand.
func rawServer(t *testing.T) (client Conn, raw *tls.Conn) {
	m := newMemory()
	done := make(chan *tls.Conn)
	go func() {
		c, err := m.Accept()
		if err != nil {
			close(done)
			return
		}
		t.Cleanup(func() { c.Close() })
		raw := tls.Server(c, serverTLS())
		raw.Handshake()
		done <- raw
	}()
	client = mustDialTCP(t, m.dial, DialOptions{})
	return client, <-done
}

// garbageSegments are what no peer may send, whatever it was asked for.
var garbageSegments = map[string][]byte{
	"too long":          quicvarint.Append(nil, maxSegment+1),
	"long varint":       {0x40, 1},
	"long kind":         {0, 0x40, 0},
	"unknown kind":      {0, 3},
	"text that is long": append([]byte{0, 2, 7}, quicvarint.Append(nil, maxText+1)...),
	"huge":              bytes.Repeat([]byte{255}, 8),
}

func TestTCPGarbageToAServer(t *testing.T) {
	garbage := map[string][]byte{
		"two requests ahead": {1, 'a', 0, 0, 1, 'b', 0, 0, 1, 'c'},
		"resets without end": bytes.Repeat([]byte{0, 1, 5}, 3),
	}
	for name, b := range garbageSegments {
		garbage[name] = b
		garbage[name+" behind bytes"] = append([]byte{1, 'a'}, b...)
	}
	for name, b := range garbage {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				l := serveTCP(t, m, ListenOptions{})
				raw := rawClient(t, m)
				server := mustAccept(t, l)
				raw.Write(b)
				<-server.Done()
				wantPeer(t, server.Err(), PeerProtocol)
			})
		})
	}
}

func TestTCPGarbageToAClient(t *testing.T) {
	garbage := map[string][]byte{
		"bytes":     {1, 'a'},
		"an end":    {0, 0},
		"a reset":   {0, 1, 5},
		"no record": nil,
	}
	for name, b := range garbageSegments {
		garbage[name] = b
	}
	for name, b := range garbage {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, raw := rawServer(t)
				if b == nil {
					raw.NetConn().Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				} else {
					raw.Write(b)
				}
				<-client.Done()
				wantPeer(t, client.Err(), PeerProtocol)
			})
		})
	}
	for name, b := range garbageSegments {
		t.Run("asked: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, raw := rawServer(t)
				go io.Copy(io.Discard, raw)
				st := asking(t, client, Patient, "x")
				raw.Write(append([]byte{2, 'a', 'b'}, b...))
				got, err := io.ReadAll(st)
				if e := wantPeer(t, err, PeerProtocol); string(got) != "ab" || e.Error() == "" {
					t.Errorf("%q, %v", got, err)
				}
				<-client.Done()
			})
		})
	}
}

// A server that ends its side within a reply ends the reply, and each that
// waits behind it. A client that ends its side ends its requests.
func TestTCPHalfClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, raw := rawServer(t)
		go io.Copy(io.Discard, raw)
		st, ahead := asking(t, client, Patient, "x"), asking(t, client, Patient, "y")
		raw.Write([]byte{2, 'a', 'b', 9, 'c'})
		raw.CloseWrite()
		got, err := io.ReadAll(st)
		if wantPeer(t, err, PeerRestarted); string(got) != "abc" {
			t.Errorf("read %q, want what has come", got)
		}
		if _, err := ahead.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("the reply behind it: %v", err)
		}
		<-client.Done()
	})
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := serveTCP(t, m, ListenOptions{})
		raw := rawClient(t, m)
		server := mustAccept(t, l)
		raw.Write([]byte{3, 'a', 'b', 'c', 0, 0})
		st, err := server.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		raw.CloseWrite()
		<-server.Done()
		wantPeer(t, server.Err(), PeerRestarted)
		if _, err := st.Write([]byte("reply")); err == nil {
			t.Error("a reply is written to a client that has gone")
		}
	})
}

// A message may come in any pieces, also with deadlines between them.
func TestTCPPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, raw := rawServer(t)
		go io.Copy(io.Discard, raw)
		st := asking(t, client, Patient, "x")
		b := append([]byte{3, 'a', 'b', 'c', 1, 'd'}, quicvarint.Append(nil, 70)...)
		b = append(append(b, bytes.Repeat([]byte{'e'}, 70)...), 0, 1, 0x40, 0x60)
		var got []byte
		for i, one := range b {
			raw.Write([]byte{one})
			st.SetReadDeadline(time.Now().Add(time.Second))
			p := make([]byte, 10)
			n, err := st.Read(p)
			got = append(got, p[:n]...)
			if i == len(b)-1 {
				if e := wantPeer(t, err, PeerReset); e.Code != 0x60 {
					t.Errorf("code %d", e.Code)
				}
			} else if err != nil {
				wantLocal(t, err, LocalDeadline)
			}
		}
		if want := "abcd" + strings.Repeat("e", 70); string(got) != want {
			t.Errorf("read %q, want %q", got, want)
		}
	})
}

// A read behind a peek brings all that is there, and the end comes after it.
func TestTCPReadBehindPeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answered(t, ListenOptions{}, func(_ Conn, st Stream, _ string) {
			st.Write([]byte("abc"))
			st.Write([]byte("def"))
			st.CloseWrite()
		})
		c := mustDialTCP(t, s.dial, DialOptions{})
		st := asking(t, c, Patient, "x")
		synctest.Wait()
		b := make([]byte, 10)
		for range 2 {
			if n, err := st.Peek(b[:1]); n != 1 || err != nil || b[0] != 'a' {
				t.Fatalf("peeked %q, %v", b[:n], err)
			}
		}
		if n, err := st.Read(b); string(b[:n]) != "abcdef" || err != nil {
			t.Errorf("read %q, %v, want all", b[:n], err)
		}
		if n, err := st.Read(b); n != 0 || err != io.EOF {
			t.Errorf("read %d bytes, %v at the end", n, err)
		}
	})
}

// What a client sends of a request without being read is bounded.
func TestTCPRequestIsBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		drop bool
		most int
	}{"unread": {false, requestBuffer}, "dropped": {true, requestRest}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server, _ := tcpPair(t)
				c, s := streams(t, client, server)
				if tt.drop {
					s.CancelRead(1, LeftUnknown)
				}
				c.SetWriteDeadline(time.Now().Add(time.Second))
				total := 0
				var err error
				for err == nil && total < 10<<20 {
					var n int
					n, err = c.Write(make([]byte, 8<<10))
					total += n
				}
				// Both sockets and both buffers hold something.
				if most := tt.most + memorySocket + 2*pipeBuffer; err == nil || total > most {
					t.Errorf("took %d bytes, %v, want at most %d", total, err, most)
				}
				if tt.drop {
					<-server.Done()
					wantPeer(t, server.Err(), PeerProtocol)
				}
			})
		})
	}
}

// Close does not wait for a client that does not read.
func TestTCPCloseOfAStalledClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, _ := tcpPair(t)
		_, s := streams(t, client, server)
		wrote := make(chan error)
		go func() {
			_, err := s.Write(make([]byte, 1<<20))
			wrote <- err
		}()
		synctest.Wait()
		start := time.Now()
		server.Close(4, "")
		if err := <-wrote; !isLocal(err, LocalClosed) {
			t.Errorf("the pending write: %v", err)
		}
		if took := time.Since(start); took > soon {
			t.Errorf("closing took %v", took)
		}
		client.Close(0, "")
	})
}

// A server that does not answer is told from one that does.
func TestTCPNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := dialTCP(func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, DialOptions{})
		wantNetwork(t, err, NoAnswer)
		silent := newMemory()
		go silent.Accept()
		_, err = dialTCP(silent.dial, DialOptions{})
		wantNetwork(t, err, SlowAnswer)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		go silent.Accept()
		_, err = DialTCP(ctx, silent.dial, memoryAddr, DialOptions{TLS: clientTLS()})
		wantLocal(t, err, LocalCanceled)
	})
}

// What answers and is no server of ours.
func TestTCPSomethingElse(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(c net.Conn)
		want   PeerKind
	}{
		"http": {func(c net.Conn) {
			c.Read(make([]byte, 1))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}, PeerNoALPN},
		"ssh": {func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n") }, PeerNoALPN},
		"end": {func(c net.Conn) { c.Read(make([]byte, 1)); c.Close() }, PeerRefused},
		"https": {func(c net.Conn) {
			tls.Server(c, &tls.Config{Certificates: []tls.Certificate{testCert}}).Handshake()
		}, PeerNoALPN},
		"tls 1.2": {func(c net.Conn) {
			tls.Server(c, &tls.Config{Certificates: []tls.Certificate{testCert}, MaxVersion: tls.VersionTLS12}).Handshake()
		}, PeerTLS},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				go func() {
					if c, err := m.Accept(); err == nil {
						tt.answer(c)
						io.Copy(io.Discard, c)
					}
				}()
				_, err := dialTCP(m.dial, DialOptions{})
				wantPeer(t, err, tt.want)
			})
		})
	}
}

func TestTCPClientWithoutProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := serveTCP(t, m, ListenOptions{})
		c, err := m.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conf := clientTLS()
		conf.NextProtos = nil
		raw := tls.Client(c, conf)
		raw.Handshake()
		if _, err := raw.Read(make([]byte, 1)); err == nil {
			t.Error("the server answers")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Accept(ctx); err == nil {
			t.Error("the server took it")
		}
	})
}
