package https

import (
	"mime"
	"net/http"
	"strings"
	"time"

	"malcolm/transfer/source"
)

// A wish is what a response is judged against.
type wish struct {
	from, to int64 // the bytes
	size     int64 // of the file; -1: to be learned
	// all says that the whole file was asked for, and no range.
	all bool
}

// A take is what to take of the body of a response.
type take struct {
	skip   int64 // bytes to throw away first
	length int64 // bytes to take then; at least 1, unless the file is empty
	total  int64 // the file's size; -1: not said
	// whole says that the body is the whole file, although a part was asked
	// for.
	whole bool
}

// judge says what to take of a response, if anything. It is a pure function.
// length is that of the body; -1: not known.
func judge(w wish, status int, h http.Header, length int64) (take, *source.Fault) {
	switch {
	case status == http.StatusPartialContent && !w.all:
		return judgePart(w, h, length)
	case status == http.StatusOK && w.all:
		if isEncoded(h) {
			return take{}, errEncoded
		}
		return take{length: w.to, total: length}, nil
	case status == http.StatusOK:
		return judgeWhole(w, h, length)
	case status == http.StatusRequestedRangeNotSatisfiable && !w.all:
		return judgeUnsatisfied(w, h)
	}
	return take{}, statusFault(status, h, time.Now())
}

var (
	errEncoded = saying(source.Unsupported, "the mirror sends the file compressed, though it was asked not to")
	errOther   = saying(source.Wrong, "the mirror sends other bytes than those asked for")
	errUnsaid  = saying(source.Unsupported, "the mirror does not say how large the file is")
	errPage    = saying(source.Absent, "the mirror answers with a page of HTML in place of the file")
	errWhole   = saying(source.Unsupported, "the mirror sends no ranges, only the whole file from its start")
)

// judgePart judges the bytes of a range.
func judgePart(w wish, h http.Header, length int64) (take, *source.Fault) {
	if isMediaType(h, "multipart/byteranges") {
		return take{}, saying(source.Wrong, "the mirror sends several ranges in place of one")
	}
	r, ok := parseContentRange(h.Values("Content-Range"))
	switch {
	case !ok || r.unsatisfied():
		return take{}, saying(source.Wrong, "the mirror does not say which bytes it sends")
	case isEncoded(h) && (w.size < 0 || r.total != w.size):
		return take{}, errEncoded
	case w.size < 0 && r.total < 0:
		return take{}, errUnsaid
	case w.size >= 0 && r.total >= 0 && r.total != w.size:
		return take{}, otherSize(r.total, w.size)
	case r.from != w.from || r.to > w.to, length >= 0 && length != r.to-r.from:
		return take{}, errOther
	}
	return take{length: r.to - r.from, total: r.total}, nil
}

// judgeWhole judges a file that came in place of a range. What lies before the
// range is thrown away.
func judgeWhole(w wish, h http.Header, length int64) (take, *source.Fault) {
	known := w.size >= 0 && length == w.size
	switch {
	case !known && isMediaType(h, "text/html"):
		return take{}, errPage
	case !known && isEncoded(h):
		return take{}, errEncoded
	case w.size < 0 && length < 0:
		return take{}, errUnsaid
	case w.size < 0:
		return take{length: min(w.to, length), total: length, whole: true}, nil
	case length >= 0 && length != w.size:
		return take{}, otherSize(length, w.size)
	}
	return take{skip: w.from, length: w.to - w.from, total: length, whole: w.to < w.size}, nil
}

// judgeUnsatisfied judges the answer that there are no such bytes.
func judgeUnsatisfied(w wish, h http.Header) (take, *source.Fault) {
	r, ok := parseContentRange(h.Values("Content-Range"))
	switch {
	case ok && r.unsatisfied() && w.size < 0 && r.total == 0:
		return take{}, nil
	case ok && r.unsatisfied() && w.size >= 0 && r.total != w.size:
		return take{}, otherSize(r.total, w.size)
	}
	return take{}, saying(source.Wrong, "the mirror says that it does not have the bytes asked for")
}

func otherSize(is, want int64) *source.Fault {
	return saying(source.Changed, "the mirror has another file: %d bytes, not %d", is, want)
}

// isEncoded reports whether a body is not the file as it lies there, such as a
// compressed one.
func isEncoded(h http.Header) bool {
	for _, v := range h.Values("Content-Encoding") {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" && !strings.EqualFold(e, "identity") {
				return true
			}
		}
	}
	return false
}

func isMediaType(h http.Header, want string) bool {
	t, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return t == want
}
