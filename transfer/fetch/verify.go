package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/wire"
)

// A Span is a piece of a file, in bytes.
type Span struct {
	Chunk  int
	Offset int64
	Length int64

	Unreadable bool // the disk cannot read it
}

// VerifyResult is what [Session.Verify] found.
type VerifyResult struct {
	Size      int64 // of the file that was voted for, in bytes
	LocalSize int64 // of the local file
	Checksum  [32]byte
	Bad       []Span // chunks that differ or are missing, in the file's order
	Servers   []ServerReport
}

// Right reports whether the local file is the one that was voted for.
func (r *VerifyResult) Right() bool { return len(r.Bad) == 0 && r.Size == r.LocalSize }

// A MismatchError says that a local file is not the one that was asked for.
type MismatchError struct {
	Path string
	Bad  int  // chunks that differ or cannot be read; 0: not known, or only the size differs
	Size bool // the sizes differ
}

func (e *MismatchError) Error() string {
	chunks := "chunks differ"
	if e.Bad == 1 {
		chunks = "chunk differs"
	}
	switch {
	case e.Bad > 0 && e.Size:
		return fmt.Sprintf("%q is not right: %d %s, and the size", e.Path, e.Bad, chunks)
	case e.Bad > 0:
		return fmt.Sprintf("%q is not right: %d %s", e.Path, e.Bad, chunks)
	case e.Size:
		return fmt.Sprintf("%q is not right: the size differs", e.Path)
	}
	return fmt.Sprintf("%q does not have the checksum", e.Path)
}

// Verify compares a local file, chunk by chunk, with what most of the sources
// hold. If it differs, the error is a [*MismatchError] and there is a result. A
// chunk that the disk cannot read counts as different and is told by
// [ChunksUnreadable]; many of them in a row are an error.
func (s *Session) Verify(b Ballot, l Local) (*VerifyResult, error) {
	s.anew()
	file, err := openOwn(l)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := s.agreeOnFile(b, nil); err != nil {
		return nil, err
	}
	if err := s.obtainValues(); err != nil {
		return nil, err
	}
	d := s.download
	r := &VerifyResult{Size: d.offer.Size, Checksum: d.offer.Checksum}
	if r.Bad, err = s.compare(file); err != nil {
		return nil, err
	}
	r.LocalSize, r.Servers = file.info.Size, s.reports()
	if b.Checksum != nil && r.Size != r.LocalSize { // the size is one server's word
		right, err := obtain(s.loop, func(ctx context.Context) (bool, error) { return file.hasChecksum(ctx, *b.Checksum), nil })
		if err != nil {
			return nil, err
		}
		if right {
			r.Size, r.Bad = r.LocalSize, nil
		}
	}
	if !r.Right() {
		return r, &MismatchError{Path: l.Path, Bad: len(r.Bad), Size: r.Size != r.LocalSize}
	}
	return r, nil
}

// hasChecksum reports whether a file could be read and has a checksum.
func (f *ownFile) hasChecksum(ctx context.Context, want [32]byte) bool {
	if f.info.Size > wire.MaxFileSize {
		return false
	}
	_, sum, err := manifest.Build(ctx, f, f.info.Size, manifest.BuildOptions{})
	return err == nil && sum == want && f.unchanged() == nil
}

// compare reads a local file and returns the chunks that differ from the
// values. It fails if the file changes meanwhile.
func (s *Session) compare(file *ownFile) (bad []Span, err error) {
	if err := file.describe(); err != nil {
		return nil, err
	}
	var holes unreadable
	size, values := s.download.offer.Size, s.download.values
	err = s.hashing(min(file.info.Size, size), func(ctx context.Context, done *atomic.Int64) (err error) {
		bad, err = file.compare(ctx, size, values, done, &holes)
		return err
	})
	if err != nil {
		return nil, err
	}
	holes.tell(file.path, s.emit)
	return bad, nil
}

// compare is [Session.compare] on any goroutine.
func (f *ownFile) compare(ctx context.Context, size int64, values wire.Values, done *atomic.Int64, holes *unreadable) ([]Span, error) {
	bad, err := mismatches(ctx, f, size, values, done, holes)
	if err != nil {
		return nil, f.failure("read", err)
	}
	return bad, f.unchanged()
}

