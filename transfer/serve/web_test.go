package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lukechampine.com/blake3"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/localfile"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

// webServer runs a server in virtual time that answers HTTP over TLS, and on a
// second socket without.
func webServer(t *testing.T, data []byte, cfg Config) (s *Server, secure, plain *pipeListener) {
	t.Helper()
	plain = newPipeListener()
	cfg.TCP.HTTP = HTTP{Secure: true, Plain: plain, Commands: func(r Ready) []string { return []string{"malcolm get " + r.Name} }}
	s, secure = tcpServer(t, data, cfg)
	return s, secure, plain
}

// A webVisitor is a client of HTTP on one connection.
type webVisitor struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// visit connects to a socket from a host; over TLS with protocols, nil: without
// TLS.
func visit(t *testing.T, l *pipeListener, host byte, protocols []string) *webVisitor {
	t.Helper()
	conn := l.connect(host)
	if conn == nil {
		t.Fatal("nobody listens")
	}
	t.Cleanup(func() { conn.Close() })
	if protocols != nil {
		c := tls.Client(conn, &tls.Config{NextProtos: protocols, InsecureSkipVerify: true})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		conn = c
	}
	return &webVisitor{t, conn, bufio.NewReader(conn)}
}

// browser are the protocols of browsers; noProtocol those of who names none.
var browser, noProtocol = []string{"h2", "http/1.1"}, []string{}

// say sends a request as it is written.
func (v *webVisitor) say(request string) {
	v.t.Helper()
	if _, err := io.WriteString(v.conn, request); err != nil {
		v.t.Fatal(err)
	}
}

// hear reads an answer whole. cut: it ended early.
func (v *webVisitor) hear(method string) (r *http.Response, body string, cut bool) {
	v.t.Helper()
	r, err := http.ReadResponse(v.r, &http.Request{Method: method})
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	return r, string(b), err != nil
}

// ask sends a request for a path, with lines of its header, and reads the
// answer.
func (v *webVisitor) ask(path string, header ...string) (r *http.Response, body string) {
	v.t.Helper()
	v.say("GET " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(header, "\r\n"), "\r\n"))
	r, body, cut := v.hear("GET")
	if cut {
		v.t.Fatalf("the answer for %s is cut", path)
	}
	return r, body
}

// want asks for a path and demands a status, which may have to wait for the
// index.
func (v *webVisitor) want(status int, path string, header ...string) (*http.Response, string) {
	v.t.Helper()
	r, body := v.ask(path, header...)
	for r.StatusCode == 503 && status != 503 {
		time.Sleep(time.Second)
		r, body = v.ask(path, header...)
	}
	if r.StatusCode != status {
		v.t.Fatalf("%s: %s, want %d; %q", path, r.Status, status, body)
	}
	return r, body
}

// On one socket clients of malcolm, and of HTTP, with and without a name for
// it, have the file; others nothing. All have places and are counted.
func TestWeb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1<<20, 1)
		s, secure, plain := webServer(t, data, Config{})
		malcolm := secure.dial(t, 1)
		fetchAll(t, malcolm, data)
		a, b, c := visit(t, secure, 2, browser), visit(t, secure, 3, noProtocol), visit(t, plain, 4, nil)
		for _, v := range []*webVisitor{a, b, c} {
			r, body := v.want(200, "/data")
			if sum := blake3.Sum256(data); body != string(data) || r.Header.Get("ETag") != `"`+hex.EncodeToString(sum[:])+`"` {
				t.Errorf("%d bytes, %v", len(body), r.Header)
			}
			if r, body := v.want(206, "/data", "Range: bytes=100-199"); body != string(data[100:200]) {
				t.Errorf("%d bytes, %v", len(body), r.Header)
			}
			if _, body := v.want(200, "/"); !strings.Contains(body, "malcolm get data") {
				t.Errorf("the page: %q", body)
			}
			_, body = v.want(200, "/data.malcolm")
			if f, err := wire.ParseValuesFile([]byte(body)); err != nil || f.Offer.Size != int64(len(data)) || len(f.Values) != 4*wire.ValueLen {
				t.Errorf("the values: %v, %+v", err, f.Offer)
			}
			v.want(404, "/other")
		}
		st := s.Status()
		if st.Load.Conns < 4 || len(st.Servers) != 2 || st.Servers[0].HTTP.Clients != 2 || st.Servers[0].Clients < 3 || st.Servers[0].Sent != int64(3*len(data)+200) {
			t.Errorf("status = %+v", st)
		}
		if v := st.Servers[1]; !v.Web || v.HTTP.Clients != 1 || v.Sent != int64(len(data)+100) {
			t.Errorf("status of HTTP without TLS = %+v", v)
		}
		for _, c := range st.Clients {
			if c.Sent < int64(len(data)) {
				t.Errorf("client %+v, want all of the file", c)
			}
		}
		conn := secure.connect(5)
		if err := tls.Client(conn, &tls.Config{NextProtos: []string{"other"}, InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Error("another protocol is taken")
		}
		conn.Close()
		malcolm.Close(uint64(wire.CloseDone), "")
		for _, v := range []*webVisitor{a, b, c} {
			v.conn.Close()
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if st := s.Status(); st.Load.Conns != 0 || st.Servers[0].HTTP.Clients != 0 || st.Servers[0].Clients != 0 || st.Servers[1].HTTP.Clients != 0 || st.Requests != 0 {
			t.Errorf("after the end: %+v", st)
		}
	})
}

