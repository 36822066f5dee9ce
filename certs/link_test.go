package certs

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var linkTime = time.Unix(1_800_000_000, 0)

func linkToken(t *testing.T, text string) Token {
	t.Helper()
	token, err := ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// fieldsOf returns the fields of a link's query.
func fieldsOf(t *testing.T, l Link) (expires, signature string) {
	t.Helper()
	e, s, ok := strings.Cut(l.Query(), "&")
	if !ok {
		t.Fatalf("query %q", l.Query())
	}
	return strings.TrimPrefix(e, "e="), strings.TrimPrefix(s, "s=")
}

// The signature is what the comment of Link says, computed with other means:
//
//	openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt key:TEXT \
//	    -kdfopt info:'malcolm/1 link' HKDF
//	printf '1800000000\n/data.bin' | openssl mac -digest SHA256 -macopt hexkey:KEY HMAC
func TestLinkGolden(t *testing.T) {
	token := linkToken(t, "correct horse battery staple")
	const want = "e=1800000000&s=TDInRNW3pym-ud1E-KCx6bjsL-4iwguAJT_yYQb51LI"
	if got := token.NewLink("/data.bin", linkTime).Query(); got != want {
		t.Errorf("query = %s, want %s", got, want)
	}
}

// A link is good for its path, for what lies below it, and for what describes
// it; until it expires; with each of two tokens.
func TestLinkScope(t *testing.T) {
	old, now := linkToken(t, "an old token of thirty characters"), linkToken(t, "a new token of thirty characters")
	stranger := linkToken(t, "a token of somebody else entirely")
	deep := "/" + strings.Repeat("d/", MaxLinkDepth-1)
	for _, test := range []struct {
		signed, asked string
		want          error
	}{
		{"/a", "/a", nil},
		{"/a", "/a.malcolm", nil},
		{"/a", "/a.meta4", nil},
		{"/a", "/a.malcolm.malcolm", ErrLinkForged},
		{"/a", "/b", ErrLinkForged},
		{"/a", "/a/", ErrLinkForged},
		{"/a", "/a/b", ErrLinkForged},
		{"/a", "/ab", ErrLinkForged},
		{"/a", "/", ErrLinkForged},
		{"/a/", "/a/", nil},
		{"/a/", "/a/b", nil},
		{"/a/", "/a/b/c/d", nil},
		{"/a/", "/a.malcolm", nil},
		{"/a/", "/a", ErrLinkForged},
		{"/a/", "/ab/c", ErrLinkForged},
		{"/a/b/", "/a/", ErrLinkForged},
		{"/", "/", nil},
		{"/", "/a/b", nil},
		{"/a/../b", "/b", ErrLinkForged},
		{deep, deep + "x", nil},
		{deep, deep + "x/y", nil},
		{deep + "e/", deep + "e/x", ErrLinkForged},
		{"/\xff\x00", "/\xff\x00", nil},
	} {
		for _, by := range []Token{old, now} {
			expires, signature := fieldsOf(t, by.NewLink(test.signed, linkTime))
			scope, err := CheckLink([]Token{old, now}, test.asked, expires, signature, linkTime.Add(-time.Second))
			if !errors.Is(err, test.want) {
				t.Errorf("link of %q for %q: %v, want %v", test.signed, test.asked, err, test.want)
			}
			if err == nil && scope != test.signed {
				t.Errorf("link of %q for %q: scope %q", test.signed, test.asked, scope)
			}
			if _, err := CheckLink([]Token{stranger}, test.asked, expires, signature, linkTime.Add(-time.Second)); err == nil {
				t.Errorf("link of %q is good for another token", test.signed)
			}
		}
	}
}

// Nothing about a link can be changed.
func TestLinkForged(t *testing.T) {
	token := linkToken(t, "a token of more than thirty characters")
	expires, signature := fieldsOf(t, token.NewLink("/a", linkTime))
	early := linkTime.Add(-time.Hour)
	for _, test := range []struct {
		name, expires, signature string
		now                      time.Time
		want                     error
	}{
		{"good", expires, signature, early, nil},
		{"its last second", expires, signature, linkTime.Add(-1), nil},
		{"expired", expires, signature, linkTime, ErrLinkExpired},
		{"nothing", "", "", early, ErrNoLink},
		{"no signature", expires, "", early, ErrLinkForged},
		{"no time", "", signature, early, ErrLinkForged},
		{"a later time", "1800000001", signature, early, ErrLinkForged},
		{"a sign", "+" + expires, signature, early, ErrLinkForged},
		{"a leading zero", "0" + expires, signature, early, ErrLinkForged},
		{"a fraction", expires + ".0", signature, early, ErrLinkForged},
		{"a huge time", strings.Repeat("9", 30), signature, early, ErrLinkForged},
		{"a negative time", "-1", signature, early, ErrLinkForged},
		{"padding", expires, signature + "=", early, ErrLinkForged},
		{"a short signature", expires, signature[:42], early, ErrLinkForged},
		{"a long signature", expires, signature + "AA", early, ErrLinkForged},
		{"another signature", expires, strings.Repeat("A", 43), early, ErrLinkForged},
		{"a line feed", expires, signature[:20] + "\n" + signature[20:], early, ErrLinkForged},
	} {
		if _, err := CheckLink([]Token{token}, "/a", test.expires, test.signature, test.now); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	// A changed bit is never good.
	for i := range signature {
		b := []byte(signature)
		b[i] ^= 1
		if _, err := CheckLink([]Token{token}, "/a", expires, string(b), early); err == nil {
			t.Errorf("character %d may be another one", i)
		}
	}
	if _, err := CheckLink(nil, "/a", expires, signature, early); !errors.Is(err, ErrLinkForged) {
		t.Errorf("without a token: %v", err)
	}
}
