// Package web answers HTTP for a server: for browsers, curl and aria2, which
// know nothing of malcolm. It knows addresses, conditions, ranges, signed links
// and pages; it has no socket, and reads no file: a [Store] does.
//
// # Addresses
//
//	/                    what is here, and how to get it
//	/NAME                the file that is offered
//	/NAME.malcolm        its file of values (package wire)
//	/NAME.meta4          a Metalink 4 of the file, or of all files of the tree
//	/NAME/               the directory that is offered, as a page
//	/NAME/DIR/           a directory in it
//	/NAME/PATH           a file in it; a link leads on to its target
//	/NAME/PATH.malcolm   that file's values, unless the tree has such a path
//	/NAME/PATH.meta4     a Metalink of that file, unless the tree has such a path
//
// A path is looked for in the listing, byte by byte. Nothing of a request ever
// names a file to the system.
//
// # Semantics
//
// GET and HEAD, with conditions and ranges as RFC 9110 says (sections 13 and
// 14). The checksum makes the entity tag, which is strong: two answers with one
// tag have the same bytes. If the SHA-256 is known there are Repr-Digest (RFC
// 9530), and Digest (RFC 3230) for clients that ask with Want-Digest, as aria2
// does. No byte of another version is ever sent: an answer whose file changes
// is cut, and before its first byte it is a 503.
//
// No served file runs in the server's origin. Only plain text, pictures and
// media are shown, everything else is saved, and a policy forbids the rest.
//
// With tokens only signed links are answered; see [certs.Link].
package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"malcolm/certs"
)

// A Config says what a [Site] shows.
type Config struct {
	Store Store
	// Tokens returns the tokens, with one of which links must be signed.
	// Without tokens everybody may read.
	Tokens func() []certs.Token
	// Guide says how to get what is offered; its zero value names only what
	// the request shows.
	Guide func() Guide
	// Now tells the time for links and dates; nil: [time.Now].
	Now func() time.Time
}

// A Guide is what a page needs to say how to get what is offered.
type Guide struct {
	Malcolm []string // commands to paste, each for itself
	// Pin is the SHA-256 of the public key, in base64, if the certificate
	// is one that no browser trusts; empty: it is another one.
	Pin string
}

// A Site answers HTTP. Any goroutine may call its methods.
type Site struct{ cfg Config }

// New returns a site.
func New(cfg Config) *Site {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Site{cfg}
}

// A visit is the work for one request.
type visit struct {
	*Site
	w     http.ResponseWriter
	r     *http.Request
	query string // of a signed link, with "?" in front, for links to what it is good for
	scope string // the path that the link was made for
}

// ServeHTTP implements [http.Handler]. An answer that cannot be finished panics
// with [http.ErrAbortHandler], as that package asks for.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{Site: s, w: w, r: r, scope: "/"}
	v.secure()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.Header().Set("Connection", "close") // whatever follows is not read
		v.problem(http.StatusMethodNotAllowed, "Only GET and HEAD are answered here.")
	case r.ContentLength != 0:
		w.Header().Set("Connection", "close")
		v.problem(http.StatusBadRequest, "A request with a body is not answered here.")
	case v.admit():
		v.visit(r.Context())
	}
}

// secure sets what every answer has.
func (v *visit) secure() {
	h := v.w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // the query may be a signature
	h.Set("Content-Security-Policy", pagePolicy)
}

// admit reports whether the request may be answered. If not, it was told why.
func (v *visit) admit() bool {
	var tokens []certs.Token
	if v.cfg.Tokens != nil {
		tokens = v.cfg.Tokens()
	}
	if len(tokens) == 0 {
		return true
	}
	v.w.Header().Set("Cache-Control", "private, no-cache")
	q := v.r.URL.Query()
	expires, signature := q.Get("e"), q.Get("s")
	scope, err := certs.CheckLink(tokens, v.r.URL.Path, expires, signature, v.cfg.Now())
	if err == nil {
		v.scope, v.query = scope, "?e="+expires+"&s="+signature
		return true
	}
	v.problem(http.StatusForbidden, deniedText(err), "Whoever runs this server makes a link with: malcolm link NAME --expires 1h --token @FILE")
	return false
}

func deniedText(err error) string {
	switch {
	case errors.Is(err, certs.ErrLinkExpired):
		return "This link has expired."
	case errors.Is(err, certs.ErrNoLink):
		return "This server answers only signed links."
	}
	return "This link is not signed for this address."
}

// visit answers a request that may be answered.
func (v *visit) visit(ctx context.Context) {
	shelf, err := v.cfg.Store.Open(ctx)
	if err != nil {
		v.unready(err)
		return
	}
	defer shelf.Close()
	switch at := find(shelf, v.r.URL.Path); at.kind {
	case atIndex:
		v.index(shelf)
	case atObject:
		v.object(ctx, shelf, at)
	case atValues:
		v.values(ctx, shelf, at)
	case atMetalink:
		v.metalink(ctx, shelf, at)
	case atDirectory:
		v.directory(shelf, at)
	case atElsewhere:
		v.redirect(at.path)
	default:
		v.problem(http.StatusNotFound, "There is nothing of that name here.")
	}
}

// unready answers when there is nothing to offer yet.
func (v *visit) unready(err error) {
	var hashing *HashingError
	text := "What is offered here cannot be read just now."
	v.w.Header().Set("Retry-After", "10")
	if errors.As(err, &hashing) {
		v.w.Header().Set("Retry-After", "2")
		text = "What is offered here is being hashed" + progress(hashing) + ". Then it can be fetched: try again soon."
	}
	v.problem(http.StatusServiceUnavailable, text)
}

// redirect leads to another path of this server.
func (v *visit) redirect(path string) {
	v.w.Header().Set("Location", Escape(path)+v.query)
	v.w.Header().Set("Cache-Control", "no-cache")
	v.page(http.StatusFound, problemPage, problemData{Title: http.StatusText(http.StatusFound), Texts: []string{"It is at another address."}})
}

// Escape percent-encodes a path: every byte but unreserved ones (RFC 3986,
// section 2.3) and "/".
func Escape(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