// Without HTTP nothing of it is answered.
func TestNoWeb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := tcpServer(t, numbers(1000, 1), Config{})
		for _, protocols := range [][]string{browser, noProtocol} {
			conn := l.connect(1)
			c := tls.Client(conn, &tls.Config{NextProtos: protocols, InsecureSkipVerify: true})
			if err := c.Handshake(); err == nil {
				_, err = c.Read(make([]byte, 1))
				if err == nil {
					t.Errorf("%q is answered", protocols)
				}
			}
			conn.Close()
		}
	})
}

// The certificate follows the protocol.
func TestWebCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, err := certs.Generate()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := other.Certificate(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		data := numbers(1000, 1)
		s, l := tcpServer(t, data, Config{TCP: TCP{HTTP: HTTP{Secure: true, Certificate: func() *tls.Certificate { return &cert }}}})
		fetchAll(t, l.dial(t, 1), data)
		conn := l.dial(t, 1)
		if id, err := certs.PeerID(conn.TLS()); err != nil || id != s.cfg.Identity.ID() {
			t.Errorf("a client of malcolm sees %v, %v", id, err)
		}
		conn.Close(0, "")
		v := visit(t, l, 2, browser)
		if id, err := certs.PeerID(v.conn.(*tls.Conn).ConnectionState()); err != nil || id != other.ID() {
			t.Errorf("a browser sees %v, %v", id, err)
		}
		if _, body := v.want(200, "/"); strings.Contains(body, "pinnedpubkey") {
			t.Error("the page pins a certificate that may be renewed")
		}
	})
}

// Without a certificate of the user's, browsers see one of the identity that
// they can take, and the page and the event name its key.
func TestWebOwnCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pins := make(chan [32]byte, 8)
		events := func(e Event) {
			if r, ok := e.(Ready); ok {
				pins <- r.Pin
			}
		}
		s, l := tcpServer(t, numbers(1000, 1), Config{Events: events, TCP: TCP{HTTP: HTTP{Secure: true}}})
		for _, protocols := range [][]string{browser, noProtocol} {
			v := visit(t, l, 1, protocols)
			key := v.conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
			pin := sha256.Sum256(key.RawSubjectPublicKeyInfo)
			if key.PublicKeyAlgorithm != x509.ECDSA || pin != s.cfg.Identity.BrowserPin() {
				t.Errorf("%q: a browser sees a key of %v", protocols, key.PublicKeyAlgorithm)
			}
			if _, body := v.want(200, "/"); !strings.Contains(html.UnescapeString(body), "sha256//"+base64.StdEncoding.EncodeToString(pin[:])) {
				t.Errorf("the page does not name the key: %q", body)
			}
			v.conn.Close()
		}
		if pin := <-pins; pin != s.cfg.Identity.BrowserPin() {
			t.Errorf("Ready names the key %x", pin)
		}
	})
}

