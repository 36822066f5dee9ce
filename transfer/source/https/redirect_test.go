package https

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"malcolm/transfer/source"
	"malcolm/wire"
)

// Which addresses a stranger may send us to.
func TestIsPublic(t *testing.T) {
	for _, test := range []struct {
		addrs string
		want  bool
	}{
		{"1.1.1.1 93.184.216.34 172.15.255.255 172.32.0.0 100.63.255.255 100.128.0.0 192.0.1.0 169.253.0.1 11.0.0.0", true},
		{"2606:4700::1111 2a00:1450::1 64:ff9b::101:101 2002:101:101::1 ::ffff:1.1.1.1", true},
		{"127.0.0.1 127.255.0.1 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1 ::7f00:1", false},
		{"0.0.0.0 0.1.2.3 :: 255.255.255.255 240.0.0.1", false},
		{"10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:c0a8:1::", false},
		{"100.64.0.1 100.127.255.255 198.18.0.1 192.0.0.8", false},
		{"169.254.169.254 fe80::1 fe80::1%eth0 fec0::1 ::ffff:169.254.169.254", false},
		{"fc00::1 fdff::1 64:ff9b:1::1 2001::1 100::1", false},
		{"224.0.0.1 239.255.255.255 ff02::1 ff0e::1", false},
	} {
		for s := range strings.FieldsSeq(test.addrs) {
			if got := isPublic(netip.MustParseAddr(s)); got != test.want {
				t.Errorf("%s: %t, want %t", s, got, test.want)
			}
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// redirects answers with a redirect to what to returns.
func redirects(to func(r *http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to(r))
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, "<a>secret</a>")
	}
}

// Where a redirect may lead is judged by the address that is dialled. What the
// user types may be any.
func TestRedirectToAPrivateAddress(t *testing.T) {
	data := random(1000)
	const public, other, private = "93.184.216.34", "1.1.1.1", "10.0.0.1"
	for name, tt := range map[string]struct {
		from, to string
		ok       bool
	}{
		"public to public":   {public, other, true},
		"public to private":  {public, private, false},
		"public to loopback": {public, "::1", false},
		"private to private": {private, "192.168.1.1", true},
		"private to public":  {private, public, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			end := f.at(f.serve(file(data)), "example.com", tt.to)
			var hits atomic.Int32
			start := f.at(f.serve(redirects(func(*http.Request) string { hits.Add(1); return end })), "start.example.com", tt.from)
			c := f.connect(start+"/?secret", data)
			got, err := read(t.Context(), c, span(data, 0, 1000))
			if !tt.ok {
				wantFault(t, err, source.Unsupported, "leads to a private one")
				return
			}
			if err != nil || !bytes.Equal(got, data) {
				t.Fatal(err)
			}
			mustRead(t, c, data, 5, 10)
			again, err := c.Again(t.Context(), source.More)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			mustRead(t, again, data, 5, 10)
			if n := hits.Load(); n != 1 {
				t.Errorf("asked %d times where to go", n)
			}
			// The name of the end is given another address.
			if tt.from == public {
				f.at(f.serve(file(data)), "example.com", private)
				_, err := c.Again(t.Context(), source.More)
				wantFault(t, err, source.Unsupported, "leads to a private one")
			}
		})
	}
	t.Run("public to private over a public one", func(t *testing.T) {
		f := newFarm(t)
		end := f.at(f.serve(file(data)), "example.com", private)
		mid := f.at(f.serve(redirects(func(*http.Request) string { return end })), "mid.example.com", public)
		start := f.at(f.serve(redirects(func(*http.Request) string { return mid })), "start.example.com", "10.0.0.9")
		_, err := read(t.Context(), f.connect(start, data), span(data, 0, 1))
		wantFault(t, err, source.Unsupported, "leads to a private one")
	})
}

