package scan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
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
// that cannot be read, or that change meanwhile, are left out. Errors are those
// of [Scanner.Look], and a lack of room for the values of large files. progress
// gets what there is to do, and what is done.
func (l *Look) Hash(ctx context.Context, progress *Progress) (*Snapshot, error) {
	snapshot, err := l.hash(ctx, progress)
	if err != nil {
		l.Close()
		return nil, err
	}
	return snapshot, nil
}

func (l *Look) hash(ctx context.Context, progress *Progress) (*Snapshot, error) {
	if l.of != nil { // all is as before, but is wanted anew
		l.unfold()
		l.compare(l.before)
	}
	if err := l.renew(); err != nil {
		return nil, err
	}
	todo := l.todo(progress)
	large, _ := slices.BinarySearchFunc(todo, largeFile, func(j job, size int64) int { return cmp.Compare(size, j.size) })
	for ; large < len(todo) && todo[large].size == largeFile; large++ {
	}
	workers := l.scanner.cfg.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	r := &results{left: make(map[int]*Left), changes: make(map[int]revision)}
	h := &hasher{look: l, results: r, progress: progress, workers: workers}
	for _, j := range todo[:large] {
		if err := h.into(ctx, int(j.entry)); err != nil {
			return nil, err
		}
	}
	if err := h.rest(ctx, todo[large:]); err != nil {
		return nil, err
	}
	l.settle(todo, r)
	if l.scanner.cfg.Strict && l.left.Count > 0 {
		return nil, &LeftOutError{l.left}
	}
	if len(r.changes) > 0 {
		l.table = l.changed(r.changes)
	}
	l.order()
	return l.snapshot(len(todo) > 0)
}

// A job is a file to hash.
type job struct {
	size  int64 // as it was found
	entry uint32
}

// results are what hashing has found, beside the table.
type results struct {
	mu      sync.Mutex // also of the hashes in the table
	left    map[int]*Left
	changes map[int]revision // files of another size
}

