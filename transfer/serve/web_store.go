package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/serve/web"
	"malcolm/wire"
)

// A webStore is what a server offers, for package web.
type webStore struct{ srv *Server }

// Open implements [web.Store].
func (st webStore) Open(ctx context.Context) (web.Shelf, error) {
	v, _, err := st.srv.index.acquire(ctx)
	switch {
	case err != nil:
		return nil, err
	case v == nil:
		now := st.srv.index.progress().Indexing
		return nil, &web.HashingError{Done: now.Done, Total: now.Total}
	}
	shelf := webShelf{srv: st.srv, v: v}
	if ix, ok := st.srv.index.(*treeIndex); ok {
		if shelf.t = ix.holdTree(v); shelf.t == nil { // it was dropped this moment
			return nil, &web.HashingError{}
		}
	}
	return shelf, nil
}

// Copy implements [web.Store]. The context is that of a request.
func (st webStore) Copy(ctx context.Context, w io.Writer, span wire.Span) error {
	return ctx.Value(replyKey{}).(*webReply).copy(ctx, w, span)
}

// webFailure is why a span could not be read, for package web.
func webFailure(why *wire.Refusal) error {
	if why.Status == wire.StatusUnreadable {
		return fmt.Errorf("read for a client of HTTP: %s", why.Text)
	}
	return web.ErrGone
}

// A webShelf is a version, acquired, for package web.
type webShelf struct {
	srv *Server
	v   *version     // of a tree its listing
	t   *treeVersion // nil: it is a file
}

// Name implements [web.Shelf], as the methods below do. It may be one that the
// protocol of malcolm cannot carry.
func (s webShelf) Name() string {
	if name := s.srv.title(); name != "" {
		return name
	}
	return "file"
}

func (s webShelf) Offer() wire.Offer { return s.v.offer }

func (s webShelf) Listing() io.WriterTo {
	if s.t == nil {
		return nil
	}
	return s.t.snapshot.Listing()
}

func (s webShelf) Totals() (files int, bytes int64) {
	totals := s.t.snapshot.Totals()
	return totals.Files, totals.Bytes
}

func (s webShelf) Len() int {
	if s.t == nil {
		return 0
	}
	return s.t.snapshot.Len()
}

func (s webShelf) Entry(i int) (wire.Entry, time.Time) {
	return s.t.snapshot.Entry(i), s.t.snapshot.Modified(i)
}

func (s webShelf) IsFirst(i int) bool { return s.t.snapshot.IsFirst(i) }

// errNoValues says that values of a tree's file are lost.
var errNoValues = errors.New(textDamaged)

func (s webShelf) WriteValues(w io.Writer, i int) error {
	v := s.v
	if s.t != nil {
		e := s.t.snapshot.Entry(i)
		v = &version{tree: s.t, entry: i, offer: wire.Offer{Size: e.Size, Checksum: e.Checksum}}
		if !v.provesValues() {
			s.t.index.doubt(v)
			return errNoValues
		}
	}
	const most = 16 << 10 // bytes at a time
	buf := make([]byte, most)
	for first, n := 0, manifest.Count(v.offer.Size); first < n; {
		count := min(n-first, most/wire.ValueLen)
		b, err := v.readValues(buf, first, count)
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return err
		}
		first += count
	}
	return nil
}

func (s webShelf) SHA256(i int) (sum [32]byte, ok bool) {
	switch {
	case s.t != nil && i < s.Len():
		return s.t.snapshot.SHA256(i)
	case s.t == nil && s.v.sha256 != nil:
		return *s.v.sha256, true
	}
	return sum, false
}

func (s webShelf) Close() {
	s.srv.index.release(s.v)
	if s.t != nil {
		s.t.index.leave(s.t)
	}
}

// holdTree returns the version of a listing, to be left; nil: it is neither the
// current one nor the one before.
func (ix *treeIndex) holdTree(listing *version) *treeVersion {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for _, t := range []*treeVersion{ix.current, ix.previous} {
		if t != nil && t.listing == listing {
			t.users++
			return t
		}
	}
	return nil
}
