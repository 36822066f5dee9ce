package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// tcpServer answers every request of every connection by serve.
type tcpServer struct {
	*memory
	l Listener

	mu    sync.Mutex
	heard []string // requests, in the order in which they were complete
}

// answered returns a server whose requests are answered by answer, in a
// goroutine of their own.
func answered(t *testing.T, o ListenOptions, answer func(c Conn, st Stream, request string)) *tcpServer {
	s := &tcpServer{memory: newMemory()}
	s.l = serveTCP(t, s.memory, o)
	go func() {
		for {
			c, err := s.l.Accept(t.Context())
			if err != nil {
				return
			}
			go s.serve(t.Context(), c, answer)
		}
	}()
	return s
}

func (s *tcpServer) serve(ctx context.Context, c Conn, answer func(c Conn, st Stream, request string)) {
	for {
		st, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			b, err := io.ReadAll(st)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.heard = append(s.heard, string(b))
			s.mu.Unlock()
			answer(c, st, string(b))
		}()
	}
}

func (s *tcpServer) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// asking opens a stream and sends a request.
func asking(t *testing.T, c Conn, urgent bool, request string) Stream {
	t.Helper()
	st, err := c.OpenStream(t.Context(), urgent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return st
}

// replyOf reads a reply.
func replyOf(t *testing.T, st Stream, want string) {
	t.Helper()
	if got, err := io.ReadAll(st); string(got) != want || err != nil {
		t.Fatalf("reply = %.40q, %v, want %.40q", got, err, want)
	}
}

// held answers a request "hold …" when told to, and others at once, by what
// they say.
type held struct{ tell chan struct{} }

func (h held) answer(_ Conn, st Stream, request string) {
	if strings.HasPrefix(request, "hold") {
		select {
		case <-h.tell:
		case <-st.Done():
			return
		}
	}
	st.Write([]byte("to " + request))
	st.CloseWrite()
}

// One request goes ahead of the reply that is under way, and others have links
// of their own.
func TestTCPAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{})}
		s := answered(t, ListenOptions{}, h.answer)
		c := mustDialTCP(t, s.dial, DialOptions{})
		first := asking(t, c, Patient, "hold 1")
		second := asking(t, c, Patient, "2")
		synctest.Wait()
		if n := s.dialled(); n != 1 {
			t.Errorf("%d links for a request and one ahead, want 1", n)
		}
		replyOf(t, asking(t, c, Urgent, "3"), "to 3")
		if n := s.dialled(); n != 2 {
			t.Errorf("%d links with an urgent one, want 2", n)
		}
		if got := s.requests(); !slices.Equal(got, []string{"hold 1", "3"}) {
			t.Errorf("answered %q, want not the one that is ahead", got)
		}
		second.SetReadDeadline(time.Now().Add(time.Second))
		_, err := second.Read(make([]byte, 1))
		wantLocal(t, err, LocalDeadline)
		second.SetReadDeadline(time.Time{})
		close(h.tell)
		replyOf(t, first, "to hold 1")
		replyOf(t, second, "to 2")
	})
}

// An urgent request waits behind no other one, though there is a place.
func TestTCPUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{})}
		s := answered(t, ListenOptions{}, h.answer)
		c := mustDialTCP(t, s.dial, DialOptions{})
		first := asking(t, c, Patient, "hold 1")
		urgent := asking(t, c, Urgent, "2")
		synctest.Wait()
		if got := slices.Sorted(slices.Values(s.requests())); !slices.Equal(got, []string{"2", "hold 1"}) {
			t.Errorf("heard %q while the first reply is under way, want both requests", got)
		}
		close(h.tell)
		replyOf(t, first, "to hold 1")
		replyOf(t, urgent, "to 2")
	})
}

// A reply that is not wanted, and is long, costs its link. What was ahead there
// goes over another one.
func TestTCPReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{})}
		s := answered(t, ListenOptions{}, h.answer)
		c := mustDialTCP(t, s.dial, DialOptions{})
		first := asking(t, c, Patient, "hold 1")
		second, err := c.OpenStream(t.Context(), Patient)
		if err != nil {
			t.Fatal(err)
		}
		second.Write([]byte("tw"))
		synctest.Wait() // the first one is heard
		first.CancelRead(1, 1<<30)
		synctest.Wait()
		second.Write([]byte("o"))
		second.CloseWrite()
		replyOf(t, second, "to two")
		_, err = first.Read(make([]byte, 1))
		wantLocal(t, err, LocalCanceled)
		if got := s.requests(); !slices.Equal(got, []string{"hold 1", "two"}) || s.dialled() != 2 {
			t.Errorf("heard %q over %d links", got, s.dialled())
		}
		if c.Err() != nil {
			t.Errorf("the connection ended: %v", c.Err())
		}
	})
}

