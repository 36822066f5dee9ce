package wire

import (
	"encoding/binary"
	"fmt"
)

// A Manifest is the encoded list of chunk values and chunk xxh3-128 of one
// version of a file. It is a view of its own encoding and holds nothing else:
// it costs [ManifestChunkLen] bytes a chunk in memory as on the wire.
//
// The zero Manifest is invalid; make one with [NewManifest] or [ParseManifest].
// Several goroutines may read it. They may also call SetChunk at the same time
// for different chunks, but not while others read.
type Manifest struct {
	b []byte
	n int
}

// ManifestLen returns the length in bytes of a manifest of n chunks.
func ManifestLen(n int) int { return ManifestHeaderLen + n*ManifestChunkLen }

// NewManifest returns a manifest of n chunks (0 to [MaxChunks]) whose values
// are zero until [Manifest.SetChunk] fills them. size and chunkSize are in
// bytes; size is at most [MaxFileSize], chunkSize below 2^32. It panics if an
// argument is outside its range: both come from our own arithmetic.
func NewManifest(size, chunkSize int64, n int) Manifest {
	if size < 0 || size > MaxFileSize || chunkSize < 0 || chunkSize>>32 != 0 || n < 0 || n > MaxChunks {
		panic("malcolm: internal error: manifest out of range")
	}
	b := make([]byte, ManifestLen(n))
	binary.BigEndian.PutUint64(b, uint64(size))
	binary.BigEndian.PutUint32(b[8:], uint32(chunkSize))
	binary.BigEndian.PutUint32(b[12:], uint32(n))
	return Manifest{b: b, n: n}
}

// ParseManifest reads a whole encoded manifest and keeps b, which the caller
// must not change afterwards. It checks only the layout. The reader checks
// whether the chunk size follows from the size, and whether the values merge to
// a checksum. Errors are [*MalformedError].
func ParseManifest(b []byte) (Manifest, error) {
	if len(b) < ManifestHeaderLen {
		return Manifest{}, malformed("manifest", "shorter than its header")
	}
	n := binary.BigEndian.Uint32(b[12:])
	if n > MaxChunks {
		return Manifest{}, malformed("manifest", fmt.Sprintf("%d chunks, at most %d are allowed", n, MaxChunks))
	}
	if size := binary.BigEndian.Uint64(b); size > MaxFileSize {
		return Manifest{}, malformed("manifest", fmt.Sprintf("file size %d is over the limit", size))
	}
	if want := ManifestLen(int(n)); len(b) != want {
		return Manifest{}, malformed("manifest", fmt.Sprintf("%d bytes for %d chunks, want %d", len(b), n, want))
	}
	return Manifest{b: b, n: int(n)}, nil
}

// Size returns the file's size in bytes, 0 to [MaxFileSize].
func (m Manifest) Size() int64 { return int64(binary.BigEndian.Uint64(m.b)) }

// ChunkSize returns the size of every chunk but the last, in bytes.
func (m Manifest) ChunkSize() int64 { return int64(binary.BigEndian.Uint32(m.b[8:])) }

// Len returns the number of chunks, 0 to [MaxChunks].
func (m Manifest) Len() int { return m.n }

// Value returns the BLAKE3 chunk value of chunk i.
func (m Manifest) Value(i int) [32]byte { return [32]byte(m.value(i)) }

// XXH3 returns the xxh3-128 of chunk i, as Hash128's canonical (big-endian)
// bytes.
func (m Manifest) XXH3(i int) [16]byte { return [16]byte(m.xxh3(i)) }

// SetChunk records the two hashes of chunk i.
func (m Manifest) SetChunk(i int, value [32]byte, xxh [16]byte) {
	copy(m.value(i), value[:])
	copy(m.xxh3(i), xxh[:])
}

// Bytes returns the encoding, which the caller must not change.
func (m Manifest) Bytes() []byte { return m.b }

// Append appends the encoding to b.
func (m Manifest) Append(b []byte) []byte { return append(b, m.b...) }

func (m Manifest) value(i int) []byte {
	at := ManifestHeaderLen + i*hashLen
	return m.b[at : at+hashLen]
}

func (m Manifest) xxh3(i int) []byte {
	at := ManifestHeaderLen + m.n*hashLen + i*xxh3Len
	return m.b[at : at+xxh3Len]
}