// Requests that break HTTP, or are too long, end the connection; nothing of the
// file is sent, and others are served.
func TestHostileWebRequests(t *testing.T) {
	for name, test := range map[string]struct {
		request string
		status  int // 0: the connection is closed without an answer, or with any
	}{
		"garbage":               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400},
		"no host":               {"GET /data HTTP/1.1\r\n\r\n", 400},
		"two hosts":             {"GET /data HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		"a host of its own":     {"GET /data HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		"a long header":         {"GET /data HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 20<<10) + "\r\n\r\n", 431},
		"many headers":          {"GET /data HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 4000) + "\r\n", 431},
		"a long line":           {"GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
		"HTTP/2":                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405},
		"HTTP/9":                {"GET /data HTTP/9.9\r\nHost: x\r\n\r\n", 505},
		"two lengths":           {"GET /data HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
		"smuggled":              {"GET /data HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"a body":                {"GET /data HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc", 400},
		"an endless body":       {"GET /data HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", 400},
		"POST":                  {"POST /data HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc", 405},
		"CONNECT":               {"CONNECT internal:22 HTTP/1.1\r\nHost: internal:22\r\n\r\n", 405},
		"OPTIONS *":             {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		"an escape that is not": {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a path without a root": {"GET data HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"an upgrade":            {"GET /data HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nRange: bytes=0-0\r\n\r\n", 206},
		"an address":            {"GET http://elsewhere/data HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n\r\n", 206},
		"HTTP/1.0":              {"GET /data HTTP/1.0\r\nRange: bytes=0-0\r\n\r\n", 206},
		"a NUL":                 {"GET /data%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"above the root":        {"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"above, escaped":        {"GET /data/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\n\r\n", 404},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				data := numbers(1<<20, 1)
				s, secure, _ := webServer(t, data, Config{})
				visit(t, secure, 2, browser).want(200, "/data")
				v := visit(t, secure, 1, browser)
				v.conn.SetReadDeadline(time.Now().Add(time.Minute))
				go io.WriteString(v.conn, test.request) // it may not be read whole
				r, body, cut := v.hear("GET")
				if r.StatusCode != test.status || cut || len(body) > 4<<10 {
					t.Errorf("%s, %d bytes, cut: %t; want %d", r.Status, len(body), cut, test.status)
				}
				if r.StatusCode == 400 || r.StatusCode == 405 || r.StatusCode == 431 {
					if n, err := io.Copy(io.Discard, v.r); n > 0 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("then come %d bytes, %v; want the end", n, err)
					}
				}
				v.conn.Close()
				if _, body := visit(t, secure, 3, browser).want(200, "/data"); body != string(data) {
					t.Error("the next client does not get the file")
				}
				if n := s.Status().Panics; n > 0 {
					t.Errorf("%d panics", n)
				}
			})
		})
	}
}

// A client that sends no request, or one byte by byte, loses its place in time;
// so does who takes nothing of an answer, with little memory held meanwhile.
// None of them takes the answer that says so.
func TestHostileWebSlow(t *testing.T) {
	drip := func(text string) func(*webVisitor) {
		return func(v *webVisitor) {
			for i := range len(text) {
				if _, err := io.WriteString(v.conn, text[i:i+1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}
	}
	for name, attack := range map[string]struct {
		do   func(v *webVisitor)
		time time.Duration
	}{
		"says nothing":            {func(*webVisitor) {}, admission.DefaultOpenTime},
		"a request byte by byte":  {drip("GET /data HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 100)), DefaultRequestTimeout + DefaultStallTimeout},
		"its second byte by byte": {func(v *webVisitor) { v.want(404, "/no"); drip(strings.Repeat("GET ", 100))(v) }, DefaultRequestTimeout + DefaultStallTimeout},
		"no second request":       {func(v *webVisitor) { v.want(404, "/no") }, webIdle},
		"a body byte by byte": {func(v *webVisitor) {
			go io.Copy(io.Discard, v.conn)
			drip("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n" + strings.Repeat("x", 99))(v)
		}, 100 * time.Second},
		"takes nothing of the file": {func(v *webVisitor) { v.say("GET /data HTTP/1.1\r\nHost: x\r\n\r\n") }, 2 * DefaultStallTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				data := numbers(4<<20, 1)
				s, secure, plain := webServer(t, data, Config{})
				good := visit(t, secure, 2, browser)
				good.want(200, "/data")
				good.conn.Close()
				for _, enter := range []func() *webVisitor{
					func() *webVisitor { return visit(t, secure, 1, browser) }, func() *webVisitor { return visit(t, plain, 1, nil) },
				} {
					v := enter()
					began := time.Now()
					var attacking sync.WaitGroup
					attacking.Go(func() { attack.do(v) })
					time.Sleep(5 * time.Second)
					if st := s.Status(); st.Load.Held > 1<<20 {
						t.Errorf("%d bytes are held", st.Load.Held)
					}
					for s.Status().Load.Conns > 0 {
						time.Sleep(time.Second)
						if time.Since(began) > time.Hour {
							t.Fatal("it keeps its place")
						}
					}
					if got := time.Since(began); got > attack.time+20*time.Second {
						t.Errorf("it has its place for %v, want at most %v and a little", got, attack.time)
					}
					v.conn.Close()
					attacking.Wait()
				}
			})
		})
	}
}

// Requests that come to nothing are limited for a connection and its address;
// small ones that are answered are not, however many come. A proxy on this
// machine is not held to account for its clients.
func TestHostileWebWaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, secure, plain := webServer(t, numbers(1000, 1), Config{Limits: Limits{Wasted: 50}})
		v := visit(t, secure, 1, browser)
		v.want(200, "/data")
		refused := 0
		for range 200 {
			r, _ := v.ask("/nothing")
			if r.StatusCode == 429 {
				break
			}
			refused++
		}
		if refused < 50 || refused > 60 {
			t.Errorf("%d requests came to nothing, want about 50", refused)
		}
		if _, err := v.r.ReadByte(); err == nil {
			t.Error("the connection lives on")
		}
		if s.Status().Counts.Wasted < 50 {
			t.Errorf("counted %d", s.Status().Counts.Wasted)
		}
		// The next connection of this address has to wait, no others.
		began := time.Now()
		visit(t, secure, 2, browser).want(200, "/data")
		if time.Since(began) > time.Millisecond {
			t.Errorf("another address waits for %v", time.Since(began))
		}
		visit(t, secure, 1, browser).want(200, "/data")
		visit(t, secure, 1, browser).want(200, "/data")
		if time.Since(began) < 100*time.Millisecond {
			t.Errorf("the address waits for %v only", time.Since(began))
		}
		small := visit(t, secure, 3, browser)
		for range 5000 {
			small.want(206, "/data", "Range: bytes=7-7")
		}
		proxy := &webVisitor{t: t}
		ours, theirs := net.Pipe()
		plain.conns <- pipeEnd{theirs, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
		proxy.conn, proxy.r = ours, bufio.NewReader(ours)
		for range 200 {
			proxy.want(404, "/nothing")
		}
		ours.Close()
	})
}

// Many idle connections cost places, and make room for who comes.
func TestHostileWebManyIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 256
		data := numbers(1000, 1)
		s, secure, plain := webServer(t, data, Config{Limits: Limits{Places: places, HandshakeRate: 10_000}})
		visit(t, secure, 1, browser).want(200, "/data")
		for i := range 4 * places {
			visit(t, plain, byte(10+i%100), nil)
		}
		synctest.Wait()
		if n := s.Status().Load.Conns; n > places {
			t.Errorf("%d have a place", n)
		}
		if _, body := visit(t, secure, 2, browser).want(200, "/data"); body != string(data) {
			t.Error("nothing for who comes then")
		}
		fetchAll(t, secure.dial(t, 3), data)
	})
}

