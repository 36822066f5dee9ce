package flags

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestChecksumText(t *testing.T) {
	const digits = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for text, kind := range map[string]ChecksumKind{
		digits: OfFile, strings.ToUpper(digits): OfFile, "tree:" + digits: OfTree, "sha256:" + digits: OfSHA256,
	} {
		var c Checksum
		if err := c.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := hex.EncodeToString(c.Sum[:]); got != digits || c.Kind != kind {
			t.Errorf("%s: got %s, kind %v", text, got, c.Kind)
		}
	}
	for text, want := range map[string]string{
		"":                   "not 0",
		digits[:63]:          "not 63",
		digits + "0":         "not 65",
		digits + "  x":       "not 67",
		"x" + digits[1:]:     "hex digits",
		digits[:63] + "\xff": "hex digits",
		"sha1:" + digits:     "not 69",
		"sha256:":            "not 0",
		"tree:" + digits[1:]: "not 63",
		"tree:sha256:":       "not 7",
		"Tree:" + digits:     "not 69",
	} {
		var c Checksum
		if err := c.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}
