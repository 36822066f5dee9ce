package scan

import (
	"cmp"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// largeFile is the size in bytes from which all workers hash one file together.
const largeFile = 64 << 20

// Hash hashes what is new, and returns the snapshot. It ends the look. Files
// that cannot be read, or that change meanwhile, are left out. Errors: those of
// [Scanner.Look], and that there is no place for the values of large files.
// progress gets what there is to do, and what is done.
func (l *Look) Hash(ctx context.Context, progress *Progress) (*Snapshot, error) {
	snapshot, err := l.hash(ctx, progress)
	if err != nil {
		l.Close()
		return nil, err
	}
	return snapshot, nil
}

func (l *Look) hash(ctx context.Context, progress *Progress) (*Snapshot, error) {
	if err := l.renew(); err != nil {
		return nil, err
	}
	todo, results := l.todo(progress), make([]*Left, len(l.entries))
	large, _ := slices.BinarySearchFunc(todo, largeFile, func(i int, size int64) int { return cmp.Compare(size, l.entries[i].Size) })
	for ; large < len(todo) && l.entries[todo[large]].Size == largeFile; large++ {
	}
	workers := l.scanner.cfg.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	h := &hasher{look: l, progress: progress, workers: workers}
	for _, i := range todo[:large] {
		if err := h.into(ctx, i, results); err != nil {
			return nil, err
		}
	}
	if err := h.rest(ctx, todo[large:], results); err != nil {
		return nil, err
	}
	l.settle(todo, results)
	if l.scanner.cfg.Strict && l.left.Count > 0 {
		return nil, &LeftOutError{l.left}
	}
	l.entries, l.facts = withoutGone(l.entries, l.facts)
	return l.snapshot(len(todo) > 0)
}

// rest hashes files, several at once.
func (h *hasher) rest(ctx context.Context, todo []int, results []*Left) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(h.workers, len(todo)) {
		one := &hasher{look: h.look, progress: h.progress, workers: 1}
		g.Go(func() error {
			for at := next.Add(1) - 1; at < int64(len(todo)); at = next.Add(1) - 1 {
				if err := one.into(ctx, todo[at], results); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// todo returns the entries to hash, the largest first.
func (l *Look) todo(progress *Progress) (todo []int) {
	var bytes int64
	for i := range l.entries {
		if l.entries[i].IsFile() && !l.facts[i].hashed {
			todo = append(todo, i)
			bytes += l.entries[i].Size
		}
	}
	slices.SortStableFunc(todo, func(a, b int) int { return cmp.Compare(l.entries[b].Size, l.entries[a].Size) })
	progress.Bytes.Store(0)
	progress.Files.Store(0)
	progress.TotalBytes.Store(bytes)
	progress.TotalFiles.Store(int64(len(todo)))
	return todo
}

// settle leaves out what could not be hashed, and remembers it for a while.
func (l *Look) settle(todo []int, results []*Left) {
	s := l.scanner
	for _, i := range todo {
		path := l.entries[i].Path
		if results[i] == nil {
			delete(s.paused, path)
			continue
		}
		l.facts[i].gone = true
		l.leave(*results[i])
		pause := min(max(2*s.paused[path].pause, hashPause), longestHashPause)
		s.paused[path] = paused{left: *results[i], stamp: l.facts[i].stamp, until: time.Now().Add(pause), pause: pause}
	}
	clear(s.doubted)
	for path, p := range s.paused { // of what is not there any more
		if time.Since(p.until) > longestHashPause {
			delete(s.paused, path)
		}
	}
	for _, r := range l.renumbered {
		e := l.before.entry(r.before)
		s.numbers = s.numbers || !l.facts[r.now].gone && l.entries[r.now].Checksum == e.Checksum
	}
}

// A hasher hashes one file after another.
type hasher struct {
	look     *Look
	progress *Progress
	workers  int
	h        manifest.Hasher
	buf      []byte // for a whole file of one chunk, and a byte more
}

// errChanged says that a file changed while it was hashed.
var errChanged = errors.New("changed while it was hashed")

// errSizeLies says that a file has not the size that the system says.
var errSizeLies = errors.New("has not the size that the system says")

// into hashes an entry, and says in results why it cannot be in the tree. The
// error is of the whole scan.
func (h *hasher) into(ctx context.Context, i int, results []*Left) error {
	l := h.look
	e := &l.entries[i]
	err := h.file(ctx, i)
	if errors.Is(err, errChanged) && ctx.Err() == nil { // once more, since it may be over
		err = h.file(ctx, i)
	}
	h.progress.Files.Add(1)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errStore):
		return err
	case errors.Is(err, errChanged), errors.Is(err, localfile.ErrChanged):
		results[i] = &Left{Path: e.Path, Reason: Changing}
	case errors.Is(err, errSizeLies):
		results[i] = &Left{Path: e.Path, Reason: SizeLies}
	case err != nil:
		results[i] = &Left{Path: e.Path, Reason: Unreadable, Err: err}
	}
	return nil
}

// errStore says that the values could not be kept.
var errStore = errors.New("no place for the hashes of large files")

// file hashes an entry as the file is now.
func (h *hasher) file(ctx context.Context, i int) error {
	l := h.look
	e, fact := &l.entries[i], &l.facts[i]
	f, err := l.parts[fact.part].open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > wire.MaxFileSize {
		return errChanged
	}
	began := time.Now()
	e.Size, fact.stamp, fact.settled = info.Size(), cache.StampOf(info), cache.StampOf(info).Settled(began)
	hashErr := h.bytes(ctx, f, i)
	now, err := f.Stat()
	switch {
	case err != nil:
		return err
	case now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()):
		return errChanged
	case errors.Is(hashErr, io.ErrUnexpectedEOF):
		return errSizeLies
	}
	return hashErr
}

// bytes hashes an entry's bytes in an open file.
func (h *hasher) bytes(ctx context.Context, f localfile.File, i int) error {
	l := h.look
	e := &l.entries[i]
	if e.Size <= manifest.MinChunkSize {
		return h.small(f, e)
	}
	values, sum, err := manifest.Build(ctx, f, e.Size, manifest.BuildOptions{Workers: h.workers, Done: &h.progress.Bytes})
	switch {
	case err != nil:
		return err
	case !localfile.EndsAt(f, e.Size):
		return errSizeLies
	}
	first, err := l.store.add(values.Bytes())
	if err != nil {
		return errors.Join(errStore, err)
	}
	e.Checksum, l.facts[i].first = sum, first
	return nil
}

// small hashes a file of at most one chunk by one read.
func (h *hasher) small(f localfile.File, e *wire.Entry) error {
	if h.buf == nil {
		h.buf = make([]byte, manifest.MinChunkSize+1)
	}
	n, err := f.ReadAt(h.buf[:e.Size+1], 0)
	h.progress.Bytes.Add(int64(n))
	switch {
	case err != nil && err != io.EOF:
		return err
	case int64(n) < e.Size:
		return io.ErrUnexpectedEOF
	case int64(n) > e.Size:
		return errSizeLies
	case n == 0:
		e.Checksum = manifest.Merge(0, nil)
		return nil
	}
	h.h.Reset(e.Size, 0)
	h.h.Write(h.buf[:n])
	e.Checksum, _ = h.h.Sum()
	return nil
}
