package https

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
)

// raceTime is RFC 8305's Connection Attempt Delay.
const raceTime = 250 * time.Millisecond

// A hop is an address that is asked, and what holds for it.
type hop struct {
	url *url.URL
	// foreign: a redirect led to another origin, so that the user's headers
	// stay away.
	foreign bool
	// guarded: a redirect led here from a public address, so that this must
	// be one too.
	guarded bool
	// file: url is the place of this file of a tree; empty: files lie below
	// it.
	file string
}

// errPrivate says that a redirect leads to an address to which a stranger may
// not send us.
var errPrivate = errors.New("a redirect from a public address leads to a private one")

// connect makes a connection to the origin of a hop. The error is a fault.
func (c *Config) connect(ctx context.Context, to hop) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	host, port := hostPort(to.url)
	l := &link{origin: originOf(to.url), guarded: to.guarded}
	var raw net.Conn
	var err error
	if proxy := c.proxy(host, port); proxy != nil {
		raw, err = c.dialThrough(ctx, proxy, net.JoinHostPort(host, strconv.Itoa(int(port))))
	} else {
		raw, err = c.dialHost(ctx, host, port, to.guarded)
	}
	if err != nil {
		return nil, c.dialFault(ctx, err, false, false)
	}
	if proxied := c.proxy(host, port) != nil; !proxied {
		l.addr, l.local = addrPort(raw.RemoteAddr()), addrPort(raw.LocalAddr()).Addr()
	}
	l.socket = transport.NewSocket(raw)
	l.conn = l.socket
	if to.url.Scheme == "https" {
		if l.conn, err = c.handshake(ctx, l.socket, host); err != nil {
			raw.Close()
			return nil, c.dialFault(ctx, err, true, l.socket.HasRead())
		}
	}
	l.br = bufio.NewReaderSize(l, headBuffer)
	return l, nil
}

// proxy returns the proxy for a host; nil: none.
func (c *Config) proxy(host string, port uint16) *url.URL {
	if c.Proxy == nil {
		return nil
	}
	return c.Proxy(source.Target{Host: host, Port: port})
}

// handshake proves who a host is.
func (c *Config) handshake(ctx context.Context, raw net.Conn, host string) (*tls.Conn, error) {
	conn := tls.Client(raw, &tls.Config{
		ServerName: host, RootCAs: c.Roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
		ClientSessionCache: c.sessions,
		VerifyConnection:   func(cs tls.ConnectionState) error { return c.checkPins(host, cs) },
	})
	return conn, conn.HandshakeContext(ctx)
}

// dialThrough makes a connection to an address through a proxy.
func (c *Config) dialThrough(ctx context.Context, proxy *url.URL, address string) (net.Conn, error) {
	dial, err := transport.ProxyDialer(proxy, address, func(ctx context.Context, _, address string) (net.Conn, error) {
		host, text, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, err
		}
		return c.dialHost(ctx, host, uint16(port), false)
	})
	if err != nil {
		return nil, &transport.NetworkError{Kind: transport.ProxyFailed, Err: err}
	}
	return dial(ctx)
}

// dialHost makes a TCP connection to a host, which has to be public if it is
// guarded. Its name is looked up here, and the very addresses that are judged
// are dialled.
func (c *Config) dialHost(ctx context.Context, host string, port uint16, guarded bool) (net.Conn, error) {
	addrs, err := c.Network.Resolve(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = source.ErrNoSuchHost
	}
	if err != nil {
		return nil, source.ResolveFault(host, err)
	}
	var remotes []netip.AddrPort
	for _, a := range source.InTurn(addrs) {
		if !guarded || isPublic(a) {
			remotes = append(remotes, netip.AddrPortFrom(a, port))
		}
	}
	if len(remotes) == 0 {
		return nil, errPrivate
	}
	return c.race(ctx, remotes)
}

// race dials addresses one after the other, the next one when the last has
// failed or is slow (RFC 8305, section 5). The first connection is used. The
// error is that of the first address.
func (c *Config) race(ctx context.Context, remotes []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		i    int
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome)
	var running, next int
	var won net.Conn
	errs := make([]error, len(remotes))
	start := func() {
		i, remote := next, remotes[next]
		next, running = next+1, running+1
		go func() {
			conn, err := c.Network.Dial(ctx, remote)
			outcomes <- outcome{i, conn, err}
		}()
	}
	start()
	for running > 0 {
		var slow <-chan time.Time
		if won == nil && next < len(remotes) {
			slow = time.After(raceTime)
		}
		select {
		case o := <-outcomes:
			running--
			switch errs[o.i] = o.err; {
			case o.err == nil && won == nil:
				won = o.conn
				cancel()
			case o.err == nil:
				o.conn.Close()
			case won == nil && next < len(remotes) && ctx.Err() == nil:
				start()
			}
		case <-slow:
			start()
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, errs[0]
}

// addrPort returns the address of a socket; zero: it has none.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// dialFault sorts why no connection could be made.
func (c *Config) dialFault(ctx context.Context, err error, connected, heard bool) *source.Fault {
	if f, ok := errors.AsType[*source.Fault](err); ok {
		return f
	}
	if err == errPrivate {
		return &source.Fault{What: source.Unsupported, Words: err.Error(), Err: err}
	}
	if errors.Is(err, ErrPinned) {
		return &source.Fault{What: source.Untrusted, Words: ErrPinned.Error(), Err: err}
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &source.Fault{What: source.Untrusted, Words: certificateWords(e), Err: err}
	}
	err = transport.DialError(ctx, err, connected, heard)
	f := networkFault(err)
	switch f.What {
	case source.NoAnswer:
		f.Words = fmt.Sprintf("no answer in %v", c.ConnectTimeout)
	case source.SlowAnswer:
		f.Words = fmt.Sprintf("no complete answer in %v", c.ConnectTimeout)
	}
	return f
}