// A small rest of a reply is read, and the link stays.
func TestTCPDrain(t *testing.T) {
	for name, tt := range map[string]struct {
		size, left int
		links      int
	}{
		"small":         {200 << 10, 200 << 10, 1},
		"large":         {200 << 10, 300 << 10, 2},
		"unknown":       {200 << 10, LeftUnknown, 1},
		"unknown large": {1 << 20, LeftUnknown, 2},
		"lie":           {1 << 20, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := answered(t, ListenOptions{}, func(_ Conn, st Stream, request string) {
					if request == "long" {
						st.Write(make([]byte, tt.size))
					}
					st.CloseWrite()
				})
				c := mustDialTCP(t, s.dial, DialOptions{})
				st := asking(t, c, Patient, "long")
				st.Read(make([]byte, 1))
				st.CancelRead(1, int64(tt.left))
				_, err := st.Read(make([]byte, 1))
				wantLocal(t, err, LocalCanceled)
				synctest.Wait()
				replyOf(t, asking(t, c, Patient, "short"), "")
				if n := s.dialled(); n != tt.links {
					t.Errorf("%d links, want %d", n, tt.links)
				}
			})
		})
	}
}

// Links are bounded. A stream that finds no place waits.
func TestTCPLinksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{})}
		s := answered(t, ListenOptions{}, h.answer)
		c := mustDialTCP(t, s.dial, DialOptions{})
		var all []Stream
		for range maxLinks {
			all = append(all, asking(t, c, Urgent, "hold"))
		}
		for range maxLinks {
			all = append(all, asking(t, c, Patient, "hold"))
		}
		for _, urgent := range []bool{Patient, Urgent} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := c.OpenStream(ctx, urgent)
			wantLocal(t, err, LocalCanceled)
			cancel()
		}
		if n := s.dialled(); n != maxLinks {
			t.Errorf("%d links, want %d", n, maxLinks)
		}
		opened := make(chan Stream)
		go func() {
			st, _ := c.OpenStream(t.Context(), Patient)
			opened <- st
		}()
		close(h.tell)
		for _, st := range all {
			replyOf(t, st, "to hold")
		}
		if st := <-opened; st == nil {
			t.Error("no place in the end")
		}
	})
}

// After a failed try to make one more link there is another one a moment later,
// although nothing else happens.
func TestTCPLinkAfterAFailedTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answered(t, ListenOptions{}, held{make(chan struct{})}.answer)
		dials := 0
		c := mustDialTCP(t, func(ctx context.Context) (net.Conn, error) {
			if dials++; dials == 2 {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return s.dial(ctx)
		}, DialOptions{})
		asking(t, c, Patient, "hold")
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		st, err := c.OpenStream(ctx, Urgent)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < growPause || took > 2*growPause || dials != 3 {
			t.Errorf("a place after %v and %d dials, want it after the pause", took, dials)
		}
		st.Write([]byte("2"))
		st.CloseWrite()
		replyOf(t, st, "to 2")
	})
}

