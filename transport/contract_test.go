package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func inBubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

// bothWays is a server and its clients over QUIC or over TCP.
type bothWays struct {
	t *testing.T
	p Protocol

	n *network
	m *memory
	l Listener
}

// listen begins to serve.
func (w *bothWays) listen(o ListenOptions) Listener {
	if w.p == TCP {
		w.m = newMemory()
		w.l = serveTCP(w.t, w.m, o)
	} else {
		w.n = newNetwork(w.t)
		w.l = serve(w.t, w.n.conn(1, 1), o)
	}
	return w.l
}

// dial connects client number i.
func (w *bothWays) dial(i byte, o DialOptions) (Conn, error) {
	if w.p == TCP {
		return dialTCP(w.m.dial, o)
	}
	return dial(w.n.conn(i, 2), w.l.Addr(), o)
}

// pair returns both ends of a connection.
func (w *bothWays) pair() (client, server Conn) {
	w.listen(ListenOptions{})
	client, err := w.dial(2, DialOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { client.Close(0, "") })
	return client, mustAccept(w.t, w.l)
}

func TestContractStreams(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		client, server := w.pair()
		if client.Protocol() != w.p || server.Protocol() != w.p || client.TLS().NegotiatedProtocol != testALPN {
			t.Errorf("%v, %v, %q", client.Protocol(), server.Protocol(), client.TLS().NegotiatedProtocol)
		}
		for i := range 3 {
			c, s := streams(t, client, server)
			if c.First() != (i == 0) || s.First() != (i == 0) {
				t.Errorf("stream %d is the first: %v, %v", i, c.First(), s.First())
			}
			data := bytes.Repeat([]byte("malcolm "), 100_000)
			go func() {
				defer s.Release()
				if rest, err := io.ReadAll(s); len(rest) != 0 || err != nil {
					t.Errorf("the rest of the request is %q, %v", rest, err)
				}
				s.Write(data)
				s.CloseWrite()
			}()
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
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
			if _, err := c.Write(data); !isLocal(err, LocalClosed) {
				t.Errorf("write after the end: %v", err)
			}
		}
		if client.Err() != nil || server.Err() != nil {
			t.Errorf("errors of live connections: %v, %v", client.Err(), server.Err())
		}
	})
}

func TestContractCloseCodes(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for name, choose := range map[string]func(client, server Conn) (closing, other Conn){
		"client": func(c, s Conn) (Conn, Conn) { return c, s },
		"server": func(c, s Conn) (Conn, Conn) { return s, c },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, w *bothWays) {
				client, server := w.pair()
				cs, ss := streams(t, client, server)
				closing, other := choose(client, server)
				closing.Close(7, long+"cut off")
				wantLocal(t, closing.Err(), LocalClosed)
				mine, theirs := cs, ss
				if closing == server {
					mine, theirs = ss, cs
				}
				_, err := mine.Read(make([]byte, 1))
				wantLocal(t, err, LocalClosed)
				_, err = theirs.Read(make([]byte, 1))
				if e := wantPeer(t, err, PeerClosed); e.Code != 7 || e.Text != long {
					t.Errorf("code %d, text of %d bytes, want 7, %d", e.Code, len(e.Text), len(long))
				}
				<-other.Done()
				wantPeer(t, other.Err(), PeerClosed)
				<-theirs.Done()
				_, err = theirs.Write([]byte{1})
				wantPeer(t, err, PeerClosed)
				_, err = client.OpenStream(t.Context(), Patient)
				if err == nil {
					t.Error("a stream was opened on a closed connection")
				}
			})
		})
	}
}

func TestContractResets(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		client, server := w.pair()
		c, s := streams(t, client, server)
		c.CancelWrite(41)
		_, err := s.Read(make([]byte, 1))
		if e := wantPeer(t, err, PeerReset); e.Code != 41 {
			t.Errorf("reset code = %d, want 41", e.Code)
		}
		wantLocal(t, c.CloseWrite(), LocalCanceled)
		<-c.Done()
		s.Write([]byte("ab"))
		s.CancelWrite(42)
		_, err = io.ReadAll(c)
		if e := wantPeer(t, err, PeerReset); e.Code != 42 {
			t.Errorf("reset code = %d, want 42", e.Code)
		}
		streams(t, client, server) // the connection lives
	})
}

func TestContractDeadlines(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		client, server := w.pair()
		c, s := streams(t, client, server)
		for _, st := range []Stream{c, s} {
			start := time.Now()
			st.SetReadDeadline(start.Add(time.Second))
			_, err := st.Read(make([]byte, 1))
			wantLocal(t, err, LocalDeadline)
			if took := time.Since(start); took != time.Second {
				t.Errorf("the deadline took %v", took)
			}
			st.SetReadDeadline(time.Time{})
		}
		// One that moves while a call is pending.
		time.AfterFunc(time.Second, func() { c.SetReadDeadline(time.Now().Add(time.Second)) })
		start := time.Now()
		_, err := c.Read(make([]byte, 1))
		wantLocal(t, err, LocalDeadline)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("the deadline took %v", took)
		}
		c.SetReadDeadline(time.Time{})
		c.CloseWrite()
		s.Write([]byte("ok"))
		s.CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "ok" || err != nil {
			t.Errorf("after deadlines: %q, %v", got, err)
		}
	})
}

