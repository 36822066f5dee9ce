package https

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"

	"malcolm/transfer/source"
)

// userAgent is how malcolm names itself.
const userAgent = "malcolm"

// reserved are the headers that are malcolm's own to set.
var reserved = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match",
	"If-Range", "If-Unmodified-Since", "Keep-Alive", "Proxy-Connection", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// newRequest returns the request for a part at a hop.
func (c *conn) newRequest(to hop, p *part) *http.Request {
	h := http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}}
	if !to.foreign {
		for _, own := range c.m.cfg.Headers {
			if own.isFor(c.m.target) {
				h.Set(own.Name, own.Value)
			}
		}
	}
	h.Set("Accept-Encoding", "identity")
	if !p.all {
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", p.from, p.to-1))
		if etag := c.seen.look().first.etag; etag != "" && c.wanted() == nil {
			h.Set("If-Match", etag)
		}
	}
	return &http.Request{
		Method: http.MethodGet, URL: to.url, Host: to.url.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// reservedHeader returns the name of a header for a target that is malcolm's
// own to set; empty: the user gave no such header.
func (c *Config) reservedHeader(t source.Target) string {
	for _, h := range c.Headers {
		if name := textproto.CanonicalMIMEHeaderKey(h.Name); h.isFor(t) && slices.Contains(reserved, name) {
			return name
		}
	}
	return ""
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow asks where a response redirects to.
func (a *asked) follow() *source.Fault {
	to, f := redirect(a.to, a.resp.Header.Get("Location"), a.hops, a.link)
	a.rest()
	if f != nil {
		return a.at(f)
	}
	a.hops++
	a.typed = false
	if f := faultOf(a.send(to)); f != nil {
		return a.at(f)
	}
	return nil
}

// redirect says where a redirect leads. from is the address that was asked over
// a link.
func redirect(from hop, location string, hops int, l *link) (hop, *source.Fault) {
	if hops >= mostRedirects {
		return hop{}, saying(source.Unsupported, "the mirror redirects more than %d times", mostRedirects)
	}
	ref, err := url.Parse(location)
	if err != nil || location == "" {
		return hop{}, saying(source.Unsupported, "the mirror redirects to no valid address")
	}
	ref = from.url.ResolveReference(ref)
	if ref.Scheme != "https" && (from.url.Scheme != "http" || ref.Scheme != "http") {
		return hop{}, saying(source.Unsupported, "the mirror redirects to an address without https")
	}
	u := parseAddress(ref.String())
	if u == nil {
		return hop{}, saying(source.Unsupported, "the mirror redirects to no valid address")
	}
	return hop{
		url:     u,
		foreign: from.foreign || originOf(u) != originOf(from.url),
		guarded: from.guarded || !l.addr.IsValid() || isPublic(l.addr.Addr()),
	}, nil
}

// remember keeps where redirects have led, for the next requests. For a file
// below the address it keeps the place above the file, if that is clear. A
// redirect with another path or a query of its own says nothing about other
// files.
func (c *conn) remember(end hop, path string) {
	if path != "" {
		u := *end.url
		front, ok := strings.CutSuffix(u.EscapedPath(), Below(&url.URL{}, path).RawPath)
		if ok && u.RawQuery == c.m.typed.Load().RawQuery {
			u.RawPath = front + "/"
			u.Path, _ = url.PathUnescape(u.RawPath)
			end.url, end.file = &u, ""
		} else {
			end.file = path
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.typed = end, false
}

// mayRenew reports whether a refusal is a reason to begin once more at the
// typed address: the place that redirects led to refuses now, or the user has a
// new address.
func (a *asked) mayRenew() bool {
	if a.renewed {
		return false
	}
	a.c.m.renew()
	return a.c.isOutdated() || a.c.seen.look().worked && !a.typed && a.hops == 0
}

// isOutdated reports whether the user has another address than the one with
// which the connection began. Any connection may have found that out.
func (c *conn) isOutdated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began != c.m.typed.Load()
}

// restart makes the connection begin at the typed address.
func (c *conn) restart() hop {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began = c.m.typed.Load()
	c.at, c.typed = hop{url: c.began}, true
	return c.at
}

// isLate reports whether an error is a deadline of ours, or that we were woken.
func isLate(err error) bool { return err == errWoken || errors.Is(err, os.ErrDeadlineExceeded) }
