package https

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/source"
	"malcolm/wire"
)

// A diary is what servers have met. Any goroutine may use it.
type diary[T any] struct {
	mu   sync.Mutex
	list []T
}

func (d *diary[T]) add(v T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, v)
}

func (d *diary[T]) all() []T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

// A farm is web servers, and a network in which names lead to them.
type farm struct {
	t      *testing.T
	cfg    *Config
	mu     sync.Mutex
	addrs  map[string]netip.Addr // of hosts; others are at 127.0.0.1
	places map[netip.Addr]string // where connections to an address go
	dialed atomic.Int32
}

func newFarm(t *testing.T) *farm {
	f := &farm{t: t, addrs: make(map[string]netip.Addr), places: make(map[netip.Addr]string)}
	f.cfg = &Config{Network: f, Roots: x509.NewCertPool()}
	return f
}

func (f *farm) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if a, ok := f.addrs[host]; ok {
		return []netip.Addr{a}, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func (f *farm) Dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	f.dialed.Add(1)
	f.mu.Lock()
	place, ok := f.places[remote.Addr()]
	f.mu.Unlock()
	if !ok {
		place = remote.String()
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", place)
	if err != nil || !ok {
		return c, err
	}
	return &elsewhere{c, remote}, nil
}

// An elsewhere is a connection that says it leads to another address.
type elsewhere struct {
	net.Conn
	remote netip.AddrPort
}

func (e *elsewhere) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(e.remote) }

// serve starts a server with https. Its certificate is for 127.0.0.1 and
// example.com.
func (f *farm) serve(h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	f.t.Cleanup(s.Close)
	f.cfg.Roots.AddCert(s.Certificate())
	return s
}

// at names a server by a host with an address of its own. It returns the
// address of that.
func (f *farm) at(s *httptest.Server, host, addr string) string {
	a := netip.MustParseAddr(addr)
	f.addrs[host], f.places[a] = a, s.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "https://" + net.JoinHostPort(host, port)
}

func target(address string) source.Target {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	host, port := hostPort(u)
	return source.Target{Host: host, Port: port, URL: address}
}