// The headers of the user go to the origin that was typed, and not there again
// once a redirect has led away. Each redirect is followed, up to five.
func TestRedirects(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	f.cfg.Headers = []Header{{Host: "127.0.0.1", Name: "Authorization", Value: "secret"}, {Host: "127.0.0.1", Name: "Cookie", Value: "secret"}}
	var seen diary[string]
	see := func(r *http.Request) {
		seen.add(r.URL.Path + " " + r.Header.Get("Authorization") + r.Header.Get("Cookie"))
	}
	var first atomic.Value
	second := f.serve(redirects(func(r *http.Request) string {
		see(r)
		return first.Load().(string) + "/4"
	}))
	s := f.serve(func(w http.ResponseWriter, r *http.Request) {
		see(r)
		switch r.URL.Path {
		case "/1":
			redirects(func(*http.Request) string { return "2?x#y" })(w, r)
		case "/2":
			redirects(func(*http.Request) string { return "https://user:secret@" + second.Listener.Addr().String() + "/3" })(w, r)
		case "/4":
			redirects(func(*http.Request) string { return "//" + r.Host + "/5" })(w, r)
		case "/5":
			redirects(func(*http.Request) string { return "?6" })(w, r)
		}
		if r.URL.RawQuery == "6" {
			file(data)(w, r)
		}
	})
	first.Store(s.URL)
	// The last redirect leads to /5?6, which redirects no more.
	_, err := read(t.Context(), f.connect(s.URL+"/1", data), span(data, 0, 10))
	if err == nil {
		t.Error("a sixth redirect was followed")
	}
	want := "/1 secretsecret,/2 secretsecret,/3 ,/4 ,/5 ,/5 "
	if got := strings.Join(seen.all(), ","); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Where a redirect has led expires, and the address that was typed is asked
// once more. If that is of no use, it is a fault. A user's file may have a new
// address, too.
func TestExpiredLinks(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	var valid atomic.Int32
	var asked atomic.Int32
	end := f.serve(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != fmt.Sprint("secret", valid.Load()) {
			http.Error(w, "secret", http.StatusForbidden)
			return
		}
		file(data)(w, r)
	})
	s := f.serve(redirects(func(*http.Request) string { return fmt.Sprint(end.URL, "/?secret", asked.Add(1)) }))
	valid.Store(1)
	c := f.connect(s.URL, data)
	mustRead(t, c, data, 0, 10)
	valid.Store(2)
	mustRead(t, c, data, 10, 20)
	mustRead(t, c, data, 20, 30)
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	valid.Store(99)
	_, err := read(t.Context(), c, span(data, 0, 10))
	wantFault(t, err, source.Absent, "403 (Forbidden), at host \"127.0.0.1\", where a redirect leads")
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}

	valid.Store(5)
	typed := end.URL + "/?secret5"
	now := typed
	f.cfg.Again = func(was string) string {
		if was != typed {
			t.Errorf("%q was typed", was)
		}
		return now
	}
	c = f.connect(typed, data)
	mustRead(t, c, data, 0, 10)
	valid.Store(6)
	_, err = read(t.Context(), c, span(data, 0, 10))
	wantFault(t, err, source.Lost, "403")
	now = "https://example.com/?secret6"
	_, err = read(t.Context(), c, span(data, 0, 10))
	wantFault(t, err, source.Lost, "403")
	now = end.URL + "/?secret6"
	mustRead(t, c, data, 0, 10)

	// Each connection goes on with what one of them has found.
	second, err := c.Again(t.Context(), source.More)
	if err != nil {
		t.Fatal(err)
	}
	mustRead(t, second, data, 0, 10)
	valid.Store(7)
	now = end.URL + "/?secret7"
	mustRead(t, c, data, 10, 20)
	mustRead(t, second, data, 20, 30)
}

