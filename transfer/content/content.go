// Package content numbers the chunks of what a download has to fetch: one file,
// or all files of a tree, one behind the other. Each file has the chunks that
// it has alone (see package manifest), so chunks have different lengths, and
// none holds bytes of two files. It is pure.
package content

import (
	"errors"
	"fmt"
	"sort"

	"malcolm/transfer/manifest"
)

// MaxChunks bounds the number of chunks of all files together.
const MaxChunks = 1 << 24

// ErrTooMany says that the files have more than [MaxChunks] chunks.
var ErrTooMany = errors.New("too many chunks")

// A File is bytes with a checksum, wherever they lie.
type File struct {
	Size     int64 // in bytes, at least 0
	Checksum [32]byte
}

// A Content is files, one behind the other, and the numbers of their chunks,
// from 0. It does not change. It holds about 50 bytes a file, and nothing a
// chunk.
type Content struct {
	files  []File
	cut    Cut
	starts []int64 // the place of each file's first byte, and of the end of all
	firsts []int32 // the number of each file's first chunk, and of all chunks

	longest, shortest int64 // the lengths of these chunks; 0 without one
	empty             bool  // there is a file of no bytes
}

// A Cut returns the length of every chunk but the last in a file of size bytes.
type Cut func(size int64) int64

// Of returns the content of files in this order. A file of no bytes has no
// chunk. The error is [ErrTooMany].
func Of(files ...File) (*Content, error) { return OfCut(manifest.ChunkSize, files...) }

// OfCut is [Of] for files that are cut in another way than malcolm cuts them,
// for tests.
func OfCut(cut Cut, files ...File) (*Content, error) {
	c := &Content{
		files: files, cut: cut, starts: make([]int64, 0, len(files)+1), firsts: make([]int32, 0, len(files)+1),
	}
	start, first := int64(0), 0
	for _, f := range files {
		c.starts, c.firsts = append(c.starts, start), append(c.firsts, int32(first))
		length := cut(f.Size)
		start, first = start+f.Size, first+int((f.Size+length-1)/length)
		if first > MaxChunks {
			return nil, ErrTooMany
		}
		if f.Size == 0 {
			c.empty = true
			continue
		}
		c.longest = max(c.longest, min(f.Size, length))
		if last := (f.Size-1)%length + 1; c.shortest == 0 || last < c.shortest {
			c.shortest = last
		}
	}
	c.starts, c.firsts = append(c.starts, start), append(c.firsts, int32(first))
	return c, nil
}

// OfOne returns the content of one file.
func OfOne(f File) *Content {
	c, err := Of(f)
	if err != nil { // a file has at most 2^20 chunks
		panic(fmt.Sprintf("malcolm: internal error: %d bytes: %v", f.Size, err))
	}
	return c
}

// Size returns the bytes of all files.
func (c *Content) Size() int64 { return c.starts[len(c.files)] }

// Chunks returns the number of all chunks.
func (c *Content) Chunks() int { return int(c.firsts[len(c.files)]) }

// Files returns the number of files.
func (c *Content) Files() int { return len(c.files) }

// File returns a file by its number.
func (c *Content) File(i int) File { return c.files[i] }

// FirstChunk returns the number of a file's first chunk: that of the next file
// if it has none. FirstChunk(Files()) is Chunks().
func (c *Content) FirstChunk(file int) int { return int(c.firsts[file]) }

// FileChunks returns the number of a file's chunks.
func (c *Content) FileChunks(file int) int { return int(c.firsts[file+1] - c.firsts[file]) }

// LongestChunk returns the length of the longest chunk in bytes; 0 without one.
func (c *Content) LongestChunk() int64 { return c.longest }

// ShortestChunk returns the length of the shortest chunk in bytes; 0 without
// one.
func (c *Content) ShortestChunk() int64 { return c.shortest }

// SmallChunk returns the length in bytes of every chunk but the last in small
// files. Only the last chunk of a file is ever shorter.
func (c *Content) SmallChunk() int64 { return c.cut(0) }

// A Place is where a chunk lies.
type Place struct {
	File   int   // its number
	Chunk  int   // the number within the file
	Offset int64 // within the file, in bytes
	Length int64 // in bytes, at least 1
}

// Place returns where a chunk lies.
func (c *Content) Place(chunk int) Place {
	p := Place{File: c.fileOf(chunk)}
	p.Chunk = chunk - int(c.firsts[p.File])
	size := c.files[p.File].Size
	length := c.cut(size)
	p.Offset = int64(p.Chunk) * length
	p.Length = min(length, size-p.Offset)
	return p
}

// fileOf returns the number of the file that has a chunk.
func (c *Content) fileOf(chunk int) int {
	if len(c.files) == 1 {
		return 0
	}
	return sort.Search(len(c.files), func(i int) bool { return int(c.firsts[i+1]) > chunk })
}

// Start returns the place of a chunk's first byte in all files together, in
// bytes. Start(Chunks()) is Size().
func (c *Content) Start(chunk int) int64 {
	if chunk == c.Chunks() {
		return c.Size()
	}
	p := c.Place(chunk)
	return c.starts[p.File] + p.Offset
}

// Length returns the bytes of count chunks from the chunk first on.
func (c *Content) Length(first, count int) int64 {
	if count == 1 {
		return c.Place(first).Length
	}
	return c.Start(first+count) - c.Start(first)
}

// At returns the chunk that has a byte of all files together: start is less
// than Size().
func (c *Content) At(start int64) int {
	file := 0
	if len(c.files) > 1 {
		file = sort.Search(len(c.files), func(i int) bool { return c.starts[i+1] > start })
	}
	f := c.files[file]
	return int(c.firsts[file]) + int((start-c.starts[file])/c.cut(f.Size))
}

// Whole returns how many whole chunks from the chunk first on have at most n
// bytes together. They lie in at most spans files, at least 1.
func (c *Content) Whole(first int, n int64, spans int) int {
	if first == c.Chunks() {
		return 0
	}
	p := c.Place(first)
	start := c.starts[p.File] + p.Offset
	end := c.Chunks()
	if start+n < c.Size() {
		end = c.At(start + n)
	}
	return min(end, c.endOf(p.File, spans)) - first
}

// WholeBefore returns how many whole chunks up to the chunk end, which is not
// one of them, have at most n bytes together.
func (c *Content) WholeBefore(end int, n int64) int {
	from := c.Start(end) - n
	switch {
	case n <= 0:
		return 0
	case from <= 0:
		return end
	}
	first := c.At(from)
	if c.Start(first) < from {
		first++
	}
	return end - first
}

// endOf returns the chunk behind the next files files, from file on, that have
// chunks.
func (c *Content) endOf(file, files int) int {
	if !c.empty {
		return int(c.firsts[min(file+files, len(c.files))])
	}
	for ; file < len(c.files) && files > 0; file++ {
		if c.FileChunks(file) > 0 {
			files--
		}
	}
	return int(c.firsts[file])
}

// A Span is adjoining bytes of one file.
type Span struct {
	File           int   // its number
	Offset, Length int64 // in bytes, Length at least 1
}

// Spans returns where the bytes of count chunks from the chunk first on lie.
func (c *Content) Spans(first, count int) (spans []Span) {
	for end := first + count; first < end; {
		p := c.Place(first)
		next := min(end, c.FirstChunk(p.File+1))
		to := c.files[p.File].Size
		if next < c.FirstChunk(p.File+1) {
			to = int64(next-c.FirstChunk(p.File)) * c.cut(to)
		}
		spans = append(spans, Span{File: p.File, Offset: p.Offset, Length: to - p.Offset})
		first = next
	}
	return spans
}
