package https

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/wire"
)

// counted is a web server that counts its connections.
func counted(t *testing.T, answer http.HandlerFunc) (server *httptest.Server, conns *atomic.Int64) {
	conns = new(atomic.Int64)
	server = httptest.NewUnstartedServer(answer)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, conns
}

func sends(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "x", time.Time{}, strings.NewReader("0123456789"))
}

// readAll reads a file whole from a mirror of its own.
func readAll(t *testing.T, cfg *Config, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	c, err := New(source.Target{Host: u.Hostname(), URL: address}, cfg).Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	offer := wire.Offer{Size: 10, Checksum: [32]byte{1}}
	if _, err := c.Stat(ctx, source.Ask{Want: &source.Wanted{Offer: offer}}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := c.Range(ctx, []source.Span{{Checksum: [32]byte{1}, Length: 10}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if data, err := io.ReadAll(b); string(data) != "0123456789" || err != nil {
		t.Errorf("%s: %q, %v", address, data, err)
	}
}

func trusting(server *httptest.Server, links *Links) *Config {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &Config{Roots: roots, Links: links}
}

// Many files of one origin share few connections.
func TestLinksAreShared(t *testing.T) {
	server, conns := counted(t, sends)
	var links Links
	cfg := trusting(server, &links)
	const jobs = 3
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			for range 20 {
				readAll(t, cfg, server.URL+"/some")
			}
		})
	}
	wg.Wait()
	if n := conns.Load(); n > jobs {
		t.Errorf("%d connections for %d files by %d at a time", n, 20*jobs, jobs)
	}
	links.Close()
	readAll(t, cfg, server.URL+"/some")
	if len(links.idle) != 0 {
		t.Error("links are kept that were closed")
	}
}

// Many files that one server redirects to another one share a connection to
// each.
func TestLinksOfRedirectsAreShared(t *testing.T) {
	end, ends := counted(t, sends)
	server, conns := counted(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, end.URL+r.URL.Path, http.StatusFound)
	})
	var links Links
	defer links.Close()
	cfg := trusting(server, &links)
	cfg.Roots.AddCert(end.Certificate())
	for range 20 {
		readAll(t, cfg, server.URL+"/some")
	}
	if n, m := conns.Load(), ends.Load(); n != 1 || m != 1 {
		t.Errorf("%d and %d connections", n, m)
	}
	end.CloseClientConnections() // they are asked over a new one
	readAll(t, cfg, server.URL+"/some")
}

// A mirror that has closed a kept connection is asked over a new one.
func TestKeptLinkIsGone(t *testing.T) {
	server, conns := counted(t, sends)
	var links Links
	cfg := trusting(server, &links)
	for range 5 {
		readAll(t, cfg, server.URL+"/some")
		server.CloseClientConnections()
	}
	if n := conns.Load(); n != 5 {
		t.Errorf("%d connections, want one each", n)
	}
}

// A link is kept for its origin only, and one whose address was not judged does
// not serve a redirect from a public address.
func TestWhoseLink(t *testing.T) {
	at := func(address string, guarded bool) hop {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return hop{url: u, guarded: guarded}
	}
	for _, test := range []struct {
		guarded bool // the link's
		to      hop
		taken   bool
	}{
		{false, at("https://h/other", false), true},
		{false, at("https://h:443/", false), true},
		{false, at("https://h:444/", false), false},
		{false, at("http://h:443/", false), false},
		{false, at("https://i/", false), false},
		{false, at("https://h/", true), false},
		{true, at("https://h/", true), true},
		{true, at("https://h/", false), true},
	} {
		server, client := net.Pipe()
		defer server.Close()
		var links Links
		links.keep(&link{origin: "https://h:443", guarded: test.guarded, conn: client, used: true})
		if l := links.take(test.to); (l != nil) != test.taken {
			t.Errorf("%+v: taken: %v", test, l != nil)
		}
		links.Close()
	}
}

// A link whose last user was woken wakes no other one.
func TestWokenLinkIsNotKept(t *testing.T) {
	_, client := net.Pipe()
	l := &link{origin: "https://h:443", conn: client, used: true}
	l.wake()
	var links Links
	if links.keep(l); len(links.idle) != 0 {
		t.Error("it is kept")
	}
}

// What is kept is bounded, in number and in time.
func TestMostLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var links Links
		add := func() {
			_, client := net.Pipe()
			links.keep(&link{origin: "https://h:443", conn: client, used: true})
		}
		for range 2 * mostLinks {
			add()
		}
		if n := len(links.idle); n != mostLinks {
			t.Errorf("%d are kept, want %d", n, mostLinks)
		}
		time.Sleep(linkTime + 1)
		if add(); len(links.idle) != 1 {
			t.Errorf("%d are kept after %v, want the new one", len(links.idle), linkTime)
		}
	})
}
