package fetch

import (
	"context"
	"slices"

	"malcolm/transfer/source"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// A TreeReport is how far a session is with a directory. It is zero for a file.
type TreeReport struct {
	Voted bool // a directory was voted for
	// Listed says that its listing is there, and the rest is known. Until
	// then, Size and Good of the snapshot are the listing's.
	Listed    bool
	Totals    tree.Totals
	FilesDone int // of Totals.Files: all of their bytes are good
	// Chosen is the checksum of the listing of what a filter has chosen,
	// which is all that is copied; zero: everything is copied.
	Chosen  [32]byte
	Entries []wire.Entry // that are copied, in order; not to be changed
}

// A fileCount counts the files of a directory of which all bytes are good;
// files of the same bytes count each. It belongs to the loop. The zero value
// counts nothing.
type fileCount struct {
	tree   *tree.Tree
	totals tree.Totals
	left   map[int]int         // by file of the content: chunks that are not good, of files of which one is
	done   int                 // files
	told   func(e *wire.Entry) // of a file that is done; nil: nobody is
}

// newFileCount returns the count of a tree's files, where only the empty ones
// are done. told is called for each file that is; nil: nobody is told.
func newFileCount(t *tree.Tree, told func(e *wire.Entry)) fileCount {
	n := fileCount{tree: t, totals: t.Totals(), left: make(map[int]int), told: told}
	for i := range t.Entries() {
		if e := &t.Entries()[i]; e.IsFile() && e.Size == 0 {
			n.fileDone(e)
		}
	}
	return n
}

// good counts a chunk that is good. Each chunk is counted once.
func (n *fileCount) good(chunk int) {
	if n.tree == nil {
		return
	}
	c := n.tree.Content()
	file := c.Place(chunk).File
	left, begun := n.left[file]
	if !begun {
		left = c.FileChunks(file)
	}
	if left--; left > 0 {
		n.left[file] = left
		return
	}
	delete(n.left, file)
	for entry := range n.tree.Holders(file) {
		n.fileDone(&n.tree.Entries()[entry])
	}
}

func (n *fileCount) fileDone(e *wire.Entry) {
	n.done++
	if n.told != nil {
		n.told(e)
	}
}

// countFiles begins to count the files of the download's tree.
func (s *Session) countFiles() {
	d := s.download
	var told func(e *wire.Entry)
	if s.watch.Files {
		told = func(e *wire.Entry) {
			s.emit(FileDone{Path: e.Path, Size: e.Size, Checksum: e.Checksum, Executable: e.Kind == wire.EntryExecutable})
		}
	}
	d.tally.files = newFileCount(d.tree, told)
}

func (d *download) treeReport() TreeReport {
	n := &d.tally.files
	r := TreeReport{Voted: d.offer.Kind == wire.KindTree, Listed: n.tree != nil, Totals: n.totals, FilesDone: n.done, Chosen: d.chosen}
	if d.tree != nil {
		r.Entries = d.tree.Entries()
	}
	return r
}

// tellRefused tells that a server's chunk was refused, and notes it.
func (s *Session) tellRefused(v *server, chunk int, changed bool) {
	d := s.download
	p := d.content.Place(chunk)
	e := ChunkRefused{Target: v.target, Chunk: chunk, Offset: p.Offset, Length: p.Length, Changed: changed}
	switch {
	case d.tree != nil:
		e.Path, e.Chunk = d.pathOf(p.File), p.Chunk
	case d.offer.Kind == wire.KindTree:
		e.Listing = true
	}
	d.result.Refusals = append(d.result.Refusals, e)
	s.emit(e)
}

// pathOf returns the path of the first entry with a file of the content; empty
// where the download is of one file.
func (d *download) pathOf(file int) string {
	if d.tree == nil {
		return ""
	}
	for entry := range d.tree.Holders(file) {
		return d.tree.Entries()[entry].Path
	}
	return ""
}

// judged ends the use of a server that sent a wrong chunk.
func (s *Session) judged(v *server, chunk int, changed bool) {
	v.trouble.judging = false
	s.tellRefused(v, chunk, changed)
	if changed {
		s.leave(v, StateChanged, &source.Fault{What: source.Changed, Words: "its file changed"})
	} else {
		s.leave(v, StateWrong, &source.Fault{What: source.Wrong, Words: (&wrongChunkError{chunk}).Error()})
	}
}

// offersElse reports whether a source now offers something else than before, or
// is hashing that. No other refusal says that the file has changed.
func offersElse(ctx context.Context, way source.Conn, ask source.Ask, before source.Offer) bool {
	o, err := way.Stat(ctx, ask, nil)
	if err != nil {
		return source.WhatOf(err) == source.Indexing
	}
	return !o.SameFile(before)
}

// judging reports whether a server that sent a wrong chunk is still being
// judged.
func (s *Session) judging() bool {
	return slices.ContainsFunc(s.roster.servers, func(v *server) bool { return v.trouble.judging })
}
