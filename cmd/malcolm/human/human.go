// Package human writes numbers, times and names as people read them.
package human

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// unitNames are powers of 1024.
var unitNames = [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Bytes writes a number of bytes with at most four significant digits: "512 B",
// "1.0 GiB", "1023 KiB". A negative number is written as 0.
func Bytes(n int64) string {
	return scaleBytes(float64(max(n, 0)))
}

// Rate writes bytes a second: "12.3 MiB/s". A negative or infinite rate is
// written as 0.
func Rate(bytesPerSecond float64) string {
	if !(bytesPerSecond > 0) || math.IsInf(bytesPerSecond, 0) {
		bytesPerSecond = 0
	}
	return scaleBytes(min(bytesPerSecond, math.MaxInt64)) + "/s"
}

func scaleBytes(value float64) string {
	unit := 0
	// A value that would be written as 1024 belongs to the next unit.
	for math.Round(value) >= 1024 && unit < len(unitNames)-1 {
		value /= 1024
		unit++
	}
	decimals := 1
	if unit == 0 || value >= 999.95 {
		decimals = 0
	}
	return strconv.FormatFloat(value, 'f', decimals, 64) + " " + unitNames[unit]
}

// Duration writes a time that has passed: "4.1s", "3m05s", "2h14m", "3d04h". It
// is cut, never rounded up; a negative time is written as 0.
func Duration(d time.Duration) string {
	d = max(d, 0)
	if d < time.Minute {
		tenths := d / (100 * time.Millisecond)
		return fmt.Sprintf("%d.%ds", tenths/10, tenths%10)
	}
	return WholeSeconds(d)
}

// WholeSeconds writes whole seconds: "42s", "3m05s", "2h14m", "3d04h".
func WholeSeconds(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// Left writes the time that bytes take at rate bytes a second. It is rounded up
// to the second, so that it is 0 only if nothing is left. Without a rate it is
// "unknown", beyond 100 days "over 100 days".
func Left(bytes int64, rate float64) string {
	const longest = 100 * 24 * time.Hour
	if bytes <= 0 {
		return "0s"
	}
	if !(rate > 0) || math.IsInf(rate, 0) {
		return "unknown"
	}
	seconds := math.Ceil(float64(bytes) / rate)
	if seconds > longest.Seconds() {
		return "over 100 days"
	}
	return WholeSeconds(time.Duration(seconds) * time.Second)
}

// Percent writes done of total, cut to a tenth: it is "100.0 %" only if all is
// done. Nothing of nothing is all; a negative number is written as 0.
func Percent(done, total int64) string {
	done = max(done, 0)
	if done >= total {
		return "100.0 %"
	}
	hi, lo := bits.Mul64(uint64(done), 1000)
	permille, _ := bits.Div64(hi, lo, uint64(total))
	return fmt.Sprintf("%d.%d %%", permille/10, permille%10)
}

// Comma writes n with a comma before every third digit: "1,024".
func Comma(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural writes a number and the word for it: "1 server", "1,024 servers".
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Comma(int64(n)) + " " + many
}

// Hex writes a checksum.
func Hex(checksum [32]byte) string { return hex.EncodeToString(checksum[:]) }

// HexShort writes the first four bytes of a checksum: "9f86d081…".
func HexShort(checksum [32]byte) string {
	return hex.EncodeToString(checksum[:4]) + "…"
}

// treePrefix is written before a directory's checksum.
const treePrefix = "tree:"

// Checksum writes a checksum as --checksum takes it: of a file as [Hex], of a
// directory (tree) after "tree:".
func Checksum(tree bool, checksum [32]byte) string {
	if tree {
		return treePrefix + Hex(checksum)
	}
	return Hex(checksum)
}

// ChecksumShort is [Checksum] with four bytes: "tree:9f86d081…".
func ChecksumShort(tree bool, checksum [32]byte) string {
	if tree {
		return treePrefix + HexShort(checksum)
	}
	return HexShort(checksum)
}

// quoteColumns bounds the columns that Quote fills.
const quoteColumns = 80

// Quote makes text of unknown origin safe to print: quoted as by %q, at most 80
// columns wide with its quotes, and with a "…" behind the closing quote if it
// was cut. A rune beyond ASCII counts as two columns, the widest possible.
// Quote reads no more of s than it shows.
func Quote(s string) string {
	const room = quoteColumns - 3 // two quotes and the "…"
	var out strings.Builder
	out.WriteByte('"')
	columns, whole := 0, 0
	for rest := s; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		quoted := strconv.Quote(rest[:n])
		quoted = quoted[1 : len(quoted)-1]
		width := len(quoted)
		if r >= utf8.RuneSelf && quoted == rest[:n] {
			width = 2
		}
		columns += width
		if columns <= room {
			whole = out.Len() + len(quoted)
		}
		if columns > room+1 {
			return out.String()[:whole] + `"…`
		}
		out.WriteString(quoted)
		rest = rest[n:]
	}
	return out.String() + `"`
}

// ShellQuote writes a word so that a POSIX shell reads back the same word.
// Words without a special character do not change. Control and invisible
// characters become escapes in $'…' (bash, zsh, ksh, POSIX.1-2024), so that
// what is pasted is what is seen.
func ShellQuote(word string) string {
	// "=" is special before a command, and in zsh at the beginning of a
	// word.
	safe := word != "" && (word[0] == '-' || !strings.Contains(word, "="))
	visible := utf8.ValidString(word)
	for _, r := range word {
		if !isShellSafe(r) {
			safe = false
		}
		if !unicode.IsPrint(r) {
			visible = false
		}
	}
	switch {
	case safe:
		return word
	case visible:
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return shellEscape(word)
}

// isShellSafe reports whether no shell gives r a meaning within a word.
func isShellSafe(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("_@%+=:,./-", r)
}

// shellEscape writes $'…'. Bytes are escaped as three octal digits, which need
// no end mark; "!" too, since an interactive shell may expand it there.
func shellEscape(word string) string {
	var out strings.Builder
	out.WriteString("$'")
	for word != "" {
		r, n := utf8.DecodeRuneInString(word)
		switch {
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\'' || r == '\\':
			out.WriteByte('\\')
			out.WriteByte(word[0])
		case r == '!' || !unicode.IsPrint(r) || r == utf8.RuneError && n == 1:
			for _, b := range []byte(word[:n]) {
				fmt.Fprintf(&out, `\%03o`, b)
			}
		default:
			out.WriteString(word[:n])
		}
		word = word[n:]
	}
	out.WriteByte('\'')
	return out.String()
}
