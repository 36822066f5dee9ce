package web

import (
	"context"
	"io"
	"iter"
	"net/http"
	"strconv"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// values answers a request for a file of values (package wire).
func (v *visit) values(ctx context.Context, s Shelf, at place) {
	head, body, files := valuesOf(s, at)
	length := int64(len(head))
	if body != nil {
		length += s.Offer().Size
	}
	for f := range files {
		length += int64(wire.ValuesLen(manifest.Count(f.size)))
	}
	h := v.w.Header()
	h.Set("Content-Type", otherType)
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache") // it and its object are of one version
	}
	out := &lateWriter{w: v.w, status: http.StatusOK, front: head}
	if v.r.Method == http.MethodHead {
		out.begin()
		return
	}
	_, err := out.Write(nil)
	if err == nil && body != nil {
		_, err = body.WriteTo(out)
	}
	for f := range files {
		if err != nil || ctx.Err() != nil {
			break
		}
		err = s.WriteValues(out, f.entry)
	}
	if err != nil || ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// valuesOf returns what a file of values begins with, and the files whose
// values follow. Those of a tree are looked for each time: a list of them would
// cost memory for each request.
func valuesOf(s Shelf, at place) (head []byte, body io.WriterTo, files iter.Seq[file]) {
	o, f, listing := s.Offer(), at.file, 0
	o.ValuesLen, o.Tail = 0, nil
	switch {
	case s.Listing() == nil:
		files = several(f)
	case f.name == "": // of the tree
		body, listing, files = s.Listing(), int(o.Size), severalOf(s)
	default:
		o = wire.Offer{Kind: wire.KindFile, Size: f.size, ModTime: f.modified, Checksum: f.checksum, Name: wire.OfferableName(f.name)}
		files = several(f)
	}
	return wire.AppendValuesHead(nil, o, listing), body, files
}

// several yields a file if it has several chunks.
func several(f file) iter.Seq[file] {
	return func(yield func(file) bool) {
		if manifest.Count(f.size) > 1 {
			yield(f)
		}
	}
}

// severalOf yields the files of a tree that have several chunks, each checksum
// once.
func severalOf(s Shelf) iter.Seq[file] {
	return func(yield func(file) bool) {
		for i := range s.Len() {
			e, _ := s.Entry(i)
			if e.IsFile() && manifest.Count(e.Size) > 1 && s.IsFirst(i) && !yield(file{entry: i, size: e.Size}) {
				return
			}
		}
	}
}
