package serve

import (
	"math/bits"
	"sync"

	"malcolm/transfer/admission"
)

// frameHead is the room in front of a buffer's bytes for the header of their
// frame, in bytes.
const frameHead = 8

// bufferPools hold the buffers for what is being sent: one pool for each power
// of two from [admission.LeastBuffer] to [admission.MostBuffer], with room for
// a header in front. The book decides who may have one. The zero value is ready
// to use.
type bufferPools [6]sync.Pool // of *[]byte

// bufferSize returns the size of the smallest buffer that holds n bytes, or of
// the largest one.
func bufferSize(n int) int {
	if n >= admission.MostBuffer {
		return admission.MostBuffer
	}
	return max(1<<bits.Len(uint(n-1)), admission.LeastBuffer)
}

// get returns a buffer of a size that bufferSize returns, with frameHead more.
func (p *bufferPools) get(size int) *[]byte {
	if b, ok := p.of(size).Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, frameHead+size)
	return &b
}

// put takes a buffer back.
func (p *bufferPools) put(b *[]byte) { p.of(len(*b) - frameHead).Put(b) }

func (p *bufferPools) of(size int) *sync.Pool {
	return &p[bits.Len(uint(size/admission.LeastBuffer))-1]
}
