package web

import (
	"context"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"malcolm/transfer/metalink"
)

// metalinkType is the media type of a Metalink 4 (RFC 5854, section 7.1).
const metalinkType = "application/metalink4+xml"

// metalink answers by a Metalink of a file, or of all files of a tree. Its
// addresses are those of this server, as the request names it.
func (v *visit) metalink(ctx context.Context, s Shelf, at place) {
	base, ok := askedAt(v.r)
	if !ok {
		v.problem(http.StatusBadRequest, "The request does not say at which address it has reached this server.")
		return
	}
	m := linked{v: v, s: s, base: base + Escape(strings.TrimSuffix(at.path, metalink.Suffix)), file: at.file}
	length := int64(0)
	for b, err := range m.pieces() {
		length += int64(len(b))
		if err == nil && length > metalink.MaxLen {
			err = errLongMetalink
		}
		if err != nil {
			v.problem(http.StatusNotFound, "There is no Metalink of this: "+err.Error()+".")
			return
		}
	}
	h := v.w.Header()
	h.Set("Content-Type", metalinkType)
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	out := &lateWriter{w: v.w, status: http.StatusOK}
	if v.r.Method == http.MethodHead {
		out.begin()
		return
	}
	if err := m.write(ctx, out); err != nil {
		panic(http.ErrAbortHandler)
	}
}

var errLongMetalink = &metalink.Error{Reason: "it would be too long"}

// A linked is what a Metalink is made of.
type linked struct {
	v    *visit
	s    Shelf
	base string // the address of the file, or of the tree
	file file   // the zero file is the tree
}

// write writes the Metalink.
func (m *linked) write(ctx context.Context, out io.Writer) error {
	for b := range m.pieces() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// pieces yields the Metalink piece by piece, each until the next one is asked
// for: a whole one would cost memory for each request. The error says that a
// file cannot be in it.
func (m *linked) pieces() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		b := metalink.AppendHead(nil)
		if !yield(b, nil) {
			return
		}
		files := 0
		for f, address := range m.files() {
			var err error
			if files++; files > metalink.MaxFiles {
				err = &metalink.Error{Reason: "it has more files than a Metalink may have"}
			} else {
				b, err = m.describe(f, address).Append(b[:0])
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
		yield(metalink.AppendEnd(b[:0]), nil)
	}
}

// files yields each file, its name from the tree's on, and its address.
func (m *linked) files() iter.Seq2[file, string] {
	return func(yield func(file, string) bool) {
		if m.s.Listing() == nil || m.file.name != "" {
			yield(m.file, m.base)
			return
		}
		for i := range m.s.Len() {
			e, modified := m.s.Entry(i)
			if !e.IsFile() {
				continue
			}
			f := fileOf(i, e, modified)
			f.name = m.s.Name() + "/" + e.Path
			if !yield(f, m.base+"/"+Escape(e.Path)) {
				return
			}
		}
	}
}

// describe returns what a Metalink says of a file.
func (m *linked) describe(f file, address string) *metalink.File {
	d := &metalink.File{Name: f.name, Size: f.size, URLs: []metalink.URL{{Address: address + m.v.query, Priority: 1}}}
	if sum, ok := m.s.SHA256(f.entry); ok {
		d.SHA256 = &sum
	}
	return d
}
