package certs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	linkKeyLabel = "malcolm/1 link"
	// maxExpiryDigits bounds the number in a link, which then fits in 63
	// bits.
	maxExpiryDigits = 18
	signatureLen    = 43 // characters
	// MaxLinkDepth bounds the directories above a path for which a link may
	// have been made: each costs a check.
	MaxLinkDepth = 64
)

// A Link opens an HTTP address to somebody without the token. It is the query
// "e=EXPIRES&s=SIGNATURE", in this order or the other.
//
// EXPIRES are the seconds since 1970-01-01 UTC from which on the link is void,
// in decimal digits without a sign or leading zeros. SIGNATURE is HMAC-SHA256
// in base64url without padding (RFC 4648, section 5), 43 characters. Its key is
// HKDF-SHA256 (RFC 5869) of the token's text, without a salt, with the info
// "malcolm/1 link"; it has 32 bytes. Its input is EXPIRES, a line feed, and the
// path: it begins with "/", and is not percent-encoded.
//
// A link of a path that ends in "/" is good for all that lies below, as long as
// that has at most [MaxLinkDepth] directories above it. A link of a path is
// also good for its description: the path without a "/" at its end, with
// ".malcolm" or ".meta4" behind it.
type Link struct {
	Path    string
	Expires int64 // seconds since 1970
	sign    [sha256.Size]byte
}

// NewLink makes a link of a path that is void from expires on.
func (t Token) NewLink(path string, expires time.Time) Link {
	l := Link{Path: path, Expires: expires.Unix()}
	l.sign = t.signLink(path, l.Expires)
	return l
}

// Query returns the query of the link.
func (l Link) Query() string {
	return "e=" + strconv.FormatInt(l.Expires, 10) + "&s=" + base64.RawURLEncoding.EncodeToString(l.sign[:])
}

// signLink returns the signature of a link. It panics without a token.
func (t Token) signLink(path string, expires int64) [sha256.Size]byte {
	if t.IsZero() {
		panic("malcolm: internal error: link without token")
	}
	mac := hmac.New(sha256.New, t.link())
	io.WriteString(mac, strconv.FormatInt(expires, 10)+"\n"+path)
	return [sha256.Size]byte(mac.Sum(nil))
}

// The errors of [CheckLink].
var (
	ErrNoLink      = errors.New("no signed link")
	ErrLinkExpired = errors.New("the link has expired")
	ErrLinkForged  = errors.New("the link is not signed for this address")
)

// CheckLink checks that a link made with one of the tokens is good for a path
// now. expires and signature are the fields "e" and "s" of its query. scope is
// the path that the link was made for. The time that it takes does not depend
// on where signatures differ, nor on which token made them.
func CheckLink(tokens []Token, path, expires, signature string, now time.Time) (scope string, err error) {
	if expires == "" && signature == "" {
		return "", ErrNoLink
	}
	at, err := parseExpiry(expires)
	if err != nil {
		return "", err
	}
	got, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || len(got) != sha256.Size || len(signature) != signatureLen { // the decoder passes over line feeds
		return "", ErrLinkForged
	}
	found := false
	for _, candidate := range linkScopes(path) {
		for _, t := range tokens {
			want := t.signLink(candidate, at)
			if hmac.Equal(want[:], got) && !found {
				scope, found = candidate, true
			}
		}
	}
	switch {
	case !found:
		return "", ErrLinkForged
	case now.Unix() >= at:
		return "", ErrLinkExpired
	}
	return scope, nil
}

func parseExpiry(s string) (int64, error) {
	at, err := strconv.ParseInt(s, 10, 64)
	if err != nil || len(s) > maxExpiryDigits || strconv.FormatInt(at, 10) != s || at < 0 {
		return 0, ErrLinkForged
	}
	return at, nil
}

// linkScopes returns the paths whose links are good for path: the directories
// above it, the widest first, then itself.
func linkScopes(path string) (scopes []string) {
	for i := 0; i < len(path) && len(scopes) < MaxLinkDepth; i++ {
		if path[i] == '/' && i < len(path)-1 {
			scopes = append(scopes, path[:i+1])
		}
	}
	for _, suffix := range []string{".malcolm", ".meta4"} {
		if of, ok := strings.CutSuffix(path, suffix); ok {
			scopes = append(scopes, of, of+"/")
		}
	}
	return append(scopes, path)
}
