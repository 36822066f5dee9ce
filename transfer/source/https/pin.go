package https

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
)

// A Pin is a key that a mirror must have, by the SHA-256 of its public key
// (SPKI). Of several pins for a host, one must match.
type Pin struct {
	Host string // empty: any host, also where redirects lead
	Key  [sha256.Size]byte
}

// ErrPin says that a text is no pin.
var ErrPin = errors.New("is not sha256// and the 44 characters of a SHA-256 in base64, as curl's --pinnedpubkey")

// ParsePin parses a key in curl's form, sha256//BASE64.
func ParsePin(s string) (key [sha256.Size]byte, err error) {
	text, ok := strings.CutPrefix(s, "sha256//")
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != len(key) {
		return key, ErrPin
	}
	return [sha256.Size]byte(b), nil
}

// ErrPinned says that a mirror has another key.
var ErrPinned = errors.New("the certificate has another key than the pinned one")

// checkPins checks the key of a host, whose certificate is valid.
func (c *Config) checkPins(host string, cs tls.ConnectionState) error {
	pinned := false
	for _, p := range c.Pins {
		if p.Host != "" && !strings.EqualFold(p.Host, host) {
			continue
		}
		if pinned = true; p.Key == sha256.Sum256(cs.PeerCertificates[0].RawSubjectPublicKeyInfo) {
			return nil
		}
	}
	if pinned {
		return ErrPinned
	}
	return nil
}
