// Package https is a mirror as a source of files: any web server, CDN or bucket
// that sends bytes and knows nothing of malcolm. It never votes.
//
// # Contract
//
// The hash decides, and not the headers. Where the values of a file are known,
// no request has a condition, a type is not looked at, and the total in
// Content-Range must be the file's size. Whether the mirror's ETag or date
// differs only chooses the word for a wrong chunk. Where no values are known,
// the ranges of a file are tied by If-Match with a strong ETag; without one by
// size and date, which [source.Traits].Untied says.
//
// One connection is one TCP connection with HTTP/1.1, never more: many ranges
// at a time need many connections. There is no HEAD, since signed links allow
// one method. A mirror that sends the whole file instead of a range is read
// from its start, on one connection.
//
// The address that was typed is kept. Where its redirects lead is remembered
// for a connection. When that refuses after it had worked, the address is
// resolved once more, since links expire. Redirects stay within https. One from
// a public address does not lead to a private one, which is judged by the
// address that is dialled: see isPublic. Behind a proxy, the proxy decides. The
// user's headers go to the origin that was typed, and to no other.
//
// Plain http is for addresses that were typed with it. Anybody on the way may
// see and change such bytes. They can be used if something proves them: the
// values, or at the end a checksum. Values are not fetched over it.
//
// Sources: RFC 9110, sections 8.8 (validators), 10.2.3 (Retry-After), 13.1.1
// (If-Match), 14 (ranges), 15.4 (redirects); RFC 9112, section 9 (connections);
// RFC 8305 (addresses); RFC 1918, 4193, 6598 and 6890 (private addresses).
package https

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/source"
)

// DefaultConnectTimeout is [Config].ConnectTimeout when that is zero.
const DefaultConnectTimeout = 5 * time.Second

// A Network finds and opens the way to a mirror. Any goroutine may call it.
type Network interface {
	// Resolve returns the addresses of a host, best first.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial makes a TCP connection.
	Dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error)
}

// A Config says how mirrors are reached. All mirrors of a run share one, which
// must not be copied. The zero Config is ready to use.
type Config struct {
	Network Network // nil: [source.SystemNetwork]
	// Proxy returns the HTTP proxy through which a host and a port are
	// reached; nil: it goes without. Proxy itself may be nil.
	Proxy func(source.Target) *url.URL
	// ConnectTimeout is the time for a connection to be made; 0 or less:
	// [DefaultConnectTimeout].
	ConnectTimeout time.Duration
	// Headers are added to requests. One that is malcolm's own to set, such
	// as Range, is a fault when a mirror is used.
	Headers []Header
	// Roots are the certificate authorities to check mirrors against; nil:
	// the system's.
	Roots *x509.CertPool
	// Pins are keys that mirrors must have besides a valid certificate.
	Pins []Pin
	// Again returns the present address in place of one that was typed: the
	// file that it was read from may have a new one. Empty: the address
	// cannot change. Any goroutine may call it. nil: no address can change.
	Again func(typed string) string

	// Links keeps connections for the next file; nil: they end with the
	// file.
	Links *Links

	once     sync.Once
	sessions tls.ClientSessionCache
}

// A Header is one that the user adds to requests to an address that was typed.
type Header struct {
	Host        string // of the address, or host:port; empty: any
	Name, Value string
}

func (h Header) isFor(t source.Target) bool {
	place := source.Target{Host: t.Host, Port: t.Port}
	return h.Host == "" || strings.EqualFold(h.Host, t.Host) || strings.EqualFold(h.Host, place.String())
}

// ready fills in what was left out.
func (c *Config) ready() {
	c.once.Do(func() {
		if c.Network == nil {
			c.Network = source.SystemNetwork{}
		}
		if c.ConnectTimeout <= 0 {
			c.ConnectTimeout = DefaultConnectTimeout
		}
		c.sessions = tls.NewLRUClientSessionCache(0)
	})
}

// New returns a mirror as a source. The target's URL is an address with https
// or http; user and password in it are not used. Another address is a fault
// when the mirror is used.
func New(target source.Target, cfg *Config) source.Source {
	cfg.ready()
	m := &mirror{cfg: cfg, target: target}
	if u := parseAddress(target.URL); u != nil {
		m.typed.Store(u)
	} else {
		m.rule(saying(source.Unsupported, "the address is none of https or http"))
	}
	if name := cfg.reservedHeader(target); name != "" {
		m.rule(saying(source.Unsupported, "the header %s is malcolm's own to set", name))
	}
	return m
}

// parseAddress returns an address of https or http without what is not sent to
// a mirror; nil: it is another one.
func parseAddress(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return nil
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil
		}
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return u
}

// A mirror is one [source.Source].
type mirror struct {
	cfg    *Config
	target source.Target
	typed  atomic.Pointer[url.URL]      // as the user has it now
	ruled  atomic.Pointer[source.Fault] // why it is of no use in this run; nil: it may be
}

// rule puts the mirror out for the run.
func (m *mirror) rule(f *source.Fault) { m.ruled.CompareAndSwap(nil, f) }

func (m *mirror) Target() source.Target { return m.target }

func (m *mirror) Voter() (source.Voter, bool) {
	return source.Voter{Host: m.target.Typed()}, false
}

// Connect makes a connection to the host that was typed, and asks for nothing.
func (m *mirror) Connect(ctx context.Context) (source.Conn, error) {
	if f := m.ruled.Load(); f != nil {
		return nil, f
	}
	m.renew()
	c := newConn(m, &seen{}, hop{url: m.typed.Load()})
	if err := c.dial(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// renew replaces the address that was typed by a new one, if there is one. Only
// the part behind the host may change.
func (m *mirror) renew() {
	if m.cfg.Again == nil {
		return
	}
	now := m.typed.Load()
	u := parseAddress(m.cfg.Again(m.target.URL))
	if u == nil || originOf(u) != originOf(now) || u.String() == now.String() {
		return
	}
	m.typed.Store(u)
}

// isRenewable reports whether the address may be another one later.
func (m *mirror) isRenewable() bool { return m.cfg.Again != nil && m.cfg.Again(m.target.URL) != "" }

// originOf returns what RFC 6454 calls the origin of an address: scheme, host
// and port.
func originOf(u *url.URL) string {
	host, port := hostPort(u)
	return u.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// hostPort returns the host and the port of an address.
func hostPort(u *url.URL) (host string, port uint16) {
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return lower(u.Hostname()), uint16(n)
	}
	if u.Scheme == "http" {
		return lower(u.Hostname()), 80
	}
	return lower(u.Hostname()), 443
}
