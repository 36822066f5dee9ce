package fetch

import (
	"context"
)

// A tree is copied in two downloads. The first fetches its listing, the file
// that was voted for, into memory. The second fetches the content of all its
// files.

// obtainTree fetches the listing of the directory that was voted for. Then
// s.download is of its files.
func (s *Session) obtainTree(b Ballot) error {
	l, err := s.obtainEntries(b)
	if err != nil {
		return err
	}
	s.sizes.proved = true
	if n := l.tree.Totals().Bytes; n > b.maxSize() {
		return &TooLargeError{Size: n, Max: b.maxSize(), Tree: true}
	}
	s.change(s.newTreeDownload(l))
	s.emit(Listed{Totals: l.tree.Totals(), Size: s.download.content.Size()})
	s.countFiles()
	s.publish()
	return nil
}

// obtainEntries returns the entries of the directory. If each path was voted
// on, they are there already, and chosen.
func (s *Session) obtainEntries(b Ballot) (listed, error) {
	if all := s.download.all; all != nil {
		return obtain(s.loop, func(ctx context.Context) (listed, error) { return listAll(ctx, all, nil) })
	}
	listing, err := s.obtainListing()
	if err != nil {
		return listed{}, err
	}
	return obtain(s.loop, func(ctx context.Context) (listed, error) { return readListing(ctx, listing, b.Filter) })
}

// obtainListing fetches a listing into memory.
func (s *Session) obtainListing() ([]byte, error) {
	d := s.download
	if err := s.obtainValues(); err != nil {
		return nil, err
	}
	window := newStreamWindow(d.content, d.content.Chunks())
	if err := s.place(window, true); err != nil {
		return nil, err
	}
	d.tally.lists = true
	s.begin(window)
	for c := range d.content.Chunks() {
		d.schedule.Add(c)
	}
	if err := s.fetchQueued(d.complete); err != nil {
		return nil, err
	}
	// A server with a wrong chunk is to be out before the files are
	// fetched.
	if err := s.loop.until(func() bool { return !s.judging() }); err != nil {
		return nil, err
	}
	d.halt()
	return window.whole(), nil
}

// newTreeDownload returns the download of a tree's files, which follows that of
// its listing.
func (s *Session) newTreeDownload(l listed) *download {
	d, next := s.download, newDownload(s, nil)
	next.offer, next.listed, next.content = d.offer, l, l.tree.Content()
	next.result.Name, next.result.Checksum, next.result.Size = d.result.Name, d.result.Checksum, next.content.Size()
	next.result.Refusals = d.result.Refusals
	next.tally.Counts = d.tally.Counts
	return next
}

// whole returns all bytes of a window that has a slot for each chunk, once all
// of them are marked.
func (w *streamWindow) whole() []byte {
	all := make([]byte, 0, w.content.Size())
	for c := range w.slots {
		all = append(all, w.slots[c].buf[:w.length(c)]...)
	}
	return all
}