// rest hashes files, several at once.
func (h *hasher) rest(ctx context.Context, todo []job) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(h.workers, len(todo)) {
		one := &hasher{look: h.look, results: h.results, progress: h.progress, workers: 1}
		g.Go(func() error {
			for at := next.Add(1) - 1; at < int64(len(todo)); at = next.Add(1) - 1 {
				if err := one.into(ctx, int(todo[at].entry)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// todo returns the entries to hash, the largest first.
func (l *Look) todo(progress *Progress) (todo []job) {
	var bytes int64
	for i := range l.Len() {
		if l.hashed.has(i) {
			continue
		}
		if e := l.entry(i); e.IsFile() {
			todo = append(todo, job{e.Size, uint32(i)})
			bytes += e.Size
		}
	}
	slices.SortFunc(todo, func(a, b job) int { return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.entry, b.entry)) })
	progress.begin(bytes, int64(len(todo)))
	return todo
}

// settle leaves out what could not be hashed, and remembers it for a while.
func (l *Look) settle(todo []job, r *results) {
	s := l.scanner
	for _, j := range todo {
		i := int(j.entry)
		left := r.left[i]
		if left == nil {
			if len(s.paused) > 0 {
				delete(s.paused, l.entry(i).Path)
			}
			continue
		}
		r.changes[i] = revision{gone: true}
		l.leave(*left)
		pause := min(max(2*s.paused[left.Path].pause, hashPause), longestHashPause)
		s.paused[left.Path] = paused{left: *left, stamp: *l.stamps.at(i), until: time.Now().Add(pause), pause: pause}
	}
	clear(s.doubted)
	for path, p := range s.paused { // of what is not there any more
		if time.Since(p.until) > longestHashPause {
			delete(s.paused, path)
		}
	}
	for _, n := range l.renumbered {
		_, changed := r.changes[n.now]
		s.numbers = s.numbers || !changed && l.entry(n.now).Checksum == l.before.entry(n.before).Checksum
	}
}

// A hasher hashes one file after another.
type hasher struct {
	look     *Look
	results  *results
	progress *Progress
	workers  int
	h        manifest.Hasher
	buf      []byte // for a whole file of one chunk, and a byte more
}

// errSizeLies says that a file has not the size that the system says.
var errSizeLies = errors.New("has not the size that the system says")

// into hashes an entry, and says in the results why it cannot be in the tree.
// The error is of the whole scan.
func (h *hasher) into(ctx context.Context, i int) error {
	e := h.look.entry(i)
	err := h.file(ctx, i, &e)
	if errors.Is(err, ErrUnsteady) && ctx.Err() == nil { // once more, since it may be over
		err = h.file(ctx, i, &e)
	}
	h.progress.Files.Add(1)
	var left *Left
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case errors.Is(err, errStore):
		return err
	case errors.Is(err, ErrUnsteady), errors.Is(err, localfile.ErrChanged):
		left = &Left{Path: e.Path, Reason: Changing}
	case errors.Is(err, errSizeLies):
		left = &Left{Path: e.Path, Reason: SizeLies}
	default:
		left = &Left{Path: e.Path, Reason: Unreadable, Err: err}
	}
	h.results.mu.Lock()
	defer h.results.mu.Unlock()
	h.results.left[i] = left
	return nil
}

// errStore says that the values could not be kept.
var errStore = errors.New("no place for the hashes of large files")

// file hashes an entry as the file is now.
func (h *hasher) file(ctx context.Context, i int, e *wire.Entry) error {
	l := h.look
	f, err := l.parts[l.part(i)].open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > wire.MaxFileSize {
		return ErrUnsteady
	}
	began, size := time.Now(), info.Size()
	*l.stamps.at(i) = cache.StampOf(info)
	sums, hashErr := h.bytes(ctx, f, size)
	sums.settled = l.stamps.at(i).Settled(began)
	now, err := f.Stat()
	switch {
	case err != nil:
		return err
	case now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()):
		return ErrUnsteady
	case errors.Is(hashErr, io.ErrUnexpectedEOF):
		return errSizeLies
	case hashErr != nil:
		return hashErr
	}
	h.results.mu.Lock()
	defer h.results.mu.Unlock()
	if size != e.Size {
		h.results.changes[i] = revision{size: size, hash: sums}
		return nil
	}
	l.setHash(i, size, sums)
	return nil
}

// bytes hashes an open file of size bytes.
func (h *hasher) bytes(ctx context.Context, f localfile.File, size int64) (sums hash, err error) {
	l := h.look
	if l.scanner.cfg.SHA256 {
		sums.sha256 = new([32]byte)
	}
	if size <= manifest.MinChunkSize {
		err = h.small(f, size, &sums)
		return sums, err
	}
	o := manifest.BuildOptions{Workers: h.workers, Done: &h.progress.Bytes, SHA256: sums.sha256}
	values, sum, err := manifest.Build(ctx, f, size, o)
	switch {
	case err != nil:
		return sums, err
	case !localfile.EndsAt(f, size):
		return sums, errSizeLies
	}
	if sums.first, err = l.store.add(values.Bytes()); err != nil {
		return sums, errors.Join(errStore, err)
	}
	sums.checksum = sum
	return sums, nil
}

// small hashes a file of at most one chunk by one read.
func (h *hasher) small(f localfile.File, size int64, sums *hash) error {
	if h.buf == nil {
		h.buf = make([]byte, manifest.MinChunkSize+1)
	}
	n, err := f.ReadAt(h.buf[:size+1], 0)
	h.progress.Bytes.Add(int64(n))
	switch {
	case err != nil && err != io.EOF:
		return err
	case int64(n) < size:
		return io.ErrUnexpectedEOF
	case int64(n) > size:
		return errSizeLies
	}
	if sums.sha256 != nil {
		*sums.sha256 = sha256.Sum256(h.buf[:n])
	}
	if n == 0 {
		sums.checksum = manifest.Merge(0, nil)
		return nil
	}
	h.h.Reset(size, 0)
	h.h.Write(h.buf[:n])
	sums.checksum, _ = h.h.Sum()
	return nil
}
