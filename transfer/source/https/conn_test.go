package https

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
)

// A range that is given up keeps the connection if little of it is left.
func TestGiveUp(t *testing.T) {
	data := random(8 << 20)
	for name, tt := range map[string]struct {
		read, length int
		dialed       int32
		cancel       bool
	}{
		"little left":            {1, 200 << 10, 1, false},
		"little left, cancelled": {1, 200 << 10, 1, true},
		"much left":              {1, 8 << 20, 2, false},
		"much left, cancelled":   {1, 8 << 20, 2, true},
		"much read":              {8<<20 - 1000, 8 << 20, 1, false},
		"nothing read":           {0, 8 << 20, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			c := f.connect(f.serve(file(data)).URL, data)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body, err := c.Range(ctx, []source.Span{span(data, 0, tt.length)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(body, make([]byte, tt.read)); err != nil {
				t.Fatal(err)
			}
			if tt.cancel {
				cancel()
				if _, err := io.ReadAll(body); err == nil {
					t.Error("read to the end after it was given up")
				}
			}
			body.Close()
			body.Close()
			mustRead(t, c, data, 17, 5000)
			mustRead(t, c, data, 0, 100)
			if n := f.dialed.Load(); n != tt.dialed {
				t.Errorf("%d connections, want %d", n, tt.dialed)
			}
		})
	}
}

// Closing a connection or a body, or ending its context, wakes who waits for a
// mirror that says nothing.
func TestWake(t *testing.T) {
	f := newFarm(t)
	data := random(100)
	for name, end := range map[string]func(c source.Conn, b source.Body, cancel func()){
		"connection": func(c source.Conn, _ source.Body, _ func()) { c.Close() },
		"body":       func(_ source.Conn, b source.Body, _ func()) { b.Close() },
		"context":    func(_ source.Conn, _ source.Body, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			c := f.connect(f.raw("HTTP/1.1 206 Part…", "…"), data)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b, err := c.Range(ctx, []source.Span{span(data, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			waited := make(chan error)
			go func() { waited <- b.Wait() }()
			turn := make(chan error)
			go func() {
				_, err := c.Range(ctx, []source.Span{span(data, 0, 1)})
				turn <- err
			}()
			end(c, b, cancel)
			if err := <-waited; err == nil {
				t.Error("bytes have come")
			}
			if name == "body" {
				cancel()
			}
			<-turn
			b.Close()
		})
	}
}

// One range at a time: the next one waits for its turn.
func TestTurns(t *testing.T) {
	f := newFarm(t)
	data := random(100)
	c := f.connect(f.serve(file(data)).URL, data)
	b, err := c.Range(t.Context(), []source.Span{span(data, 0, 50)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		got, err := read(t.Context(), c, span(data, 50, 100))
		if err == nil && !bytes.Equal(got, data[50:]) {
			err = fmt.Errorf("%d bytes", len(got))
		}
		done <- err
	}()
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, data[:50]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	select {
	case err := <-done:
		t.Fatalf("the second range did not wait: %v", err)
	default:
	}
	b.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A mirror closes connections that are idle. That is no fault.
func TestIdleConnectionIsClosed(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	s := f.serve(file(data))
	c := f.connect(s.URL, data)
	mustRead(t, c, data, 0, 100)
	s.CloseClientConnections()
	mustRead(t, c, data, 100, 200)
	mustRead(t, c, data, 200, 300)
	if n := f.dialed.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	s.CloseClientConnections()
	s.Listener.Close()
	_, err := read(t.Context(), c, span(data, 0, 1))
	wantFault(t, err, source.NoPort, "connection refused")
	if c.Err() != nil {
		t.Errorf("it may come back, but %v", c.Err())
	}
}

// A connection that is closed here, between two reads or before the answer, is
// no fault of the mirror: it is asked again later.
func TestClosedHere(t *testing.T) {
	f := newFarm(t)
	for _, began := range []bool{false, true} {
		data := random(8 << 20)
		src := New(target(f.serve(file(data)).URL), f.cfg)
		c, err := src.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Stat(t.Context(), source.Ask{Want: wanted(data)}, nil); err != nil {
			t.Fatal(err)
		}
		body, err := c.Range(t.Context(), []source.Span{span(data, 0, len(data))})
		if err != nil {
			t.Fatal(err)
		}
		if began {
			if _, err := body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		_, err = io.ReadAll(body)
		wantFault(t, err, source.Lost, "closed here")
		body.Close()
		again, err := src.Connect(t.Context())
		if err != nil {
			t.Fatalf("the mirror is out: %v", err)
		}
		again.Close()
	}
}

// The bytes of a truncated answer are given, and the rest can be asked for.
func TestTruncated(t *testing.T) {
	f := newFarm(t)
	data := random(100_000)
	s := f.serve(func(w http.ResponseWriter, r *http.Request) {
		var from, to int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
		w.Header().Set("Content-Length", fmt.Sprint(to+1-from))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(data[from : from+(to+2-from)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	c := f.connect(s.URL, data)
	var got []byte
	for tries := 0; len(got) < len(data); tries++ {
		more, err := read(t.Context(), c, span(data, len(got), len(data)))
		if got = append(got, more...); err != nil {
			wantFault(t, err, source.Lost, "the mirror ended the answer early")
		}
		if tries > 20 {
			t.Fatal("no progress")
		}
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes")
	}
	// A shorter range than the one asked for is no fault.
	s = f.serve(func(w http.ResponseWriter, r *http.Request) {
		var from, to int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, min(to, from+30_000)))
		file(data)(w, r)
	})
	mustRead(t, f.connect(s.URL, data), data, 5, 100_000)
}

// A mirror that sends only the whole file is read from its start over one
// connection, once more for what lies behind.
func TestWholeFile(t *testing.T) {
	for _, known := range []bool{true, false} {
		for _, chunked := range []bool{false, true} {
			if !known && chunked {
				continue // it does not say the size
			}
			t.Run(fmt.Sprintf("known %t, chunked %t", known, chunked), func(t *testing.T) { testWholeFile(t, known, chunked) })
		}
	}
}

func testWholeFile(t *testing.T, known, chunked bool) {
	f := newFarm(t)
	data := random(4 << 20)
	var requests atomic.Int32
	s := f.serve(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if !chunked {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		}
		w.Write(data)
	})
	c := f.connect(s.URL, map[bool][]byte{true: data}[known])
	other, err := c.Again(t.Context(), source.More)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := c.Stat(t.Context(), source.Ask{}, nil); err != nil {
		t.Fatal(err)
	}
	mustRead(t, c, data, 0, 1<<20)
	mustRead(t, c, data, 1<<20, 1<<20+7)
	if c.Traits().MoreConns {
		t.Error("more connections can help")
	}
	_, err = c.Again(t.Context(), source.More)
	wantFault(t, err, source.Unsupported, "only the whole file")
	_, err = read(t.Context(), other, span(data, 2<<20, 3<<20))
	wantFault(t, err, source.Unsupported, "only the whole file")
	if other.Err() == nil || c.Err() != nil {
		t.Errorf("ended: %v, %v", other.Err(), c.Err())
	}
	b, err := c.Range(t.Context(), []source.Span{span(data, 1<<20+100, 3<<20)})
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 1<<20)
	if _, err := io.ReadFull(b, part); err != nil || !bytes.Equal(part, data[1<<20+100:2<<20+100]) {
		t.Error(err)
	}
	b.Close() // and the rest of it is asked for again
	mustRead(t, c, data, 2<<20+100, len(data))
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
	mustRead(t, c, data, 2<<20, 3<<20) // it lies behind
	mustRead(t, c, data, 0, 100)       // likewise
	mustRead(t, c, data, 3<<20, len(data))
	if n := requests.Load(); n != 4 {
		t.Errorf("%d requests", n)
	}
}

// A whole file goes on where it was after a range was given up before its bytes
// came.
func TestWholeFileGivenUp(t *testing.T) {
	f := newFarm(t)
	data := random(4 << 20)
	var requests atomic.Int32
	goOn := make(chan struct{})
	s := f.serve(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:512<<10])
		http.NewResponseController(w).Flush()
		<-goOn
		w.Write(data[512<<10:])
	})
	c := f.connect(s.URL, data)
	mustRead(t, c, data, 0, 512<<10-1000)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := read(ctx, c, span(data, 900<<10, 1000<<10)); err == nil {
		t.Error("bytes have come")
	}
	close(goOn)
	mustRead(t, c, data, 900<<10, 1000<<10)
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Certificates are checked by the authorities given, keys by pins besides.
func TestTrust(t *testing.T) {
	data := random(10)
	f := newFarm(t)
	s := f.serve(file(data))
	good := sha256.Sum256(s.Certificate().RawSubjectPublicKeyInfo)
	key, err := ParsePin("sha256//" + base64.StdEncoding.EncodeToString(good[:]))
	if err != nil || key != good {
		t.Errorf("%x, %v", key, err)
	}
	for _, bad := range []string{"", "sha256//", "sha256/" + base64.StdEncoding.EncodeToString(good[:]), "sha256//AAAA", "sha256//" + strings.Repeat("=", 44)} {
		if _, err := ParsePin(bad); err != ErrPin {
			t.Errorf("%q: %v", bad, err)
		}
	}
	wrong := [32]byte{1}
	for name, tt := range map[string]struct {
		pins  []Pin
		roots *x509.CertPool
		host  string
		words string
	}{
		"pinned":          {[]Pin{{Key: good}}, f.cfg.Roots, "127.0.0.1", ""},
		"one of two":      {[]Pin{{Key: wrong}, {Host: "127.0.0.1", Key: good}}, f.cfg.Roots, "127.0.0.1", ""},
		"of another host": {[]Pin{{Host: "example.org", Key: wrong}}, f.cfg.Roots, "127.0.0.1", ""},
		"wrong pin":       {[]Pin{{Key: wrong}}, f.cfg.Roots, "127.0.0.1", "another key than the pinned one"},
		"pin of no use":   {[]Pin{{Key: good}}, x509.NewCertPool(), "127.0.0.1", "no authority that is trusted"},
		"unknown":         {nil, x509.NewCertPool(), "127.0.0.1", "no authority that is trusted"},
		"another host":    {nil, f.cfg.Roots, "other.example", "for another host"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &Config{Network: f, Pins: tt.pins, Roots: tt.roots}
			_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
			for range 2 { // the second handshake may resume the first
				c, err := New(target("https://"+tt.host+":"+port), cfg).Connect(t.Context())
				if tt.words != "" {
					wantFault(t, err, source.Untrusted, tt.words)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				c.Stat(t.Context(), source.Ask{Want: wanted(data)}, nil)
				mustRead(t, c, data, 0, 10)
				c.Close()
			}
		})
	}
}

// Fetch returns what an address has.
func TestFetch(t *testing.T) {
	f := newFarm(t)
	s := f.serve(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Location", "/end?secret")
			w.WriteHeader(http.StatusMovedPermanently)
		case "/end":
			if h := r.Header.Get("Range"); h != "" {
				t.Errorf("range %q", h)
			}
			io.WriteString(w, "values")
		case "/chunks":
			http.NewResponseController(w).Flush()
			io.WriteString(w, "values")
		case "/cut":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "values")
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
		case "/endless":
			for {
				if _, err := io.WriteString(w, "secret"); err != nil {
					return
				}
			}
		case "/empty":
		default:
			http.NotFound(w, r)
		}
	})
	fetch := func(path string) (string, string, error) {
		b, host, err := Fetch(t.Context(), f.cfg, target(s.URL+path), 6)
		return string(b), host, err
	}
	for path, want := range map[string]string{"/": "values", "/chunks": "values", "/empty": ""} {
		if got, host, err := fetch(path); got != want || host != "127.0.0.1" || err != nil {
			t.Errorf("%s: %q from %q, %v", path, got, host, err)
		}
	}
	_, _, err := fetch("/gone")
	wantFault(t, err, source.Absent, "404 (Not Found)")
	_, _, err = fetch("/cut")
	wantFault(t, err, source.Unsupported, "too long")
	_, _, err = fetch("/endless")
	wantFault(t, err, source.Unsupported, "too long")
	_, _, err = fetch("/gzip")
	wantFault(t, err, source.Unsupported, "compressed")
	_, _, err = Fetch(t.Context(), f.cfg, target(s.URL+"/cut"), 100)
	wantFault(t, err, source.Lost, "early")
	_, _, err = Fetch(t.Context(), f.cfg, target("ftp://example.com/x"), 100)
	wantFault(t, err, source.Unsupported, "none of https or http")
}

// Plain http is for where it was typed, and values do not come over it.
func TestPlain(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := http.Server{Handler: file(data)}
	go plain.Serve(l)
	t.Cleanup(func() { plain.Close() })
	address := "http://" + l.Addr().String()
	mustRead(t, f.connect(address, data), data, 0, 1000)
	s := f.serve(file(data))
	up := http.Server{Handler: redirects(func(*http.Request) string { return s.URL })}
	l2, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go up.Serve(l2)
	t.Cleanup(func() { up.Close() })
	mustRead(t, f.connect("http://"+l2.Addr().String(), data), data, 0, 1000)

	if got, _, err := Fetch(t.Context(), f.cfg, target(address), 1000); err != nil || !bytes.Equal(got, data) {
		t.Errorf("on this machine: %v", err)
	}
	a := netip.MustParseAddr("93.184.216.34")
	f.addrs["example.org"], f.places[a] = a, l.Addr().String()
	_, _, err = Fetch(t.Context(), f.cfg, target("http://example.org/secret"), 1000)
	wantFault(t, err, source.Unsupported, "plain http")
}

// pipes is a network in memory, of one server.
type pipes func(c net.Conn)

func (pipes) Resolve(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
}

func (p pipes) Dial(context.Context, netip.AddrPort) (net.Conn, error) {
	here, there := net.Pipe()
	go p(there)
	return here, nil
}

// A mirror that trickles its headers, or stalls, does not hold a range for
// ever. A slow body is no fault.
func TestSlowMirrors(t *testing.T) {
	data := random(50)
	const head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-49/50\r\nContent-Length: 50\r\n"
	for name, tt := range map[string]struct {
		send  string
		pause time.Duration // before each byte
		after time.Duration // when it ends
		words string
	}{
		"slow loris": {head + "\r\n", time.Second, 30 * time.Second, "nothing came for 30s"},
		"silent":     {head + "\r\n", time.Hour, 30 * time.Second, "nothing came for 30s"},
		"stalled":    {head + "\r\n12345", 100 * time.Millisecond, 0, "nothing came for 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cfg := &Config{Network: pipes(func(c net.Conn) {
					defer c.Close()
					c.Read(make([]byte, 4<<10))
					for i := range len(tt.send) {
						select {
						case <-time.After(tt.pause):
						case <-ctx.Done():
							return
						}
						if _, err := io.WriteString(c, tt.send[i:i+1]); err != nil {
							return
						}
					}
					<-ctx.Done()
				})}
				c, err := New(target("http://example.com/x"), cfg).Connect(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.Stat(ctx, source.Ask{Want: wanted(data)}, nil)
				begun := time.Now()
				_, err = read(ctx, c, span(data, 0, 50))
				wantFault(t, err, source.Lost, tt.words)
				if took := time.Since(begun); tt.after > 0 && took != tt.after {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// The first address that answers is used, and a slow one is not waited for.
func TestRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := slowNetwork{"10.0.0.1": time.Hour, "10.0.0.2": -time.Millisecond, "10.0.0.3": time.Millisecond, "10.0.0.4": 0}
		cfg := &Config{Network: dead}
		cfg.ready()
		begun := time.Now()
		c, err := cfg.connect(t.Context(), hop{url: address("http://x/")})
		if err != nil {
			t.Fatal(err)
		}
		c.close()
		if took := time.Since(begun); c.addr.Addr().String() != "10.0.0.3" || took != raceTime+2*time.Millisecond {
			t.Errorf("%v after %v", c.addr, took)
		}
		delete(dead, "10.0.0.3")
		delete(dead, "10.0.0.4")
		_, err = cfg.connect(t.Context(), hop{url: address("http://x/")})
		wantFault(t, err, source.NoAnswer, "no answer in 5s")
		clear(dead)
		_, err = cfg.connect(t.Context(), hop{url: address("http://x/")})
		wantFault(t, err, source.NoHost, `host "x": host has no address`)
	})
}

// A slowNetwork has addresses that answer after a time, or fail after one that
// is negative.
type slowNetwork map[string]time.Duration

func (s slowNetwork) Resolve(context.Context, string) (addrs []netip.Addr, err error) {
	for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"} {
		if _, ok := s[a]; ok {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
	}
	return addrs, nil
}

func (s slowNetwork) Dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	after := s[remote.Addr().String()]
	select {
	case <-time.After(max(after, -after)):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if after < 0 {
		return nil, os.ErrInvalid
	}
	c, other := net.Pipe()
	other.Close()
	return &elsewhere{c, remote}, nil
}
