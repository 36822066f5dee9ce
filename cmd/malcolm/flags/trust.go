package flags

import (
	"fmt"
	"strings"

	"malcolm/certs"
	"malcolm/transfer/source/https"
)

// A Pin is one value of --pin.
type Pin struct {
	certs.Pin             // of malcolm servers; zero: there are several keys
	Keys      []https.Pin // of mirrors: one of them must match; nil: it is of servers
}

// OfServers reports whether a pin is of malcolm servers. One key in curl's form
// is theirs unless the command names mirrors.
func (p Pin) OfServers(mirrors bool) bool {
	return len(p.Keys) == 0 || !mirrors && len(p.Keys) == 1
}

// UnmarshalText reads what [certs.ParsePin] reads, or curl's form of the keys
// of mirrors: sha256//KEY;sha256//KEY, also with HOST= before it.
func (p *Pin) UnmarshalText(text []byte) (err error) {
	if isService(string(text)) { // the pin of an SRV name
		text = text[len(servicePrefix):]
	}
	host, keys, hasHost := strings.Cut(string(text), "=")
	if !hasHost || strings.HasPrefix(host, "sha256//") { // what follows is padding
		host, keys = "", string(text)
	}
	if !strings.HasPrefix(keys, "sha256//") {
		p.Pin, err = certs.ParsePin(string(text))
		return err
	}
	if host != "" {
		if host, err = checkPinHost(host); err != nil {
			return err
		}
	}
	for key := range strings.SplitSeq(keys, ";") {
		sum, err := https.ParsePin(key)
		if err != nil {
			return err
		}
		p.Keys = append(p.Keys, https.Pin{Host: host, Key: sum})
	}
	if len(p.Keys) == 1 {
		p.Pin, err = certs.ParsePin(string(text))
	}
	return err
}

// checkPinHost returns the host of a mirror's pin as mirrors have it.
func checkPinHost(host string) (string, error) {
	if addr, ok := parseIPv6(strings.Trim(host, "[]")); ok {
		return addr, nil
	}
	host, err := checkHost(host)
	if err != nil {
		return "", fmt.Errorf("a mirror's pin is sha256//KEY, or HOST=sha256//KEY: %w", err)
	}
	return host, nil
}

// A Token says where a token is. It may be the token itself, by mistake, so it
// is never shown.
type Token struct{ Where string }

// UnmarshalText keeps the text for [certs.ReadToken].
func (t *Token) UnmarshalText(text []byte) error {
	t.Where = string(text)
	return nil
}
