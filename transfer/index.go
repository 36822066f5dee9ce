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

// A Source is the file that is served. [*os.File] is one. Its methods are
// called from several goroutines at once.
type Source interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// A version is one state of the file and all that is said of it. It does not
// change once it is made.
type version struct {
	offer    wire.Offer
	manifest wire.Manifest
}

// errTooLarge says that a file has more bytes than the protocol can offer.
var errTooLarge = errors.New("is larger than 16 TiB")

// An index knows the current version of the source and makes it: one goroutine
// runs it, any other may ask.
type index struct {
	source Source
	name   string // what is offered

	hashed atomic.Int64 // bytes of the version that is being made

	mu      sync.Mutex
	current *version      // nil while it is being made
	total   int64         // bytes in the version that is being made
	ready   chan struct{} // closed when current is set
	stale   chan struct{} // receives when current was found not to be the file any more
}

func newIndex(source Source, name string) *index {
	return &index{source: source, name: name, ready: make(chan struct{}), stale: make(chan struct{}, 1)}
}

// get returns the current version, or nil and a channel that is closed when
// there is one.
func (ix *index) get() (*version, <-chan struct{}) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.current, ix.ready
}

// progress returns how far the version that is being made is.
func (ix *index) progress() wire.Indexing {
	ix.mu.Lock()
	total := ix.total
	ix.mu.Unlock()
	return wire.Indexing{Done: min(ix.hashed.Load(), total), Total: total}
}

// invalidate says that v is not what the source holds any more.
func (ix *index) invalidate(v *version) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.current != v {
		return
	}
	ix.current = nil
	ix.ready = make(chan struct{})
	ix.stale <- struct{}{}
}

// isCurrent reports whether the source still looks as v says. A change of size
// or modification time counts; the bytes are not read.
func (ix *index) isCurrent(v *version) bool {
	info, err := ix.source.Stat()
	return err == nil && info.Size() == v.offer.Size && info.ModTime().Equal(v.offer.ModTime)
}

// run makes a version, tells ready of it, and makes a new one each time the
// last was invalidated. It tells unsteady when the source changed while it was
// hashed, and begins again. It returns when ctx ends (nil) or when the source
// cannot be read.
func (ix *index) run(ctx context.Context, ready func(*version), unsteady func()) error {
	for {
		v, err := ix.build(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if v == nil {
			unsteady()
			if sleep(ctx, time.Second) != nil {
				return nil
			}
			continue
		}
		ix.mu.Lock()
		ix.current = v
		close(ix.ready)
		ix.mu.Unlock()
		ready(v)
		select {
		case <-ix.stale:
		case <-ctx.Done():
			return nil
		}
	}
}

// build hashes the source once. It returns nil without an error when the
// source changed meanwhile.
func (ix *index) build(ctx context.Context) (*version, error) {
	info, err := ix.source.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > wire.MaxFileSize {
		return nil, errTooLarge
	}
	ix.hashed.Store(0)
	ix.mu.Lock()
	ix.total = info.Size()
	ix.mu.Unlock()
	m, sum, err := manifest.Build(ctx, ix.source, info.Size(), manifest.BuildOptions{Done: &ix.hashed})
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("hash: %w", err)
	}
	v := &version{manifest: m, offer: wire.Offer{Size: info.Size(), ModTime: info.ModTime(), Checksum: sum, Name: ix.name}}
	if err != nil || !ix.isCurrent(v) {
		return nil, nil
	}
	v.offer.Digest = manifest.Digest(m)
	return v, nil
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
