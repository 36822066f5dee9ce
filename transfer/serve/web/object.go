package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"malcolm/wire"
)

// object answers a request for a file.
func (v *visit) object(ctx context.Context, s Shelf, at place) {
	f, h := at.file, v.w.Header()
	is := state{tag: `"` + hex.EncodeToString(f.checksum[:]) + `"`, modified: f.modified}
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", is.tag)
	h.Set("Link", "<"+Escape(at.path)+valuesSuffix+v.query+`>; rel="describedby"`)
	if date := dateOf(f.modified, v.cfg.Now()); date != "" {
		h.Set("Last-Modified", date)
	}
	if sum, ok := s.SHA256(f.entry); ok {
		v.digest(sum)
	}
	switch judge(v.r.Header, is) {
	case unchanged:
		v.w.WriteHeader(http.StatusNotModified)
		return
	case failed:
		h.Del("Link")
		v.problem(http.StatusPreconditionFailed, "The file is not the one that the request is about.")
		return
	}
	describeType(h, f.name)
	var ranges []byteRange
	if field := list(v.r.Header, "Range"); field != "" && v.r.Method == http.MethodGet && mayRange(v.r.Header, is) {
		var ok bool
		if ranges, ok = parseRanges(field, f.size); !ok {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", f.size))
			v.problem(http.StatusRequestedRangeNotSatisfiable, fmt.Sprintf("The file has %d bytes.", f.size))
			return
		}
	}
	v.send(ctx, f, ranges)
}

// digest says what the SHA-256 of a file is.
func (v *visit) digest(sum [32]byte) {
	sha := base64.StdEncoding.EncodeToString(sum[:])
	v.w.Header().Set("Repr-Digest", "sha-256=:"+sha+":")
	for want := range strings.SplitSeq(list(v.r.Header, "Want-Digest"), ",") {
		name, weight, _ := strings.Cut(want, ";")
		q, isWeight := strings.CutPrefix(strings.TrimSpace(weight), "q=")
		if strings.EqualFold(strings.TrimSpace(name), "sha-256") && !(isWeight && strings.Trim(q, "0.") == "") {
			v.w.Header().Set("Digest", "SHA-256="+sha)
		}
	}
}

// send sends the ranges of a file, or all of it if there are no ranges.
func (v *visit) send(ctx context.Context, f file, ranges []byteRange) {
	h, out := v.w.Header(), &lateWriter{w: v.w, status: http.StatusOK}
	length, parts := f.size, []part{{byteRange: byteRange{0, f.size}}}
	var end string
	switch len(ranges) {
	case 0:
	case 1:
		out.status = http.StatusPartialContent
		h.Set("Content-Range", ranges[0].contentRange(f.size))
		parts[0].byteRange = ranges[0]
		length = ranges[0].length
	default:
		out.status = http.StatusPartialContent
		parts, end = inParts(h, f.size, ranges)
		length = int64(len(end))
		for _, p := range parts {
			length += int64(len(p.head)) + p.length
		}
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	if v.r.Method == http.MethodHead {
		out.begin()
		return
	}
	if err := v.copy(ctx, out, f, parts, end); err != nil {
		v.broken(out, err)
	}
}

// A part is a range with what stands in front of it.
type part struct {
	head string
	byteRange
}

// inParts makes the parts of an answer with several ranges, and what stands
// behind them (RFC 9110, section 14.6).
func inParts(h http.Header, size int64, ranges []byteRange) (parts []part, end string) {
	boundary, kind := rand.Text(), h.Get("Content-Type")
	for _, r := range ranges {
		parts = append(parts, part{
			head:      "\r\n--" + boundary + "\r\nContent-Type: " + kind + "\r\nContent-Range: " + r.contentRange(size) + "\r\n\r\n",
			byteRange: r,
		})
	}
	h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	return parts, "\r\n--" + boundary + "--\r\n"
}

// copy sends the parts of a file.
func (v *visit) copy(ctx context.Context, out *lateWriter, f file, parts []part, end string) error {
	for _, p := range parts {
		out.front = append(out.front, p.head...)
		if p.length == 0 {
			continue
		}
		if err := v.cfg.Store.Copy(ctx, out, wire.Span{Checksum: f.checksum, Offset: p.offset, Length: p.length}); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, end)
	return err
}

// broken ends an answer that cannot be finished. If nothing was sent yet,
// another answer takes its place. If not, the connection is cut, so that no
// client takes the answer for whole.
func (v *visit) broken(out *lateWriter, err error) {
	if out.begun || v.r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	h := v.w.Header()
	for _, name := range []string{
		"Accept-Ranges", "ETag", "Link", "Last-Modified", "Repr-Digest", "Digest", "Content-Range", "Content-Disposition", "Content-Length",
	} {
		h.Del(name)
	}
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Retry-After", "2")
	text := "What is offered here cannot be read just now."
	if errors.Is(err, ErrGone) {
		text = "The file has changed and is being hashed. Then it can be fetched: try again soon."
	}
	v.problem(http.StatusServiceUnavailable, text)
}

// A lateWriter writes the header of an answer with its first byte, so that
// another answer is possible until then.
type lateWriter struct {
	w      http.ResponseWriter
	status int
	begun  bool
	front  []byte // goes out before what is written next
}

func (l *lateWriter) begin() {
	if !l.begun {
		l.begun = true
		l.w.WriteHeader(l.status)
	}
}

func (l *lateWriter) Write(p []byte) (int, error) {
	l.begin()
	if len(l.front) > 0 {
		if _, err := l.w.Write(l.front); err != nil {
			return 0, err
		}
		l.front = l.front[:0]
	}
	if len(p) == 0 {
		return 0, nil
	}
	return l.w.Write(p)
}
