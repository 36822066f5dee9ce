package fetch

import (
	"context"
	"sync"
)

// A bufferPool hands out buffers of one size and bounds how many are in use.
// Any goroutine may call its methods.
type bufferPool struct {
	tokens chan struct{} // one for each buffer in use
	pool   sync.Pool     // of *[]byte
}

// newBufferPool returns a pool of at most n buffers of size bytes each.
func newBufferPool(n, size int) *bufferPool {
	p := &bufferPool{tokens: make(chan struct{}, n)}
	p.pool.New = func() any {
		b := make([]byte, size)
		return &b
	}
	return p
}

// get waits for a buffer. The error is that of ctx.
func (p *bufferPool) get(ctx context.Context) (*[]byte, error) {
	select {
	case p.tokens <- struct{}{}:
		return p.pool.Get().(*[]byte), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// put gives a buffer back.
func (p *bufferPool) put(b *[]byte) {
	p.pool.Put(b)
	<-p.tokens
}