// A Known is a file whose values are known beforehand, and proved.
type Known struct {
	Size     int64 // in bytes
	Checksum [32]byte
	Values   wire.Values
}

// VerifyKnown compares a local file, chunk by chunk, with values that are
// known. Its result and errors are those of [Session.Verify], and what it tells
// is too. done counts the bytes read.
func VerifyKnown(ctx context.Context, l Local, want Known, done *atomic.Int64, tell func(Event)) (*VerifyResult, error) {
	file, err := openOwn(l)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var holes unreadable
	bad, err := file.compare(ctx, want.Size, want.Values, done, &holes)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	holes.tell(l.Path, tell)
	r := &VerifyResult{Size: want.Size, LocalSize: file.info.Size, Checksum: want.Checksum, Bad: bad}
	if !r.Right() {
		return r, &MismatchError{Path: l.Path, Bad: len(r.Bad), Size: r.Size != r.LocalSize}
	}
	return r, nil
}

// mostUnreadable is the number of unreadable chunks in a row that means the
// disk is gone, and not one place on it.
const mostUnreadable = 64

// unreadable are the chunks that a disk cannot read. Any goroutine may call its
// methods.
type unreadable struct {
	mu     sync.Mutex
	chunks map[int]bool
	row    int   // of unreadable ones, since one could be read
	err    error // of the first
}

// tell tells of them, if there are any.
func (u *unreadable) tell(path string, emit func(Event)) {
	if len(u.chunks) > 0 {
		emit(ChunksUnreadable{Path: path, Chunks: len(u.chunks), Err: partfile.Bare(u.err)})
	}
}

// take reports whether a failed read is one bad place on the disk: not another
// error, and not the whole disk.
func (u *unreadable) take(chunk int, err error) bool {
	if !localfile.IsMediaError(err) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.row++; u.row > mostUnreadable {
		return false
	}
	if u.chunks == nil {
		u.chunks, u.err = make(map[int]bool), err
	}
	u.chunks[chunk] = true
	return true
}

// read notes that a chunk was compared, and reports whether it could be read.
func (u *unreadable) read(chunk int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.chunks[chunk] {
		return false
	}
	u.row = 0
	return true
}

// mismatches returns, in order, the chunks of a file that differ from the
// values, and adds to holes those that could not be read.
func mismatches(ctx context.Context, file io.ReaderAt, size int64, values wire.Values, done *atomic.Int64, holes *unreadable) ([]Span, error) {
	var mu sync.Mutex
	var bad []Span
	o := manifest.MatchOptions{Done: done, Unreadable: holes.take}
	err := manifest.Match(ctx, file, size, values, o, func(chunk int, ok bool, _ [16]byte) {
		read := holes.read(chunk)
		if ok {
			return
		}
		offset, length := manifest.Span(size, chunk)
		mu.Lock()
		defer mu.Unlock()
		bad = append(bad, Span{Chunk: chunk, Offset: offset, Length: length, Unreadable: !read})
	})
	slices.SortFunc(bad, func(a, b Span) int { return a.Chunk - b.Chunk })
	return bad, err
}

// VerifyChecksum compares a local file's checksum. If it differs, the error is
// a [*MismatchError]. done counts the bytes read; nil: not counted.
func VerifyChecksum(ctx context.Context, path string, checksum [32]byte, done *atomic.Int64) (size int64, err error) {
	file, err := openOwn(Local{Path: path})
	if err != nil {
		return 0, err
	}
	defer file.Close()
	size = file.info.Size
	if size > wire.MaxFileSize {
		return 0, file.failure("read", localfile.ErrTooLarge)
	}
	_, sum, err := manifest.Build(ctx, file, size, manifest.BuildOptions{Done: done})
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		if changed := file.unchanged(); changed != nil {
			err = changed
		}
	}
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case as[*localfile.Error](err):
		return 0, err
	case err != nil:
		return 0, file.failure("read", err)
	case sum != checksum:
		return size, &MismatchError{Path: path}
	}
	return size, nil
}