// Requests that were sent ahead are answered in order.
func TestWebPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1000, 1)
		_, secure, _ := webServer(t, data, Config{})
		v := visit(t, secure, 1, browser)
		v.want(200, "/data")
		var all strings.Builder
		for i := range 100 {
			fmt.Fprintf(&all, "GET /data HTTP/1.1\r\nHost: x\r\nRange: bytes=%d-%d\r\n\r\n", i, i)
		}
		go io.WriteString(v.conn, all.String())
		for i := range 100 {
			if r, body, _ := v.hear("GET"); r.StatusCode != 206 || body != string(data[i:i+1]) {
				t.Fatalf("answer %d: %s, %q", i, r.Status, body)
			}
		}
	})
}

// A file that changes under an answer cuts it: who got all bytes that were
// announced has the right ones. The next answer is of the new version.
func TestWebFileChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := numbers(4<<20, 1), numbers(4<<20, 2)
		file := newMemFile(before)
		id, err := certs.Generate()
		if err != nil {
			t.Fatal(err)
		}
		l := newPipeListener()
		s, err := NewServer(Config{
			Source: file, Name: "data", Identity: id, Conns: []net.PacketConn{&deafConn{over: make(chan struct{})}},
			TCP: TCP{Sockets: []net.Listener{l}, HTTP: HTTP{Secure: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		v := visit(t, l, 1, browser)
		r, _ := v.want(206, "/data", "Range: bytes=0-0")
		tag := r.Header.Get("ETag")
		v.say("GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
		r, err = http.ReadResponse(v.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1<<20)
		if _, err := io.ReadFull(r.Body, got); err != nil {
			t.Fatal(err)
		}
		file.replace(after)
		rest, err := io.ReadAll(r.Body)
		if got = append(got, rest...); err == nil || len(got) >= len(before) || !bytes.HasPrefix(before, got) {
			t.Errorf("%d bytes, %v; want the beginning of what was, cut", len(got), err)
		}
		v = visit(t, l, 1, browser)
		if r, _ := v.ask("/data"); r.StatusCode != 200 && r.StatusCode != 503 {
			t.Errorf("while it is hashed: %s", r.Status)
		}
		if _, body := v.want(200, "/data"); body != string(after) {
			t.Error("the new version is not there")
		}
		v.want(412, "/data", "If-Match: "+tag)
		v.want(200, "/data", "Range: bytes=9-", "If-Range: "+tag)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// While a file is hashed, the answer is that, with a time.
func TestWebIndexing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		file := newMemFile(numbers(1<<20, 1))
		file.reading = func() { <-hold }
		id, err := certs.Generate()
		if err != nil {
			t.Fatal(err)
		}
		l := newPipeListener()
		s, err := NewServer(Config{
			Source: file, Name: "data", Identity: id, Conns: []net.PacketConn{&deafConn{over: make(chan struct{})}},
			TCP: TCP{Sockets: []net.Listener{l}, HTTP: HTTP{Secure: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		v := visit(t, l, 1, browser)
		if r, body := v.ask("/data"); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(body, "being hashed") {
			t.Errorf("%s, %v, %q", r.Status, r.Header, body)
		}
		close(hold)
		v.want(200, "/data")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A server that stops lets an answer finish, and takes no more requests.
func TestWebStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(4<<20, 1)
		l := newPipeListener()
		id, err := certs.Generate()
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewServer(Config{
			Source: newMemFile(data), Name: "data", Identity: id, Conns: []net.PacketConn{&deafConn{over: make(chan struct{})}},
			TCP: TCP{Sockets: []net.Listener{l}, HTTP: HTTP{Secure: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		idle, slow, busy := visit(t, l, 1, browser), visit(t, l, 2, browser), visit(t, l, 3, browser)
		idle.want(200, "/data")
		slow.say("GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
		busy.say("GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		stop()
		if _, body, cut := busy.hear("GET"); cut || body != string(data) {
			t.Errorf("what was under way has %d bytes, cut: %t", len(body), cut)
		}
		if _, err := idle.r.ReadByte(); err == nil {
			t.Error("an idle connection lives on")
		}
		if err := <-ended; err != nil { // slow took nothing
			t.Error(err)
		}
		if got, _ := io.ReadAll(slow.r); len(got) >= len(data) {
			t.Error("who took nothing in time has all")
		}
	})
}

// With a token only signed links are answered, of both tokens, and each
// connection is good for one guess.
func TestWebToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens []certs.Token
		for _, text := range []string{"an old token of thirty characters", "a new token of thirty characters"} {
			token, err := certs.ParseToken(text)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, token)
		}
		data := numbers(1000, 1)
		s, secure, _ := webServer(t, data, Config{Tokens: tokens})
		for _, token := range tokens {
			link := "/data?" + token.NewLink("/data", time.Now().Add(time.Hour)).Query()
			v := visit(t, secure, 1, browser)
			if _, body := v.want(200, link); body != string(data) {
				t.Errorf("got %d bytes", len(body))
			}
			v.want(403, "/data")
			if _, err := v.r.ReadByte(); err == nil {
				t.Error("the connection lives on after a wrong guess")
			}
			time.Sleep(2 * time.Hour)
			visit(t, secure, 1, browser).want(403, link)
		}
		if s.Status().Denied != 4 {
			t.Errorf("%d denied, want 4", s.Status().Denied)
		}
	})
}

// All clients together keep to the limit of bytes, those of HTTP too.
func TestWebLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, size = 1 << 20, 4 << 20
		data := numbers(size, 1)
		_, secure, plain := webServer(t, data, Config{Limit: rate})
		a, b := visit(t, secure, 1, browser), visit(t, plain, 2, nil)
		a.want(206, "/data", "Range: bytes=0-0")
		began := time.Now()
		var both sync.WaitGroup
		ends := make([]time.Duration, 2)
		for i, v := range []*webVisitor{a, b} {
			both.Go(func() {
				v.say("GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, body, cut := v.hear("GET"); cut || body != string(data) {
					t.Errorf("got %d bytes, cut: %t", len(body), cut)
				}
				ends[i] = time.Since(began)
			})
		}
		both.Wait()
		for _, end := range ends { // evenly shared, in virtual time
			if want := 2 * size / rate * time.Second; end < want*9/10 || end > want*11/10 {
				t.Errorf("it takes %v, want %v", end, want)
			}
		}
	})
}

// A tree has pages, files, values and links; open files are bounded whatever
// clients of HTTP ask for and do not take.
func TestWebTree(t *testing.T) {
	dir := t.TempDir()
	w := &treeWorld{dir: dir}
	large := numbers(1<<20, 3)
	for i := range maxOpenFiles + 50 {
		w.write(t, fmt.Sprintf("many/%03d", i), numbers(2000, byte(i)))
	}
	w.write(t, "docs/large.bin", large)
	source, err := localfile.OfferDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	part := scan.Part{Path: dir, Open: func() (scan.Dir, error) { return source.Open() }}
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	l := newPipeListener()
	s, err := NewServer(Config{
		Tree: &Tree{Scan: scan.Config{Parts: []scan.Part{part}}}, Name: "tree", Identity: id,
		Conns: []net.PacketConn{&deafConn{over: make(chan struct{})}}, TCP: TCP{HTTP: HTTP{Plain: l}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	v := visit(t, l, 1, nil)
	v.wait("/tree/")
	if _, body := v.want(200, "/tree/docs/"); !strings.Contains(body, `href="/tree/docs/large.bin"`) {
		t.Errorf("the page: %q", body)
	}
	if _, body := v.want(200, "/tree/docs/large.bin"); body != string(large) {
		t.Errorf("got %d bytes", len(body))
	}
	_, body := v.want(200, "/tree.malcolm")
	if f, err := wire.ParseValuesFile([]byte(body)); err != nil || f.Offer.Kind != wire.KindTree || len(f.Values) != 4*wire.ValueLen {
		t.Errorf("the values: %v, %+v", err, f.Offer)
	}
	_, body = v.want(200, "/tree/docs/large.bin.malcolm")
	if f, err := wire.ParseValuesFile([]byte(body)); err != nil || f.Offer.Checksum != blake3.Sum256(large) || len(f.Values) != 4*wire.ValueLen {
		t.Errorf("the values of a file: %v, %+v", err, f.Offer)
	}
	// Each of these takes nothing of its answer.
	var idle []*webVisitor
	for i := range maxOpenFiles + 50 {
		o := visit(t, l, byte(i), nil)
		o.say(fmt.Sprintf("GET /tree/many/%03d HTTP/1.1\r\nHost: x\r\n\r\n", i))
		idle = append(idle, o)
	}
	if _, body := v.want(200, "/tree/docs/large.bin"); body != string(large) {
		t.Errorf("beside many that take nothing: %d bytes", len(body))
	}
	if most := s.index.(*treeIndex).open.most; most > maxOpenFiles {
		t.Errorf("%d files were open, want at most %d", most, maxOpenFiles)
	}
	for _, o := range idle {
		o.conn.Close()
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// wait asks until the index is there.
func (v *webVisitor) wait(path string) {
	v.t.Helper()
	for {
		if r, _ := v.ask(path); r.StatusCode != 503 {
			return
		}
	}
}
