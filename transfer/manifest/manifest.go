// Package manifest cuts a file into chunks, computes their values, and compares
// these with the file's checksum.
//
// A chunk is 2^k KiB at a multiple of its own size, so its BLAKE3 chaining
// value is that of a whole subtree of the file, even if the last chunk is short
// (BLAKE3 paper, section 2.1: a left subtree is always full). So values can be
// computed in any order, with the chunk's position as counter. [Merge] makes
// the file's checksum of them: what b3sum prints. A file of one chunk has no
// parent; its only value is the checksum, hashed as the root. An empty file has
// no chunk.
//
// The merge proves the values, not the size: a size is proved when the last
// chunk has arrived and matched.
//
// The xxh3-128 of a chunk finds accidents on our own disk, quicker than its
// value does. It is made here, where a value has matched, and never sent.
package manifest

import (
	"fmt"
	"math/bits"

	"malcolm/wire"
)

const (
	// MinChunkSize is the smallest chunk size, in bytes: that of all files
	// up to 1 GiB.
	MinChunkSize = 256 << 10
	// MaxChunkSize is the largest chunk size, in bytes: that of all files
	// over 32 GiB.
	MaxChunkSize = 16 << 20

	// aimChunks is the number of chunks that the chunk size aims at between
	// its limits.
	aimChunks = 4096
)

// ChunkSize returns the size in bytes of every chunk but the last in a file of
// size bytes: the smallest power of two that is at least size/4096, at least
// [MinChunkSize] and at most [MaxChunkSize]. It panics when size is not in 0
// to [wire.MaxFileSize].
func ChunkSize(size int64) int64 {
	if !validSize(size) {
		panic(fmt.Sprintf("malcolm: internal error: chunk size of a file of %d bytes", size))
	}
	least := (size + aimChunks - 1) / aimChunks
	if least <= MinChunkSize {
		return MinChunkSize
	}
	return min(int64(1)<<bits.Len64(uint64(least-1)), MaxChunkSize)
}

// Count returns the number of chunks in a file of size bytes, 0 (for an empty
// file) to [wire.MaxChunks]. It panics as [ChunkSize] does.
func Count(size int64) int { return count(size, ChunkSize(size)) }

// Span returns the offset and the length of a chunk in a file of size bytes,
// both in bytes. It panics as [ChunkSize] does, and if chunk is not in 0 to
// Count(size)-1.
func Span(size int64, chunk int) (offset, length int64) {
	return span(size, ChunkSize(size), chunk)
}

func validSize(size int64) bool { return size >= 0 && size <= wire.MaxFileSize }

func count(size, chunkSize int64) int { return int((size + chunkSize - 1) / chunkSize) }

func span(size, chunkSize int64, chunk int) (offset, length int64) {
	if n := count(size, chunkSize); chunk < 0 || chunk >= n {
		panic(fmt.Sprintf("malcolm: internal error: chunk %d of %d", chunk, n))
	}
	offset = int64(chunk) * chunkSize
	return offset, min(chunkSize, size-offset)
}