func TestBelow(t *testing.T) {
	for _, c := range [][3]string{
		{"https://a/d", "x", "https://a/d/x"},
		{"https://a/d/", "x y/ü#?.txt", "https://a/d/x%20y/%C3%BC%23%3F.txt"},
		{"https://a/d/?k=v&w=/", "x", "https://a/d/x?k=v&w=/"},
		{"https://a", "%", "https://a/%25"},
	} {
		u, err := url.Parse(c[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := Below(u, c[1]).String(); got != c[2] {
			t.Errorf("%q below %q: %q, want %q", c[1], c[0], got, c[2])
		}
	}
}

// A link may have expired if the status says so, or if it has worked. A file
// that was never there is not waited for.
func TestWhatMayExpire(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	var status atomic.Int32
	s := f.serve(func(w http.ResponseWriter, r *http.Request) {
		if n := status.Load(); n != 0 {
			w.WriteHeader(int(n))
			return
		}
		file(data)(w, r)
	})
	f.cfg.Again = func(typed string) string { return typed }
	for _, worked := range []bool{false, true} {
		for code, expires := range map[int32]bool{400: true, 401: true, 403: true, 404: false, 410: false, 418: false} {
			status.Store(0)
			c := f.connect(s.URL, data)
			if worked {
				mustRead(t, c, data, 0, 10)
			}
			status.Store(code)
			want := map[bool]source.What{true: source.Lost, false: source.Absent}[worked || expires]
			_, err := read(t.Context(), c, span(data, 0, 10))
			wantFault(t, err, want, fmt.Sprint(code))
			if (c.Err() != nil) != (want == source.Absent) {
				t.Errorf("%d, worked %t: the connection ended with %v", code, worked, c.Err())
			}
			c.Close()
		}
	}
}

// A tree lies below its address. What a mirror does not have of it concerns
// only that file.
// Where a redirect leads for one file says nothing of the others, unless their
// paths and the query stay. For that file it is remembered.
func TestTreeOfSignedLinks(t *testing.T) {
	files := map[string][]byte{"a": random(1000), "b": random(1001)}
	for name, place := range map[string]func(path string) string{
		"a query of its own": func(path string) string { return "/end/" + path + "?file=" + path },
		"a path of its own":  func(path string) string { return "/blob/" + path + path },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			end := f.serve(func(w http.ResponseWriter, r *http.Request) {
				name := r.URL.Query().Get("file")
				if name == "" {
					name = path.Base(r.URL.Path)[:1]
				}
				file(files[name])(w, r)
			})
			var typed diary[string]
			s := f.serve(redirects(func(r *http.Request) string {
				typed.add(r.URL.Path)
				return end.URL + place(strings.TrimPrefix(r.URL.Path, "/dir/"))
			}))
			c := f.connect(s.URL+"/dir", nil)
			want := &source.Wanted{Offer: wire.Offer{Kind: wire.KindTree, Size: 99}, Path: func(checksum [32]byte) (string, int64, bool) {
				for path, data := range files {
					if sum(data) == checksum {
						return path, int64(len(data)), true
					}
				}
				return "", 0, false
			}}
			if _, err := c.Stat(t.Context(), source.Ask{Want: want}, nil); err != nil {
				t.Fatal(err)
			}
			a, b := files["a"], files["b"]
			mustRead(t, c, a, 0, 500)
			mustRead(t, c, a, 500, 1000)
			mustRead(t, c, b, 0, 1001)
			mustRead(t, c, b, 0, 7)
			if got, want := fmt.Sprint(typed.all()), "[/dir/a /dir/b]"; got != want {
				t.Errorf("asked for %s where to go, want %s", got, want)
			}
		})
	}
}

