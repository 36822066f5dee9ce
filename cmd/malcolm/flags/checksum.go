package flags

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// A Checksum is 64 hex digits of a BLAKE3, or of a SHA-256 after "sha256:".
type Checksum struct {
	Sum    [32]byte
	SHA256 bool
}

// UnmarshalText reads what b3sum prints, or "sha256:" and what sha256sum
// prints.
func (c *Checksum) UnmarshalText(text []byte) error {
	digits, isSHA256 := bytes.CutPrefix(text, []byte("sha256:"))
	c.SHA256 = isSHA256
	if len(digits) != hex.EncodedLen(len(c.Sum)) {
		return fmt.Errorf("a checksum has 64 hex digits, as b3sum prints them, not %d; a SHA-256 is written sha256:HEX", len(digits))
	}
	if _, err := hex.Decode(c.Sum[:], digits); err != nil {
		return errors.New("a checksum is made of hex digits, as b3sum prints them")
	}
	return nil
}
