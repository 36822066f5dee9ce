package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// cacheLeast is the size in bytes below which hashing a file again is no work.
const cacheLeast = 64 << 20

// Why a file has no hashes.
var (
	// ErrUnsteady says that the file changed while it was hashed.
	ErrUnsteady = errors.New("changed while it was hashed")
	// ErrMadeUp is for files that the system makes up as they are read
	// (/proc, /sys). They cannot be offered.
	ErrMadeUp = errors.New("does not have the size that the system says; malcolm offers files with a size of their own")
)

// FileConfig says how [HashFile] hashes a file. The zero value is the default.
type FileConfig struct {
	// Cache keeps the hashes of a large file for the next run; nil: they
	// are not kept.
	Cache *cache.Cache
	// Rehash takes nothing from the cache.
	Rehash bool
	// SHA256 also computes the SHA-256. A file for which the cache has none
	// is hashed.
	SHA256 bool
}

// A HashedFile is what one open file holds.
type HashedFile struct {
	Info     fs.FileInfo // before it was hashed
	Values   wire.Values
	Checksum [32]byte
	SHA256   *[32]byte // nil: not asked for
	Unkept   error     // why the cache could not keep it; nil: it does, or need not
}

// HashFile hashes an open file, unless the cache knows it. Errors:
// [ErrUnsteady], [ErrMadeUp], [localfile.ErrTooLarge], what the file returned,
// wrapped, or the end of ctx. progress gets what there is to do, and what is
// done.
func HashFile(ctx context.Context, f localfile.File, cfg FileConfig, progress *Progress) (*HashedFile, error) {
	h, err := hashFile(ctx, f, cfg, progress)
	if err == io.ErrUnexpectedEOF { // once more, since it may have grown and shrunk meanwhile
		if h, err = hashFile(ctx, f, cfg, progress); err == io.ErrUnexpectedEOF {
			err = ErrMadeUp
		}
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// hashFile hashes a file once. [io.ErrUnexpectedEOF] says that it ended before
// the size that the system reports, and that neither size nor modification time
// changed.
func hashFile(ctx context.Context, f localfile.File, cfg FileConfig, progress *Progress) (*HashedFile, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h := &HashedFile{Info: info}
	size := info.Size()
	if size > wire.MaxFileSize {
		return nil, localfile.ErrTooLarge
	}
	progress.begin(size, 1)
	if h.load(cfg) {
		return h, nil
	}
	if cfg.SHA256 {
		h.SHA256 = new([32]byte)
	}
	began := time.Now()
	h.Values, h.Checksum, err = manifest.Build(ctx, f, size, manifest.BuildOptions{Done: &progress.Bytes, SHA256: h.SHA256})
	early := errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !early {
		return nil, fmt.Errorf("hash: %w", err)
	}
	beyond := !early && !localfile.EndsAt(f, size)
	now, err := f.Stat()
	switch {
	case err != nil || !SameContent(info, now):
		return nil, ErrUnsteady
	case early:
		return nil, io.ErrUnexpectedEOF
	case beyond:
		return nil, ErrMadeUp
	}
	h.keep(cfg, began)
	return h, nil
}

// begin sets what there is to do.
func (p *Progress) begin(bytes, files int64) {
	p.Bytes.Store(0)
	p.Files.Store(0)
	p.TotalBytes.Store(bytes)
	p.TotalFiles.Store(files)
}

// SameContent reports whether two descriptions of a file are of the same bytes,
// as far as its size and modification time tell.
func SameContent(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load takes the hashes from the cache, if they are there.
func (h *HashedFile) load(cfg FileConfig) bool {
	key, ok := cache.KeyOf(h.Info)
	if !ok || cfg.Cache == nil || cfg.Rehash || key.Size < cacheLeast {
		return false
	}
	h.Values, h.Checksum, ok = cfg.Cache.Load(key)
	if ok && cfg.SHA256 {
		var sum [32]byte
		sum, ok = cfg.Cache.LoadSHA256(key, h.Checksum)
		h.SHA256 = &sum
	}
	return ok
}

// keep keeps the hashes for the next run.
func (h *HashedFile) keep(cfg FileConfig, began time.Time) {
	key, ok := cache.KeyOf(h.Info)
	if !ok || cfg.Cache == nil || key.Size < cacheLeast || !key.Settled(began) {
		return
	}
	h.Unkept = cfg.Cache.Store(key, h.Values)
	if h.Unkept == nil && h.SHA256 != nil {
		h.Unkept = cfg.Cache.StoreSHA256(key, h.Checksum, *h.SHA256)
	}
}