// When its last link dies, so does the connection; when another lives, it does
// not.
func TestTCPDeath(t *testing.T) {
	for name, kill := range map[string]struct {
		do   func(c *memoryConn)
		want func(t *testing.T, err error)
	}{
		"reset": {func(c *memoryConn) { c.kill(sysErr("read", errnoGone[0])) }, func(t *testing.T, err error) { wantPeer(t, err, PeerRestarted) }},
		"end":   {func(c *memoryConn) { c.kill(io.EOF) }, func(t *testing.T, err error) { wantPeer(t, err, PeerRestarted) }},
		"silence": {func(c *memoryConn) { c.kill(sysErr("read", errnoTimedOut[0])) }, func(t *testing.T, err error) {
			wantNetwork(t, err, IdleTimeout)
		}},
		"no way": {func(c *memoryConn) { c.kill(noRoute) }, func(t *testing.T, err error) { wantNetwork(t, err, HostUnreachable) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := held{make(chan struct{})}
				s := answered(t, ListenOptions{}, h.answer)
				c := mustDialTCP(t, s.dial, DialOptions{})
				first, second := asking(t, c, Urgent, "hold 1"), asking(t, c, Urgent, "hold 2")
				kill.do(s.dials[0])
				_, err := first.Read(make([]byte, 1))
				kill.want(t, err)
				<-first.Done()
				if c.Err() != nil {
					t.Fatalf("the connection ended with one link of two: %v", c.Err())
				}
				kill.do(s.dials[1])
				_, err = second.Read(make([]byte, 1))
				kill.want(t, err)
				<-c.Done()
				kill.want(t, c.Err())
				_, err = c.OpenStream(t.Context(), Urgent)
				kill.want(t, err)
			})
		})
	}
}

// The end of an idle link is noticed at once.
func TestTCPIdleLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, _ := tcpPair(t)
		synctest.Wait()
		server.Close(3, "stopping")
		synctest.Wait()
		if e := wantPeer(t, client.Err(), PeerClosed); e.Code != 3 || e.Text != "stopping" {
			t.Errorf("%+v", e)
		}
	})
}

// A server's stream learns that its client is gone, though it neither reads nor
// writes.
func TestTCPServerNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, m := tcpPair(t)
		_, s := streams(t, client, server)
		called := make(chan struct{})
		s.AfterDone(func() { close(called) })
		m.dials[0].kill(io.EOF)
		<-called
		<-s.Done()
		_, err := s.Write([]byte{1})
		wantPeer(t, err, PeerRestarted)
		wantPeer(t, server.Err(), PeerRestarted)
	})
}

// otherCert is a certificate with another key.
func otherCert(t *testing.T) tls.Certificate {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// All links lead to one server.
func TestTCPOtherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{})}
		s := answered(t, ListenOptions{}, h.answer)
		conf := serverTLS()
		conf.Certificates = []tls.Certificate{otherCert(t)}
		other := answered(t, ListenOptions{TLS: conf}, h.answer)
		dial := s.dial
		c := mustDialTCP(t, func(ctx context.Context) (net.Conn, error) { return dial(ctx) }, DialOptions{})
		first := asking(t, c, Urgent, "hold 1")
		dial = other.dial
		_, err := c.OpenStream(t.Context(), Urgent)
		wantLocal(t, err, LocalRefused)
		close(h.tell)
		replyOf(t, first, "to hold 1")
	})
}

// Every link is greeted, and a link whose greeting was not heard is not used.
func TestTCPGreetingOfLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		firsts := make(chan bool, 10)
		s := answered(t, ListenOptions{}, func(_ Conn, st Stream, request string) {
			firsts <- st.First()
			if rest, ok := strings.CutPrefix(request, "hello"); ok {
				st.Write([]byte("hi"))
				request = rest
			}
			if request == "hold" {
				<-st.Done()
				return
			}
			st.Write([]byte("to " + request))
			st.CloseWrite()
		})
		c := mustDialTCP(t, s.dial, DialOptions{Greeting: hello()})
		a := asking(t, c, Urgent, "hold")
		synctest.Wait() // it is heard first
		b := asking(t, c, Urgent, "b")
		replyOf(t, b, "to b")
		replyOf(t, asking(t, c, Patient, "c"), "to c")
		if got := s.requests(); !slices.Equal(got, []string{"hellohold", "hellob", "c"}) {
			t.Errorf("heard %q", got)
		}
		if !a.First() || !b.First() || !<-firsts || !<-firsts || <-firsts {
			t.Error("not the first streams are the first ones")
		}
		// A request that was ahead is greeted again on its new link.
		ahead := asking(t, c, Patient, "d")
		replyOf(t, ahead, "to d")
		e := asking(t, c, Patient, "hold")
		f := asking(t, c, Patient, "f")
		e.CancelRead(1, LeftUnknown)
		a.CancelRead(1, LeftUnknown)
		replyOf(t, f, "to f")
		if got := s.requests(); !slices.Contains(got, "hellof") {
			t.Errorf("heard %q", got)
		}
		if c.Err() != nil {
			t.Errorf("the connection ended: %v", c.Err())
		}
	})
}