// connect connects to an address, where data is wanted; nil: nothing is known.
func (f *farm) connect(address string, data []byte) source.Conn {
	f.t.Helper()
	c, err := New(target(address), f.cfg).Connect(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	if data != nil {
		o, err := c.Stat(f.t.Context(), source.Ask{Want: wanted(data)}, nil)
		if err != nil || o.Size != int64(len(data)) || o.Checksum != sum(data) {
			f.t.Fatalf("%+v, %v", o, err)
		}
	}
	return c
}

// sum stands for the checksum of bytes.
func sum(data []byte) [32]byte { return sha256.Sum256(data) }

func wanted(data []byte) *source.Wanted {
	return &source.Wanted{Offer: wire.Offer{Kind: wire.KindFile, Size: int64(len(data)), Checksum: sum(data), Name: "data.bin"}}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func span(data []byte, from, to int) source.Span {
	return source.Span{Checksum: sum(data), Offset: int64(from), Length: int64(to - from)}
}

// read reads all of spans.
func read(ctx context.Context, c source.Conn, spans ...source.Span) ([]byte, error) {
	body, err := c.Range(ctx, spans)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var all []byte
	p := make([]byte, 64<<10)
	for {
		if err := body.Wait(); err != nil && err != io.EOF {
			return all, err
		}
		n, err := body.Read(p)
		all = append(all, p[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

// mustRead reads a part of data, which must be right.
func mustRead(t *testing.T, c source.Conn, data []byte, from, to int) {
	t.Helper()
	got, err := read(t.Context(), c, span(data, from, to))
	if err != nil || !bytes.Equal(got, data[from:to]) {
		t.Fatalf("%d bytes from %d to %d, %v", len(got), from, to, err)
	}
}

// wantFault checks the kind and the words of an error.
func wantFault(t *testing.T, err error, what source.What, words string) {
	t.Helper()
	f, ok := errors.AsType[*source.Fault](err)
	if !ok || f.What != what || !strings.Contains(f.Words, words) {
		t.Errorf("%v (kind %d), want %q (kind %d)", err, source.WhatOf(err), words, what)
	}
	if ok && (strings.Contains(f.Words, "secret") || strings.Contains(f.Words, "\n")) {
		t.Errorf("%q tells too much", f.Words)
	}
}

// file serves data as a good mirror does.
func file(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "data.bin", time.Unix(1e9, 0), bytes.NewReader(data))
	}
}

// A good mirror: the request has what it must have and no more, ranges come
// over one connection, spans that adjoin are one request.
func TestRanges(t *testing.T) {
	f := newFarm(t)
	data := random(1 << 20)
	var requests diary[*http.Request]
	s := f.serve(func(w http.ResponseWriter, r *http.Request) {
		requests.add(r.Clone(context.Background()))
		file(data)(w, r)
	})
	f.cfg.Headers = []Header{{Name: "Authorization", Value: "Bearer secret"}, {Host: "other.example", Name: "X-Other", Value: "1"}}
	c := f.connect(s.URL+"/a%2Fb/data.bin?signature=secret%2B#part", data)
	if n := len(requests.all()); n != 0 {
		t.Errorf("%d requests before the first range", n)
	}
	got, err := read(t.Context(), c, span(data, 10, 20), span(data, 20, 300_000), span(data, 5, 9), span(data, len(data)-1, len(data)))
	if want := bytes.Join([][]byte{data[10:300_000], data[5:9], data[len(data)-1:]}, nil); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	mustRead(t, c, data, 0, len(data))
	var ranges []string
	for _, r := range requests.all() {
		ranges = append(ranges, r.Header.Get("Range"))
		if r.Method != "GET" || r.ProtoMajor != 1 || r.RequestURI != "/a%2Fb/data.bin?signature=secret%2B" || r.Header.Get("X-Other") != "" {
			t.Errorf("%s %s, %s", r.Method, r.RequestURI, r.Proto)
		}
		r.Header.Del("Range")
		if got := fmt.Sprint(r.Header); got != "map[Accept:[*/*] Accept-Encoding:[identity] Authorization:[Bearer secret] User-Agent:[malcolm]]" {
			t.Error(got)
		}
	}
	if want := "bytes=10-299999 bytes=5-8 bytes=1048575-1048575 bytes=0-1048575"; strings.Join(ranges, " ") != want {
		t.Errorf("ranges %q, want %q", ranges, want)
	}
	if n := f.dialed.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	f.cfg.Headers = append(f.cfg.Headers, Header{Name: "range", Value: "secret"})
	_, err = New(target(s.URL), f.cfg).Connect(t.Context())
	wantFault(t, err, source.Unsupported, "the header Range is malcolm's own to set")
	if _, votes := New(target(s.URL), f.cfg).Voter(); votes {
		t.Error("a mirror votes")
	}
	if _, err := c.Values(t.Context(), source.Offer{}, nil); source.WhatOf(err) != source.BytesOnly {
		t.Error(err)
	}
	if p := c.Peer(); p.Addr.String() != s.Listener.Addr().String() || p.Transport != source.TCP || !p.Local.IsLoopback() {
		t.Errorf("peer %+v", p)
	}
	if got := c.Traits(); !got.MoreConns || got.Ranges != 1 || got.Untied {
		t.Errorf("traits %+v", got)
	}
}

// Nothing is known beforehand: one byte says what there is, and each range is
// tied to it.
func TestProbe(t *testing.T) {
	f := newFarm(t)
	data := random(100_000)
	var etag atomic.Value
	etag.Store(`"one"`)
	var current atomic.Pointer[[]byte]
	current.Store(&data)
	var matches diary[string]
	s := f.serve(func(w http.ResponseWriter, r *http.Request) {
		matches.add(r.Header.Get("If-Match"))
		w.Header().Set("ETag", etag.Load().(string))
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(*current.Load()))
	})
	c := f.connect(s.URL+"/dir/name%20of.bin?secret", nil)
	o, err := c.Stat(t.Context(), source.Ask{}, nil)
	if err != nil || o.Size != 100_000 || o.Name != "name of.bin" || !o.ModTime.Equal(time.Unix(1e9, 0)) || o.Checksum != [32]byte{} || o.Kind != wire.KindFile {
		t.Fatalf("%+v, %v", o, err)
	}
	mustRead(t, c, data, 5, 50_000)
	if c.Traits().Untied {
		t.Error("not tied, with a strong ETag")
	}
	if got := matches.all(); fmt.Sprintf("%q", got) != `["" "\"one\""]` {
		t.Errorf("If-Match %q", got)
	}
	etag.Store(`"two"`)
	_, err = read(t.Context(), c, span(data, 0, 10))
	wantFault(t, err, source.Changed, "its file changed")

	etag.Store(`W/"weak"`)
	current.Store(&[]byte{})
	if o, err := f.connect(s.URL, nil).Stat(t.Context(), source.Ask{}, nil); err != nil || o.Size != 0 || o.Name != "" {
		t.Errorf("an empty file: %+v, %v", o, err)
	}
	current.Store(&data)
	c = f.connect(s.URL, nil)
	if _, err := c.Stat(t.Context(), source.Ask{}, nil); err != nil || !c.Traits().Untied {
		t.Errorf("%+v, %v: want untied", c.Traits(), err)
	}
	rest := data[1:]
	current.Store(&rest)
	_, err = read(t.Context(), c, span(data, 0, 10))
	wantFault(t, err, source.Changed, "another file: 99999 bytes, not 100000")
}

// Whether a version differs only chooses the word for a wrong chunk.
func TestVersionDecidesTheWord(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	var n atomic.Int32
	s := f.serve(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, n.Add(1)/2))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	c := f.connect(s.URL, data)
	mustRead(t, c, data, 0, 100)
	same := func() bool {
		o, err := c.Stat(t.Context(), source.Ask{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return o.SameFile(source.Offer{Offer: wanted(data).Offer})
	}
	if !same() {
		t.Error("another file after one response")
	}
	mustRead(t, c, data, 0, 100)
	if same() {
		t.Error("the same file, though the ETag differs")
	}
}

// What a mirror may answer to a range of the bytes 1000 to 1999 of 100,000.
func TestAnswers(t *testing.T) {
	data := random(100_000)
	part := data[1000:2000]
	type header = map[string]string
	for name, tt := range map[string]struct {
		status int
		header header
		body   []byte
		what   source.What
		words  string // empty: the bytes are used
	}{
		"part":                {206, header{"Content-Range": "bytes 1000-1999/100000"}, part, 0, ""},
		"page as type":        {206, header{"Content-Range": "bytes 1000-1999/100000", "Content-Type": "text/html"}, part, 0, ""},
		"total not said":      {206, header{"Content-Range": "bytes 1000-1999/*"}, part, 0, ""},
		"whole":               {200, nil, data, 0, ""},
		"whole, chunked":      {200, header{"Transfer-Encoding": "chunked"}, data, 0, ""},
		"gzip file":           {206, header{"Content-Range": "bytes 1000-1999/100000", "Content-Encoding": "x-gzip"}, part, 0, ""},
		"compressed":          {206, header{"Content-Range": "bytes 1000-1999/60000", "Content-Encoding": "gzip"}, part, source.Unsupported, "compressed"},
		"compressed whole":    {200, header{"Content-Encoding": "gzip"}, part, source.Unsupported, "compressed"},
		"page":                {200, header{"Content-Type": "text/html; charset=utf-8"}, []byte("<h1>secret</h1>"), source.Absent, "a page of HTML"},
		"other file":          {200, nil, data[1:], source.Changed, "99999 bytes, not 100000"},
		"other total":         {206, header{"Content-Range": "bytes 1000-1999/100001"}, part, source.Changed, "another file: 100001 bytes, not 100000"},
		"other start":         {206, header{"Content-Range": "bytes 1001-1999/100000"}, part[1:], source.Wrong, "other bytes"},
		"other end":           {206, header{"Content-Range": "bytes 1000-2000/100000"}, data[1000:2001], source.Wrong, "other bytes"},
		"other length":        {206, header{"Content-Range": "bytes 1000-1999/100000"}, data[1000:2001], source.Wrong, "other bytes"},
		"no range":            {206, nil, part, source.Wrong, "does not say which bytes"},
		"not a range":         {206, header{"Content-Range": "bytes 1000-999/100000"}, part, source.Wrong, "does not say which bytes"},
		"other unit":          {206, header{"Content-Range": "seconds 1000-1999/100000"}, part, source.Wrong, "does not say which bytes"},
		"several":             {206, header{"Content-Type": "multipart/byteranges; boundary=secret"}, part, source.Wrong, "several ranges"},
		"unsatisfied":         {416, header{"Content-Range": "bytes */500"}, nil, source.Changed, "500 bytes, not 100000"},
		"unsatisfied, though": {416, header{"Content-Range": "bytes */100000"}, nil, source.Wrong, "does not have the bytes"},
		"too many":            {429, header{"Retry-After": "17"}, nil, source.Full, "429 (Too Many Requests)"},
		"busy":                {503, header{"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:42 GMT"}, nil, source.Full, "503 (Service Unavailable)"},
		"gone":                {410, nil, []byte("secret"), source.Absent, "410 (Gone)"},
		"forbidden":           {403, nil, []byte("secret"), source.Absent, "403 (Forbidden)"},
		"changed":             {412, nil, nil, source.Changed, "its file changed"},
		"broken":              {500, nil, []byte("secret"), source.Lost, "500 (Internal Server Error)"},
		"strange":             {799, nil, nil, source.Lost, "status 799"},
		"nothing":             {204, nil, nil, source.Unsupported, "204 (No Content)"},
		"no place":            {302, nil, nil, source.Unsupported, "no valid address"},
		"no address":          {302, header{"Location": "https://secret:%zz/"}, nil, source.Unsupported, "no valid address"},
		"other scheme":        {302, header{"Location": "ftp://example.com/secret"}, nil, source.Unsupported, "without https"},
		"plain":               {302, header{"Location": "http://example.com/secret"}, nil, source.Unsupported, "without https"},
		"round and round":     {302, header{"Location": "/secret"}, nil, source.Unsupported, "more than 5 times"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			s := f.serve(func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range tt.header {
					w.Header().Set(k, v)
				}
				if tt.header["Transfer-Encoding"] == "" {
					w.Header().Set("Content-Length", strconv.Itoa(len(tt.body)))
				}
				w.WriteHeader(tt.status)
				w.Write(tt.body)
			})
			c := f.connect(s.URL, data)
			got, err := read(t.Context(), c, span(data, 1000, 2000))
			if tt.words == "" {
				if err != nil || !bytes.Equal(got, part) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			wantFault(t, err, tt.what, tt.words)
			if tt.what == source.Full && source.WaitOf(err) != 17*time.Second {
				t.Errorf("to wait: %v", source.WaitOf(err))
			}
			_, again := c.(*conn).m.Connect(t.Context())
			if source.IsFinal(err) != (c.Err() != nil) || source.IsFinal(err) != (again != nil) {
				t.Errorf("%v: ended by %v, then %v", err, c.Err(), again)
			}
		})
	}
}

// raw starts a server that answers each request with the next text, and then
// closes the connection.
func (f *farm) raw(answers ...string) string {
	cert := f.serve(func(http.ResponseWriter, *http.Request) {}).TLS.Certificates
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { l.Close() })
	go func() {
		for _, answer := range answers {
			c, err := l.Accept()
			if err != nil {
				return
			}
			head := make([]byte, 4<<10)
			c.Read(head)
			if answer == "" {
				c.Close()
				continue
			}
			io.WriteString(c, answer)
			if !strings.HasSuffix(answer, "…") {
				c.Close()
			}
		}
	}()
	return "https://" + l.Addr().String() + "/"
}

// What is no HTTP, has no end, or ends too early.
func TestBrokenAnswers(t *testing.T) {
	data := random(10)
	const head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\n"
	for name, tt := range map[string]struct {
		answer string
		what   source.What
		words  string
		got    int
	}{
		"nothing":          {"", source.Lost, "closed the connection without an answer", 0},
		"not HTTP":         {"220 secret ESMTP\r\n\r\n", source.Foreign, "something else than HTTP", 0},
		"half a head":      {"HTTP/1.1 206 Part", source.Lost, "without an answer", 0},
		"endless headers":  {"HTTP/1.1 206 Partial Content\r\n" + strings.Repeat("X-A: secret\r\n", 10_000), source.Unsupported, "no end to its headers", 0},
		"endless line":     {"HTTP/1.1 206 Partial Content\r\nX: " + strings.Repeat("x", 100_000), source.Unsupported, "no end to its headers", 0},
		"endless interim":  {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9), source.Unsupported, "no end to its headers", 0},
		"another protocol": {"HTTP/1.1 101 Switching Protocols\r\n\r\n", source.Unsupported, "no end to its headers", 0},
		"truncated":        {head + "Content-Length: 10\r\n\r\n01234", source.Lost, "ended the answer early", 5},
		"chunk truncated":  {head + "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n", source.Lost, "ended the answer early", 5},
		"broken chunk":     {head + "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\nsecret\r\n", source.Wrong, "breaks HTTP", 5},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			c := f.connect(f.raw(tt.answer), data)
			got, err := read(t.Context(), c, span(data, 0, 10))
			wantFault(t, err, tt.what, tt.words)
			if len(got) != tt.got {
				t.Errorf("%d bytes came, want %d", len(got), tt.got)
			}
		})
	}
	for name, answer := range map[string]string{
		"interim":       "HTTP/1.1 103 Early Hints\r\n\r\n" + head + "Content-Length: 10\r\n\r\n" + string(data),
		"no length":     head + "\r\n" + string(data),
		"HTTP/1.0":      strings.Replace(head, "1.1", "1.0", 1) + "\r\n" + string(data),
		"chunks":        head + "Transfer-Encoding: chunked\r\n\r\n4\r\n" + string(data[:4]) + "\r\n6;x=y\r\n" + string(data[4:]) + "\r\n0\r\n\r\n",
		"endless":       head + "Transfer-Encoding: chunked\r\n\r\nA\r\n" + string(data) + "\r\n" + strings.Repeat("5\r\nsecre\r\n", 1000),
		"whole endless": "HTTP/1.1 200 OK\r\n\r\n" + string(data) + strings.Repeat("secret", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			c := f.connect(f.raw(answer), data)
			mustRead(t, c, data, 0, 10)
			if c.Err() != nil {
				t.Error(c.Err())
			}
		})
	}
}
