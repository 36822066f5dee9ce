package manifest

import (
	"fmt"

	"github.com/zeebo/xxh3"
	"lukechampine.com/blake3/guts"
)

// blockLen is the number of bytes that guts compresses at once: a whole
// subtree, as chunks begin at multiples of it.
const blockLen = guts.MaxSIMD * guts.ChunkSize

// A Hasher computes the value of one chunk from its bytes in order. It has no
// constructor: Reset makes any Hasher, even the zero one, ready for a chunk. It
// holds about 18 KiB and allocates nothing. It must not be copied, and only one
// goroutine at a time may use it.
type Hasher struct {
	// XXH3 says that the xxh3-128 is computed too, for our own journal. It
	// is set before Reset.
	XXH3 bool

	left    int64  // bytes of the chunk not yet written
	counter uint64 // position in the file of the next block, in KiB
	root    bool   // the chunk is the whole file
	done    bool   // value is the chunk's

	tree  stack // of the blocks before the last
	xxh   xxh3.Hasher
	value [32]byte

	fill int // bytes in buf, below blockLen between calls
	buf  [blockLen]byte
}

// Reset begins chunk chunk of a file of size bytes and forgets the one before.
// Both arguments decide the value: the position is part of it, and the only
// chunk of a file is hashed as the root. Reset panics as [Span] does.
func (h *Hasher) Reset(size int64, chunk int) { h.reset(size, ChunkSize(size), chunk) }

func (h *Hasher) reset(size, chunkSize int64, chunk int) {
	offset, length := span(size, chunkSize, chunk)
	h.begin(length, uint64(offset)/guts.ChunkSize, length == size)
}

// begin makes h ready for a subtree of length bytes, at least 1, that starts
// counter KiB into the file.
func (h *Hasher) begin(length int64, counter uint64, root bool) {
	h.left, h.counter, h.root, h.done = length, counter, root, false
	h.tree.n = 0
	h.xxh.Reset()
	h.fill = 0
}

// Write hashes the next bytes of the chunk; it does not keep p. More bytes than
// [Hasher.Remaining] are an error, and then none is hashed. It is quickest if p
// begins at a multiple of 16 KiB from the chunk's start: whole 16 KiB are then
// hashed in place, without a copy.
func (h *Hasher) Write(p []byte) (int, error) {
	if int64(len(p)) > h.left {
		return 0, fmt.Errorf("hash chunk: %d bytes given, %d remain", len(p), h.left)
	}
	n := len(p)
	for len(p) > 0 {
		if h.fill == 0 && len(p) >= blockLen {
			h.left -= blockLen
			h.block((*[blockLen]byte)(p), blockLen)
			p = p[blockLen:]
			continue
		}
		c := copy(h.buf[h.fill:], p)
		p = p[c:]
		h.left -= int64(c)
		h.fill += c
		if h.fill == blockLen || h.left == 0 {
			h.block(&h.buf, h.fill)
			h.fill = 0
		}
	}
	return n, nil
}

// block hashes the next n bytes of the chunk: a whole block, or the last one,
// where h.left is 0.
func (h *Hasher) block(b *[blockLen]byte, n int) {
	if h.XXH3 {
		h.xxh.Write(b[:n])
	}
	node := guts.CompressBuffer(b, n, &guts.IV, h.counter, 0)
	h.counter += blockLen / guts.ChunkSize
	if h.left > 0 {
		h.tree.push(guts.ChainingValue(node))
		return
	}
	if h.tree.n > 0 {
		node = h.tree.top(guts.ChainingValue(node))
	}
	if h.root {
		node.Flags |= guts.FlagRoot
	}
	h.value = cvBytes(guts.ChainingValue(node))
	h.done = true
}

// Remaining returns how many bytes of the chunk are still to be written.
func (h *Hasher) Remaining() int64 { return h.left }

// Sum returns the chunk's BLAKE3 value. With h.XXH3 it also returns the
// xxh3-128 of the bytes in canonical (big-endian) form, else zeros. The value
// is the file's checksum if the file has one chunk. Sum panics while bytes
// remain to be written, and before any Reset.
func (h *Hasher) Sum() (value [32]byte, xxh [16]byte) {
	if !h.done {
		panic(fmt.Sprintf("malcolm: internal error: sum of a chunk of which %d bytes remain", h.left))
	}
	if h.XXH3 {
		xxh = h.xxh.Sum128().Bytes()
	}
	return h.value, xxh
}
