package flags

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// A ChecksumKind says what a [Checksum] is of.
type ChecksumKind int

const (
	OfFile   ChecksumKind = iota // the BLAKE3 of a file
	OfTree                       // the BLAKE3 of a directory's listing
	OfSHA256                     // the SHA-256 of a file
)

// checksumPrefixes are written before the digits of a kind.
var checksumPrefixes = map[ChecksumKind]string{OfTree: "tree:", OfSHA256: "sha256:"}

// A Checksum is 64 hex digits: a file's BLAKE3, after "tree:" a directory's,
// after "sha256:" a SHA-256.
type Checksum struct {
	Sum  [32]byte
	Kind ChecksumKind
}

// UnmarshalText reads what b3sum prints, "tree:" and what malcolm prints for a
// directory, or "sha256:" and what sha256sum prints.
func (c *Checksum) UnmarshalText(text []byte) error {
	digits := text
	c.Kind = OfFile
	for kind, prefix := range checksumPrefixes {
		if rest, ok := bytes.CutPrefix(text, []byte(prefix)); ok {
			digits, c.Kind = rest, kind
		}
	}
	if len(digits) != hex.EncodedLen(len(c.Sum)) {
		return fmt.Errorf("a checksum has 64 hex digits, as b3sum prints them, not %d; "+
			"a directory's is written tree:HEX, a SHA-256 sha256:HEX", len(digits))
	}
	if _, err := hex.Decode(c.Sum[:], digits); err != nil {
		return errors.New("a checksum is made of hex digits, as b3sum prints them")
	}
	return nil
}
