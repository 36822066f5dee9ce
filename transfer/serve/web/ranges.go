package web

import (
	"fmt"
	"math"
	"strings"
)

// mostRanges bounds the ranges of one request: each costs a header in the
// answer (RFC 9110, section 14.2, lets a server refuse many).
const mostRanges = 64

// A byteRange is a part of a file.
type byteRange struct{ offset, length int64 }

// contentRange returns the field Content-Range of a part of size bytes.
func (r byteRange) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.offset, r.offset+r.length-1, size)
}

// parseRanges reads a field Range for a file of size bytes. Without ranges the
// whole file is to be sent: the field is missing or empty, has a unit that we
// do not know, or asks for more than the whole. ok is false if no range of it
// lies in the file, or if it is malformed or too long.
func parseRanges(field string, size int64) (ranges []byteRange, ok bool) {
	unit, list, found := strings.Cut(field, "=")
	if !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return nil, true
	}
	var total int64
	asked := 0
	for spec := range strings.SplitSeq(list, ",") {
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue // RFC 9110, section 5.6.1: empty elements of a list do not count
		}
		r, in, good := parseRange(spec, size)
		if asked++; !good || asked > mostRanges {
			return nil, false
		}
		if in {
			ranges = append(ranges, r)
			total += min(r.length, math.MaxInt64-total)
		}
	}
	switch {
	case asked == 0:
		return nil, true
	case len(ranges) == 0:
		return nil, size == 0 && isSuffix(list)
	case total > size:
		return nil, true
	}
	return ranges, true
}

// isSuffix reports whether a list asks for the last bytes. Those of an empty
// file are the whole of it.
func isSuffix(list string) bool {
	return strings.HasPrefix(strings.TrimLeft(list, " \t,"), "-")
}

// parseRange reads FIRST-LAST, FIRST- or -LAST-BYTES. in says that some of it
// lies in the file.
func parseRange(spec string, size int64) (r byteRange, in, good bool) {
	from, to, found := strings.Cut(spec, "-")
	if !found {
		return r, false, false
	}
	if from == "" {
		n, good := parseNumber(to)
		n = min(n, size)
		return byteRange{size - n, n}, n > 0, good
	}
	first, good := parseNumber(from)
	last := int64(math.MaxInt64)
	if to != "" {
		var fine bool
		last, fine = parseNumber(to)
		good = good && fine && first <= last
	}
	if !good || first >= size {
		return r, false, good
	}
	return byteRange{first, min(last, size-1) - first + 1}, true, true
}

// parseNumber reads decimal digits. A number that is too large becomes the
// largest one.
func parseNumber(s string) (n int64, ok bool) {
	for i := range len(s) {
		d := int64(s[i]) - '0'
		switch {
		case d < 0 || d > 9:
			return 0, false
		case n > (math.MaxInt64-d)/10:
			n = math.MaxInt64
		default:
			n = n*10 + d
		}
	}
	return n, s != ""
}
