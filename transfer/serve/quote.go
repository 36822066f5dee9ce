package serve

import (
	"strconv"
	"unicode/utf8"
)

// maxQuoted bounds text from a peer in a message, in bytes before quoting.
const maxQuoted = 64

// quote returns text from a peer in a form that is safe and short enough to
// show.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}
