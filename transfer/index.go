package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// cacheLeast is the size in bytes below which hashing a file again is no work.
const cacheLeast = 64 << 20

// rebuildPause is the time between two tries to hash a file that changed
// meanwhile, or could not be read.
const rebuildPause = time.Second

// errTooLarge says that a file has more bytes than the protocol can offer.
var errTooLarge = errors.New("is larger than 16 TiB")

// A version is one state of the file, held open, and all that is said of it.
type version struct {
	file     File
	info     fs.FileInfo // of file, before it was hashed
	offer    wire.Offer
	manifest wire.Manifest

	users int // under index.mu: the file is closed when nobody uses it
}

// isIntact reports whether the open file still holds what was hashed, as far
// as its size and modification time tell. Its name may belong to another file
// by now.
func (v *version) isIntact() bool {
	info, err := v.file.Stat()
	return err == nil && sameContent(v.info, info)
}

func sameContent(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// isNamed reports whether info describes the very file that was hashed, and
// nothing was done to it since: not even a chmod, behind which a change of the
// modification time can hide.
func (v *version) isNamed(info fs.FileInfo) bool {
	hashed, ok1 := manifest.KeyOf(v.info)
	now, ok2 := manifest.KeyOf(info)
	if ok1 && ok2 {
		return hashed == now
	}
	return sameContent(v.info, info)
}

// An index makes the versions of a source and knows which one is current. One
// goroutine runs it, any other may ask.
type index struct {
	source Source
	name   string          // what is offered
	cache  *manifest.Cache // nil: none
	tell   func(ServeEvent)

	hashed atomic.Int64 // bytes of the version that is being made

	mu      sync.Mutex
	current *version      // nil while there is none
	failed  error         // why there is none; nil while it is being made
	total   int64         // bytes in the version that is being made
	ready   chan struct{} // closed when current or failed is set
	stale   chan struct{} // receives when current was found not to be the file any more
}

func newIndex(source Source, name string, cache *manifest.Cache, tell func(ServeEvent)) *index {
	return &index{
		source: source, name: name, cache: cache, tell: tell,
		ready: make(chan struct{}), stale: make(chan struct{}, 1),
	}
}

// acquire returns the current version, to be released; or nil and a channel
// that is closed when there is one; or the reason why there is none.
func (ix *index) acquire() (*version, <-chan struct{}, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.current != nil {
		ix.current.users++
		return ix.current, nil, nil
	}
	return nil, ix.ready, ix.failed
}

// share lets one more user have a version that somebody uses.
func (ix *index) share(v *version) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	v.users++
}

// release ends one use of a version; nil is none.
func (ix *index) release(v *version) {
	if v == nil {
		return
	}
	ix.mu.Lock()
	v.users--
	last := v.users == 0
	ix.mu.Unlock()
	if last {
		v.file.Close()
	}
}

// isReady reports whether there is a current version.
func (ix *index) isReady() bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.current != nil
}

// progress returns how far the version that is being made is.
func (ix *index) progress() wire.Indexing {
	ix.mu.Lock()
	total := ix.total
	ix.mu.Unlock()
	return wire.Indexing{Done: min(ix.hashed.Load(), total), Total: total}
}

// isCurrent reports whether v is still what has the source's name. A source
// that cannot be looked at stays what it was, for as long as it is held open.
func (ix *index) isCurrent(v *version) bool {
	info, err := ix.source.Stat()
	if err != nil {
		return v.isIntact()
	}
	return v.isNamed(info)
}

// invalidate says that v is not what the source holds any more: a new version
// is made for new clients.
func (ix *index) invalidate(v *version) {
	ix.mu.Lock()
	if ix.current != v {
		ix.mu.Unlock()
		return
	}
	ix.current, ix.failed = nil, nil
	ix.ready = make(chan struct{})
	ix.mu.Unlock()
	ix.release(v)
	ix.stale <- struct{}{}
}