func TestTree(t *testing.T) {
	f := newFarm(t)
	files := map[string][]byte{"a": random(100), "sub/b c%.bin": random(300_000), "gone": random(5), "other": random(7)}
	var paths diary[string]
	end := f.serve(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/end/dir/")
		data, ok := files[path]
		switch {
		case path == "gone" || !ok || r.URL.RawQuery != "secret":
			http.NotFound(w, r)
		case path == "other":
			file(data[1:])(w, r)
		default:
			file(data)(w, r)
		}
	})
	s := f.serve(redirects(func(r *http.Request) string {
		paths.add(r.RequestURI)
		return end.URL + "/end" + r.RequestURI
	}))
	want := &source.Wanted{
		Offer: wire.Offer{Kind: wire.KindTree, Size: 99},
		Path: func(checksum [32]byte) (string, int64, bool) {
			for path, data := range files {
				if sum(data) == checksum {
					return path, int64(len(data)), true
				}
			}
			return "", 0, false
		},
	}
	c := f.connect(s.URL+"/dir?secret", nil)
	if _, err := c.Stat(t.Context(), source.Ask{Want: want}, nil); err != nil {
		t.Fatal(err)
	}
	whole := func(name string) source.Span { return span(files[name], 0, len(files[name])) }
	spans := []source.Span{
		whole("a"), span(files["gone"], 0, 2), span(files["gone"], 2, 5), {Checksum: sha256.Sum256([]byte("x")), Length: 7},
		whole("sub/b c%.bin"), whole("other"), whole("a"),
	}
	body, err := c.Range(t.Context(), spans)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var got []byte
	var failed []string
	p := make([]byte, 1<<20)
	for {
		n, err := body.Read(p)
		got = append(got, p[:n]...)
		if span, ok := err.(*source.FailedSpan); ok {
			failed = append(failed, fmt.Sprint(span.Index, " ", span.Fault.What))
		} else if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if want := bytes.Join([][]byte{files["a"], files["sub/b c%.bin"], files["a"]}, nil); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	absent, changed := int(source.Absent), int(source.Changed)
	if want := fmt.Sprintf("[1 %d 2 %d 3 %d 5 %d]", absent, absent, changed, changed); fmt.Sprint(failed) != want {
		t.Errorf("failed: %q, want %s", failed, want)
	}
	if got, want := fmt.Sprint(paths.all()), "[/dir/a?secret]"; got != want {
		t.Errorf("asked for %s where to go, want %s", got, want)
	}
}

// A proxy leads to mirrors, and decides where a redirect may lead.
func TestProxy(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	end := f.serve(file(data))
	s := f.serve(redirects(func(*http.Request) string { return end.URL }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connected atomic.Int32
	proxy := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		connected.Add(1)
		w.WriteHeader(http.StatusOK)
		c, early, _ := http.NewResponseController(w).Hijack()
		go func() { io.Copy(to, early); to.Close() }()
		io.Copy(c, to)
		c.Close()
	})}
	go proxy.Serve(l)
	t.Cleanup(func() { proxy.Close() })
	f.cfg.Proxy = func(to source.Target) *url.URL {
		if to.URL != "" || to.Host != "127.0.0.1" {
			t.Errorf("a proxy for %+v", to)
		}
		return &url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	c := f.connect(s.URL, data)
	mustRead(t, c, data, 0, 1000)
	if p := c.Peer(); p.Addr.IsValid() || p.Local.IsValid() {
		t.Errorf("%+v: only the proxy knows", p)
	}
	if n := connected.Load(); n != 2 {
		t.Errorf("%d connections through the proxy", n)
	}
	// Where no proxy leads to the end, its address counts again.
	proxied := f.cfg.Proxy
	f.cfg.Proxy = func(to source.Target) *url.URL {
		if fmt.Sprint(to.Port) == end.URL[strings.LastIndex(end.URL, ":")+1:] {
			return nil
		}
		return proxied(to)
	}
	_, err = read(t.Context(), f.connect(s.URL, data), span(data, 0, 1))
	wantFault(t, err, source.Unsupported, "leads to a private one")
}

// The host where redirects had led is gone: the address that was typed leads
// elsewhere now. A connection in place of a useless one begins there, too.
func TestEndIsGone(t *testing.T) {
	f := newFarm(t)
	data := random(1000)
	first, second := f.serve(file(data)), f.serve(file(data))
	var asked atomic.Int32
	s := f.serve(redirects(func(*http.Request) string {
		if asked.Add(1) == 1 {
			return first.URL
		}
		return second.URL
	}))
	c := f.connect(s.URL, data)
	mustRead(t, c, data, 0, 10)
	again, err := c.Again(t.Context(), source.Instead)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if at := again.Peer().Addr.String(); at != s.Listener.Addr().String() {
		t.Errorf("begins at %s", at)
	}
	first.CloseClientConnections()
	first.Listener.Close()
	more, err := c.Again(t.Context(), source.More)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	mustRead(t, c, data, 10, 20)
	mustRead(t, more, data, 10, 20)
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}
