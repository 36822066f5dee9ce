package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// cacheLeast is the size in bytes below which hashing a file again is no work.
const cacheLeast = 64 << 20

// errSizeLies is for files that the system makes up as they are read (/proc,
// /sys). They cannot be offered.
var errSizeLies = errors.New("does not have the size that the system says; malcolm offers files with a size of their own")

// build opens the source and hashes it, unless the cache knows it. It returns
// nil and no error when the source changed meanwhile.
func (ix *index) build(ctx context.Context) (*version, error) {
	file, err := ix.source.Open()
	if err != nil {
		return nil, err
	}
	v := &version{file: file}
	steady, err := ix.hash(ctx, v)
	if err == errEndsEarly { // once more, since it may have grown and shrunk meanwhile
		if steady, err = ix.hash(ctx, v); err == errEndsEarly {
			err = errSizeLies
		}
	}
	if err != nil || !steady {
		file.Close()
		return nil, err
	}
	return v, nil
}

// errEndsEarly says that a file ended before the size that the system reports,
// and that neither size nor modification time changed.
var errEndsEarly = errors.New("ends early")

// hash fills in what is said of a version's open file; false: the file changed
// meanwhile.
func (ix *index) hash(ctx context.Context, v *version) (steady bool, err error) {
	if v.info, err = v.file.Stat(); err != nil {
		return false, err
	}
	size := v.info.Size()
	if size > wire.MaxFileSize {
		return false, localfile.ErrTooLarge
	}
	ix.making.done.Store(0)
	ix.making.total.Store(size)
	v.offer = wire.Offer{Size: size, ModTime: v.info.ModTime(), Name: ix.name}
	if ix.load(v) {
		return true, nil
	}
	began := time.Now()
	values, sum, err := manifest.Build(ctx, v.file, size, manifest.BuildOptions{Done: &ix.making.done})
	early := errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !early {
		return false, fmt.Errorf("hash: %w", err)
	}
	beyond := !early && !localfile.EndsAt(v.file, size)
	switch {
	case !v.isIntact():
		return false, nil
	case early:
		return false, errEndsEarly
	case beyond:
		return false, errSizeLies
	}
	v.values, v.offer.Checksum = values, sum
	ix.store(v, began)
	return true, nil
}

// load takes a version's hashes from the cache, if they are there.
func (ix *index) load(v *version) bool {
	key, ok := cache.KeyOf(v.info)
	if !ok || ix.cache == nil || ix.rehash || key.Size < cacheLeast {
		return false
	}
	v.values, v.offer.Checksum, ok = ix.cache.Load(key)
	return ok
}

// store keeps a version's hashes for the next run. A failure is told, and no
// more.
func (ix *index) store(v *version, began time.Time) {
	key, ok := cache.KeyOf(v.info)
	if !ok || ix.cache == nil || key.Size < cacheLeast || !key.Settled(began) {
		return
	}
	if err := ix.cache.Store(key, v.values); err != nil {
		ix.tell(CacheFailed{Err: err})
	}
}
