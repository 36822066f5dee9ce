package https

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A contentRange is the value of a Content-Range header, with the unit bytes
// (RFC 9110, section 14.4).
type contentRange struct {
	from, to int64 // the first byte, and that behind the last; both 0: unsatisfied
	total    int64 // of the file; -1: not said
}

// unsatisfied reports whether it only says the total, as with status 416.
func (r contentRange) unsatisfied() bool { return r.to == 0 }

// parseContentRange parses the only value of a Content-Range header; false: it
// is not valid, or has another unit.
func parseContentRange(values []string) (r contentRange, ok bool) {
	if len(values) != 1 {
		return r, false
	}
	unit, rest, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return r, false
	}
	place, total, ok := strings.Cut(rest, "/")
	if !ok {
		return r, false
	}
	if r.total = -1; total != "*" {
		if r.total, ok = parseNumber(total); !ok {
			return r, false
		}
	}
	if place == "*" {
		return r, r.total >= 0
	}
	first, last, ok := strings.Cut(place, "-")
	if !ok {
		return r, false
	}
	var ok1, ok2 bool
	r.from, ok1 = parseNumber(first)
	r.to, ok2 = parseNumber(last)
	r.to++
	return r, ok1 && ok2 && r.from < r.to && (r.total < 0 || r.to <= r.total)
}

// parseNumber parses decimal digits, up to 2^62.
func parseNumber(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 62)
	return int64(n), err == nil
}

// longestWait bounds what a mirror may ask for; 49 days, as for servers.
const longestWait = 1<<32 - 1

// parseRetryAfter returns for how long a mirror asks to stay away (RFC 9110,
// section 10.2.3); 0: it does not say. The field has seconds, or a date. A date
// is compared with that of the response, so that our clock need not be right.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(v, 10, 63); err == nil {
		return time.Duration(min(n, longestWait/1000)) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), longestWait*time.Millisecond)
}

// A version is what tells two versions of a file apart (RFC 9110, section 8.8).
type version struct {
	etag     string // strong, with its quotes; empty: none
	modified string // Last-Modified; empty: not said
}

func versionOf(h http.Header) (v version) {
	if e := h.Get("ETag"); len(e) >= 2 && len(e) <= longestETag && e[0] == '"' && e[len(e)-1] == '"' {
		v.etag = e
	}
	if _, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		v.modified = h.Get("Last-Modified")
	}
	return v
}

// longestETag is the longest ETag that is sent back, in bytes.
const longestETag = 1 << 10

// differs reports whether two versions cannot be the same. A field that one of
// them lacks does not count.
func (v version) differs(o version) bool {
	if v.etag != "" && o.etag != "" {
		return v.etag != o.etag
	}
	return v.modified != "" && o.modified != "" && v.modified != o.modified
}
