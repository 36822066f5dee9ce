package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
)

// proxied dials a server through a proxy at an address, which says answer.
func proxied(t *testing.T, address, answer string, connected func(c net.Conn)) (asked string, err error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	client, proxy := newMemoryPair()
	heard := make(chan string, 1)
	go func() {
		head, _ := readHead(proxy)
		heard <- string(head)
		io.WriteString(proxy, answer)
		connected(proxy)
	}()
	at := ""
	dial, err := ProxyDialer(u, "server.example:10001", func(_ context.Context, _, address string) (net.Conn, error) {
		at = address
		return client, nil
	})
	if err != nil {
		return "", err
	}
	c, err := dialTCP(dial, DialOptions{})
	if err == nil {
		c.Close(0, "")
	}
	if want := strings.TrimPrefix(u.Host, "user"); at != want && at != want+":80" {
		t.Errorf("dialled %q", at)
	}
	return <-heard, err
}

func TestProxy(t *testing.T) {
	for name, tt := range map[string]struct{ address, auth string }{
		"plain":    {"http://proxy.example:3128", ""},
		"port 80":  {"http://proxy.example", ""},
		"password": {"http://a%20b:c%3Ad@proxy.example:3128", "Proxy-Authorization: Basic YSBiOmM6ZA==\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				l := serveTCP(t, m, ListenOptions{})
				asked, err := proxied(t, tt.address, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", func(c net.Conn) { m.conns <- c })
				if err != nil {
					t.Fatal(err)
				}
				mustAccept(t, l)
				want := "CONNECT server.example:10001 HTTP/1.1\r\nHost: server.example:10001\r\n" + tt.auth + "\r\n"
				if asked != want {
					t.Errorf("asked %q, want %q", asked, want)
				}
			})
		})
	}
}

func TestProxyRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		status int
		words  string
	}{
		"forbidden": {"HTTP/1.1 403 For\x1bbidden\r\nA: b\r\n\r\n", 403, `refuses with status 403: "403 For\x1bbidden"`},
		"password":  {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", 407, "asks for a user and a password"},
		"no http":   {"SSH-2.0-x\r\n\r\n", 0, `does not answer in HTTP: "SSH-2.0-x`},
		"long":      {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxProxyHead), 0, "does not answer in HTTP"},
		"long text": {"HTTP/1.1 500 " + strings.Repeat("x", 4<<10) + "\r\n\r\n", 500, "refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := proxied(t, "http://proxy.example:3128", tt.answer, func(net.Conn) {})
				wantNetwork(t, err, ProxyFailed)
				e, ok := errors.AsType[*ProxyError](err)
				if !ok || e.Status != tt.status || !strings.Contains(e.Error(), tt.words) || len(e.Text) > maxText {
					t.Errorf("error = %v", err)
				}
			})
		})
	}
}

// A proxy that says nothing is given up in time.
func TestProxySilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := proxied(t, "http://proxy.example:3128", "", func(net.Conn) {})
		wantNetwork(t, err, NoAnswer)
	})
}

func TestProxyAddresses(t *testing.T) {
	for _, address := range []string{"https://proxy.example", "socks5://proxy.example", "http://:80", "proxy.example"} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ProxyDialer(u, "server.example:1", nil)
		wantLocal(t, err, LocalConfig)
	}
	u, _ := url.Parse("http://user:secret@:1")
	if _, err := ProxyDialer(u, "server.example:1", nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error = %v", err)
	}
	u, _ = url.Parse("http://proxy.example")
	for _, remote := range []string{"server.example", "a:1\r\nX: y", "a b:1"} {
		_, err := ProxyDialer(u, remote, nil)
		wantLocal(t, err, LocalConfig)
	}
}
