package flags

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"malcolm/transfer/source"
)

// noProxy is the value that turns all proxies off.
const noProxy = "none"

// A Proxy is where TCP connections go through: "none", or a URL. Empty: what
// the environment says.
type Proxy struct {
	none bool
	url  *url.URL // nil: none was given
}

var errProxy = errors.New("is not an address as http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT")

// UnmarshalText takes "none", or an address that begins with http://. The error
// does not show it: it may have a password.
func (p *Proxy) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" || s == noProxy {
		*p = Proxy{none: true}
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || !strings.EqualFold(u.Scheme, "http") || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errProxy
	}
	*p = Proxy{url: u}
	return nil
}

// Of returns the proxy of each server and mirror; nil: no proxy. HTTPS_PROXY
// and NO_PROXY count where no proxy is given, and http_proxy for mirrors with
// http://.
func (p Proxy) Of(getenv func(string) string) func(source.Target) *url.URL {
	switch {
	case p.none:
		return nil
	case p.url != nil:
		return func(source.Target) *url.URL { return p.url }
	}
	either := func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return getenv(strings.ToLower(name))
	}
	env := httpproxy.Config{HTTPProxy: either("http_proxy"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY")}
	if env.HTTPSProxy == "" && env.HTTPProxy == "" {
		return nil
	}
	find := env.ProxyFunc()
	return func(t source.Target) *url.URL {
		scheme := "https"
		if IsPlain(t) {
			scheme = "http"
		}
		u, err := find(&url.URL{Scheme: scheme, Host: net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))})
		if err != nil {
			return nil
		}
		return u
	}
}
