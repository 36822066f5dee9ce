package manifest

import (
	"context"
	"crypto/sha256"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"lukechampine.com/blake3/guts"

	"malcolm/wire"
)

// An ordered scan also feeds a hash that needs the bytes in order. Its workers
// take pieces of readLen bytes, which are subtrees of BLAKE3, from the front,
// and hash each by itself. The worker that has hashed the next piece in order
// feeds it to the other hash, and then the ready ones behind it. So one core
// always feeds, and the bytes are still in a cache.
type ordered struct {
	*scan
	values wire.Values
	next   atomic.Int64 // the first piece that no worker has taken
	free   chan *worker // for a piece; those in use are not in it

	mu      sync.Mutex
	ready   map[int64]*worker // by piece: hashed, and not fed yet
	fed     int64             // pieces
	feeding bool              // a worker is feeding

	// of the worker that feeds
	sum  hash.Hash
	tree stack // of the pieces of a chunk
}

// moreReady is how many pieces may be ready beyond those that workers hash.
const moreReady = 2

// inOrder scans with n workers, GOMAXPROCS if n is not positive, fills in the
// values, and sets sum to the SHA-256.
func inOrder(ctx context.Context, s *scan, n int, values wire.Values, sum *[32]byte) error {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	places := n
	if n > 1 {
		places += moreReady
	}
	o := &ordered{scan: s, values: values, free: make(chan *worker, places), ready: make(map[int64]*worker), sum: sha256.New()}
	for range places {
		o.free <- workers.Get().(*worker)
	}
	defer o.putBack()
	pieces := (s.size + readLen - 1) / readLen
	g, ctx := errgroup.WithContext(ctx)
	for range min(int64(n), pieces) {
		g.Go(func() error { return o.work(ctx, pieces) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	*sum = [32]byte(o.sum.Sum(nil))
	return nil
}

// putBack ends the use of what is free.
func (o *ordered) putBack() {
	for len(o.free) > 0 {
		workers.Put(<-o.free)
	}
}

// work hashes one piece after another. It takes a place before a piece, so that
// the piece that is next always has one.
func (o *ordered) work(ctx context.Context, pieces int64) error {
	for {
		var w *worker
		select {
		case w = <-o.free:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := o.next.Add(1) - 1
		if piece >= pieces {
			o.free <- w
			return nil
		}
		if err := o.piece(w, piece); err != nil {
			return err
		}
		o.feed(w, piece)
	}
}

// piece reads and hashes one piece.
func (o *ordered) piece(w *worker, piece int64) error {
	at := piece * readLen
	chunk, b := int(at/o.chunkSize), w.of(o.size, piece)
	whole, err := o.read(b, at, chunk)
	switch {
	case err != nil:
		return err
	case !whole:
		return tooShort(chunk, o.values.Len(), o.size)
	}
	w.h.XXH3 = false
	w.h.begin(int64(len(b)), uint64(at)/guts.ChunkSize, int64(len(b)) == o.size)
	_, err = w.h.Write(b)
	return err
}

// of returns the place for a piece of a file of size bytes.
func (w *worker) of(size, piece int64) []byte { return w.buf[:min(readLen, size-piece*readLen)] }

// feed says that a piece is ready, and feeds what is, unless somebody else is
// at it.
func (o *ordered) feed(w *worker, piece int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ready[piece] = w
	if o.feeding {
		return
	}
	o.feeding = true
	for w := o.ready[o.fed]; w != nil; w = o.ready[o.fed] {
		delete(o.ready, o.fed)
		o.mu.Unlock()
		b := w.of(o.size, o.fed)
		o.sum.Write(b)
		end := o.fed*readLen + int64(len(b))
		o.merge(int((end-1)/o.chunkSize), end, w.h.value)
		if o.done != nil {
			o.done.Add(int64(len(b)))
		}
		o.free <- w
		o.mu.Lock()
		o.fed++
	}
	o.feeding = false
}

// merge adds the value of a piece, which ends at end, to its chunk.
func (o *ordered) merge(chunk int, end int64, value [32]byte) {
	if end < o.size && end%o.chunkSize != 0 {
		o.tree.push(cvWords(value))
		return
	}
	if o.tree.n > 0 {
		node := o.tree.top(cvWords(value))
		if o.size <= o.chunkSize {
			node.Flags |= guts.FlagRoot
		}
		value = cvBytes(guts.ChainingValue(node))
		o.tree.n = 0
	}
	o.values.Set(chunk, value)
}
