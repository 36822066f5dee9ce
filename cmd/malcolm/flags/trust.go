package flags

import "malcolm/certs"

// A Pin is one value of --pin.
type Pin struct{ certs.Pin }

// UnmarshalText reads what [certs.ParsePin] reads.
func (p *Pin) UnmarshalText(text []byte) (err error) {
	p.Pin, err = certs.ParsePin(string(text))
	return err
}

// A Token says where a token is. It may be the token itself, by mistake, so it
// is never shown.
type Token struct{ Where string }

// UnmarshalText keeps the text for [certs.ReadToken].
func (t *Token) UnmarshalText(text []byte) error {
	t.Where = string(text)
	return nil
}
