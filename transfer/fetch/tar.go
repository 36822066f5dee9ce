package fetch

import (
	"archive/tar"
	"context"
	"time"

	"malcolm/transfer/tree"
	"malcolm/wire"
)

// A tarTree is a tree that is written as a tar archive, in the order of its
// listing.
type tarTree struct {
	*tree.Tree             // with a content for each file
	name       string      // of the directory
	times      *wire.Times // nil: not known
}

// prepareStream fetches what has to be known before the first byte is written,
// and returns what is written; nil: a file.
func (s *Session) prepareStream(b Ballot, out Stream) (*tarTree, error) {
	if s.download.offer.Kind != wire.KindTree {
		return nil, s.obtainValues()
	}
	if out.SHA256 != nil { // it is of one file
		return nil, &TreeOfferedError{Name: s.download.result.Name}
	}
	if err := s.download.settleName(""); err != nil {
		return nil, err
	}
	if err := s.obtainTree(b); err != nil {
		return nil, err
	}
	t := &tarTree{name: s.download.result.Name}
	var err error
	if t.times, err = s.remoteTimes(); err != nil {
		return nil, err
	}
	if t.Tree, err = tree.InOrder(s.download.tree.Entries()); err != nil {
		return nil, &ListingError{err}
	}
	s.download.tree, s.download.content = t.Tree, t.Content()
	s.download.result.Size = t.Content().Size()
	s.countFiles()
	return t, nil
}

// writeTar writes the archive, each file's bytes when they are there.
func (w *streaming) writeTar(ctx context.Context) error {
	archive := tar.NewWriter(w.Out)
	for i := range w.tree.Entries() {
		if err := archive.WriteHeader(w.tree.header(i)); err != nil {
			return err
		}
		file, ok := w.tree.FileOf(i)
		if !ok {
			continue
		}
		all := w.window.content
		if err := w.writeChunks(ctx, archive, all.FirstChunk(file), all.FileChunks(file)); err != nil {
			return err
		}
	}
	return archive.Close()
}

// header returns the head of an entry. The format of GNU holds any path and any
// size.
func (t *tarTree) header(i int) *tar.Header {
	e := &t.Entries()[i]
	h := &tar.Header{Format: tar.FormatGNU, Name: t.name + "/" + e.Path, ModTime: time.Unix(0, 0), Mode: 0o644}
	if t.times != nil && !t.times.Entries[i].IsZero() {
		h.ModTime = t.times.Entries[i]
	}
	switch e.Kind {
	case wire.EntryExecutable:
		h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o755, e.Size
	case wire.EntryDirectory:
		h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, h.Name+"/"
	case wire.EntryLink:
		h.Typeflag, h.Mode, h.Linkname = tar.TypeSymlink, 0o777, e.Target
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	}
	return h
}