// run makes a version, tells of it, and makes a new one each time the last was
// invalidated. It returns when ctx ends (nil), or when the first version cannot
// be made; later it tries again.
func (ix *index) run(ctx context.Context) error {
	defer ix.close()
	var told error
	for first := true; ; first = false {
		v, err := ix.build(ctx)
		if ctx.Err() != nil {
			if v != nil {
				v.file.Close()
			}
			return nil
		}
		if err != nil {
			if first {
				return err
			}
			ix.fail(err)
			if told == nil || told.Error() != err.Error() {
				ix.tell(Unreadable{Err: err})
			}
			told = err
		}
		if v == nil {
			if err == nil {
				ix.tell(Unsteady{})
			}
			if sleep(ctx, rebuildPause) != nil {
				return nil
			}
			continue
		}
		told = nil
		ix.publish(v)
		select {
		case <-ix.stale:
		case <-ctx.Done():
			return nil
		}
	}
}

func (ix *index) publish(v *version) {
	ix.mu.Lock()
	v.users = 1
	ix.current, ix.failed = v, nil
	closeOnce(ix.ready)
	ix.mu.Unlock()
	ix.tell(Ready{Offered: v.offer.Name, Size: v.offer.Size, Checksum: v.offer.Checksum})
}

// fail lets those who wait know that there will be no version for now.
func (ix *index) fail(err error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.failed = err
	closeOnce(ix.ready)
}

// closeOnce closes a channel that nothing is ever sent on.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// close ends the index's own use of the current version.
func (ix *index) close() {
	ix.mu.Lock()
	v := ix.current
	ix.current = nil
	ix.mu.Unlock()
	ix.release(v)
}

// build opens the source and hashes it, unless the cache knows it. It returns
// nil without an error when the source changed meanwhile.
func (ix *index) build(ctx context.Context) (*version, error) {
	file, err := ix.source.Open()
	if err != nil {
		return nil, err
	}
	v := &version{file: file}
	steady, err := ix.hash(ctx, v)
	if err != nil || !steady {
		file.Close()
		return nil, err
	}
	v.offer.Digest = manifest.Digest(v.manifest)
	return v, nil
}

// hash fills in what is said of a version's open file. It reports false when
// the file changed meanwhile.
func (ix *index) hash(ctx context.Context, v *version) (steady bool, err error) {
	if v.info, err = v.file.Stat(); err != nil {
		return false, err
	}
	size := v.info.Size()
	if size > wire.MaxFileSize {
		return false, errTooLarge
	}
	ix.hashed.Store(0)
	ix.mu.Lock()
	ix.total = size
	ix.mu.Unlock()
	v.offer = wire.Offer{Size: size, ModTime: v.info.ModTime(), Name: ix.name}
	if ix.load(v) {
		return true, nil
	}
	began := time.Now()
	m, sum, err := manifest.Build(ctx, v.file, size, manifest.BuildOptions{Done: &ix.hashed})
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, fmt.Errorf("hash: %w", err)
	}
	if err != nil || !v.isIntact() {
		return false, nil
	}
	v.manifest, v.offer.Checksum = m, sum
	ix.store(v, began)
	return true, nil
}

// load takes a version's hashes from the cache, if they are there.
func (ix *index) load(v *version) bool {
	key, ok := manifest.KeyOf(v.info)
	if !ok || ix.cache == nil || key.Size < cacheLeast {
		return false
	}
	v.manifest, v.offer.Checksum, ok = ix.cache.Load(key)
	return ok
}

// store keeps a version's hashes for the next time. That it cannot is told, and
// no more.
func (ix *index) store(v *version, began time.Time) {
	key, ok := manifest.KeyOf(v.info)
	if !ok || ix.cache == nil || key.Size < cacheLeast || !key.Settled(began) {
		return
	}
	if err := ix.cache.Store(key, v.manifest); err != nil {
		ix.tell(CacheFailed{Err: err})
	}
}

// sleep waits for d. The error is that of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