// A server sends to a client that does not read, by short deadlines, and the
// client then gets every byte once.
func TestContractSlowReader(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		client, server := w.pair()
		c, s := streams(t, client, server)
		c.CloseWrite()
		data := make([]byte, 2<<20)
		for i := range data {
			data[i] = byte(i >> 8)
		}
		late := make(chan int)
		go func() {
			defer close(late)
			waits := 0
			for rest := data; len(rest) > 0; {
				s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				n, err := s.Write(rest[:min(len(rest), 128<<10)])
				if err != nil && !isLocal(err, LocalDeadline) {
					t.Errorf("write: %v", err)
					return
				}
				if n > 0 {
					rest = rest[n:]
				} else if waits++; waits > 1000 {
					t.Error("the writer does not go on")
					server.Close(0, "")
					return
				}
			}
			s.CloseWrite()
			late <- waits
		}()
		time.Sleep(10 * time.Second)
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d bytes, %v, want %d", len(got), err, len(data))
		}
		if n := <-late; w.p == TCP && n < 50 {
			t.Errorf("%d writes had to wait, want about 100", n)
		}
	})
}

func TestContractCancel(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		client, server := w.pair()
		accepted := make(chan Conn, 10)
		go func() {
			for {
				c, err := w.l.Accept(t.Context())
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		c, s := streams(t, client, server)
		c.CloseWrite()
		time.AfterFunc(time.Second, func() { c.CancelRead(9, 100<<20) })
		_, err := c.Read(make([]byte, 1))
		wantLocal(t, err, LocalCanceled)
		<-s.Done()
		if _, err := s.Write(make([]byte, 100)); err == nil {
			t.Error("nobody reads, and the writer is not told")
		}
		s.Release()
		if client.Err() != nil {
			t.Fatalf("the connection ended: %v", client.Err())
		}
		c, err = client.OpenStream(t.Context(), Patient)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("again"))
		if w.p == TCP {
			server = <-accepted
		}
		if _, err = server.AcceptStream(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestContractListener(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		l := w.listen(ListenOptions{})
		client, err := w.dial(2, DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		server := mustAccept(t, l)
		waiting, err := w.dial(3, DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(testRTT)
		l.StopAccepting()
		mustAccept(t, l).Close(3, "stopping")
		<-waiting.Done()
		wantPeer(t, waiting.Err(), PeerClosed)
		_, err = l.Accept(t.Context())
		wantLocal(t, err, LocalClosed)
		if _, err = w.dial(4, DialOptions{}); err == nil {
			t.Error("a connection after StopAccepting")
		}
		streams(t, client, server) // still works
		for range 2 {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		wantLocal(t, server.Err(), LocalClosed)
		client.Close(0, "")
		waiting.Close(0, "")
	})
}

func TestContractGate(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		gate := &countedGate{most: 1}
		w.listen(ListenOptions{Gate: gate})
		client, err := w.dial(2, DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		server := mustAccept(t, w.l)
		if server.Place() == nil || client.Place() != nil {
			t.Errorf("places %v, %v", server.Place(), client.Place())
		}
		_, err = w.dial(3, DialOptions{})
		wantPeer(t, err, PeerRefused)
		client.Close(0, "")
		<-server.Done()
		synctest.Wait()
		if gate.now != 0 {
			t.Errorf("%d are there after the end, want 0", gate.now)
		}
	})
}

func TestContractGreeting(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		w.listen(ListenOptions{})
		client, err := w.dial(2, DialOptions{Greeting: hello()})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close(0, "")
		server := mustAccept(t, w.l)
		for _, tt := range [][4]string{{"one", "helloone", "hifirst", "first"}, {"two", "two", "second", "second"}} {
			heard := make(chan string, 1)
			go func() { heard <- replyTo(t.Context(), server, tt[2]) }()
			if got, err := ask(t.Context(), client, tt[0]); got != tt[3] || err != nil {
				t.Errorf("answer = %q, %v, want %q", got, err, tt[3])
			}
			if got := <-heard; got != tt[1] {
				t.Errorf("request = %q, want %q", got, tt[1])
			}
		}
	})
}

func TestContractGreetingRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		w.listen(ListenOptions{})
		client, err := w.dial(2, DialOptions{Greeting: hello()})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close(0, "")
		server := mustAccept(t, w.l)
		go replyTo(t.Context(), server, "no")
		if _, err := ask(t.Context(), client, "one"); err != errRude {
			t.Errorf("error = %v, want Hear's", err)
		}
		<-client.Done()
		if err := client.Err(); err != errRude {
			t.Errorf("the connection's error = %v, want Hear's", err)
		}
		<-server.Done()
		if e := wantPeer(t, server.Err(), PeerClosed); e.Code != 5 {
			t.Errorf("code %d, want 5", e.Code)
		}
	})
}

func TestContractRefusedServer(t *testing.T) {
	onBoth(t, func(t *testing.T, w *bothWays) {
		w.listen(ListenOptions{})
		conf := clientTLS()
		conf.NextProtos = []string{"h2"}
		_, err := w.dial(2, DialOptions{TLS: conf})
		wantPeer(t, err, PeerNoALPN)
		conf = clientTLS()
		conf.VerifyConnection = func(cs tls.ConnectionState) error { return errRude }
		_, err = w.dial(3, DialOptions{TLS: conf})
		wantLocal(t, err, LocalRefused)
		if !errors.Is(err, errRude) {
			t.Errorf("error = %v, want VerifyConnection's", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = w.l.Accept(ctx)
		wantLocal(t, err, LocalCanceled)
	})
}
