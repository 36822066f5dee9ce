package malcolm

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// In a behind, this machine knows no names but that of its proxy, and UDP goes
// nowhere.
type behind struct {
	source.SystemNetwork
	mute bool // the name server does not answer
}

func (b behind) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if host == "proxy.test" {
		host = "127.0.0.1"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if b.mute {
		<-ctx.Done()
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (behind) Open(netip.AddrPort) (net.PacketConn, error) {
	return nil, &transport.NetworkError{Kind: transport.Prohibited}
}

// A proxy is an HTTP proxy on this machine.
type proxy struct {
	port string
	work sync.WaitGroup
	ln   net.Listener
}

// newProxy has handle take each connection, with the request that came on it.
func newProxy(t *testing.T, handle func(c net.Conn, r *http.Request)) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	p := &proxy{port: port, ln: ln}
	p.work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					handle(c, r)
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.work.Wait()
	})
	return p
}

// reach connects to server.test:9001 through a proxy.
func (p *proxy) reach(t *testing.T, network Network, only transport.Protocol, timeout time.Duration) (source.Conn, error) {
	t.Helper()
	u, err := url.Parse("http://user:secret@proxy.test:" + p.port)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := Sources(t.Context(), Config{
		Network: network, ConnectTimeout: timeout, Transport: only, Proxy: func(source.Target) *url.URL { return u },
	}, []source.Target{{Host: "server.test", Port: 9001}}, false)
	if err != nil {
		t.Fatal(err)
	}
	return sources[0].Connect(t.Context())
}

// A name that only the proxy knows is reached through it, as the user typed it.
func TestThroughAProxy(t *testing.T) {
	s := newSim(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	conf, err := s.id.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenTCP(ln, transport.ListenOptions{TLS: conf})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go s.accept(ctx, l, ended)
	asked := make(chan http.Request, 8)
	p := newProxy(t, func(c net.Conn, r *http.Request) {
		asked <- *r
		to, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() {
			io.Copy(to, c)
			to.Close()
		}()
		io.Copy(c, to)
	})
	c, err := p.reach(t, behind{mute: true}, 0, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	stat(t, c)
	if got := c.Peer(); got.Transport != source.TCP || got.Addr.IsValid() || got.ID != s.id.ID() {
		t.Errorf("reached %+v, want the server over TCP, at a place that only the proxy knows", got)
	}
	r := <-asked
	if user, password, _ := parseProxyAuth(&r); r.Method != http.MethodConnect || r.Host != "server.test:9001" || user != "user" || password != "secret" {
		t.Errorf("the proxy was asked for %s %s by %s", r.Method, r.Host, user)
	}
	c.Close()
	cancel()
	<-ended
}

func parseProxyAuth(r *http.Request) (user, password string, ok bool) {
	r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
	return r.BasicAuth()
}

// A proxy that does not connect us is named, and not its password.
func TestProxyFails(t *testing.T) {
	says := func(words string) func(net.Conn, *http.Request) {
		return func(c net.Conn, _ *http.Request) { io.WriteString(c, words) }
	}
	for name, test := range map[string]struct {
		handle func(net.Conn, *http.Request)
		want   string // PROXY stands for its host and port
	}{
		"password": {says("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), "proxy PROXY asks for a user and a password, as in http://USER:PASSWORD@PROXY"},
		"refusal":  {says("HTTP/1.1 403 Forbidden\r\n\r\n"), `proxy PROXY refuses with status 403: "403 Forbidden"`},
		"garbage":  {says("220 mail.example ESMTP\r\n\r\n"), `proxy PROXY does not answer in HTTP: "220 mail.example ESMTP`},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, test.handle)
			_, err := p.reach(t, behind{}, 0, time.Minute)
			want := strings.ReplaceAll(test.want, "PROXY", "proxy.test:"+p.port)
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, want)
			}
			_, err = p.reach(t, behind{}, transport.QUIC, time.Minute)
			if source.WhatOf(err) != source.NoHost {
				t.Errorf("over QUIC alone: error %v, want one of a host that is not known", err)
			}
		})
	}
}

// A proxy that says nothing is given up in time.
func TestProxyIsSilent(t *testing.T) {
	p := newProxy(t, func(c net.Conn, _ *http.Request) { io.Copy(io.Discard, c) })
	_, err := p.reach(t, behind{}, transport.TCP, 200*time.Millisecond)
	if f, ok := errors.AsType[*source.Fault](err); !ok || f.What != source.NoAnswer {
		t.Errorf("error %v, want no answer in time", err)
	}
}
