package manifest

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"

	"malcolm/wire"
)

// A stack merges the chaining values of equal subtrees, given from left to
// right, as BLAKE3 does. At most one value waits at each level; the levels that
// hold one are the set bits of n (BLAKE3 paper, section 5.1.2).
type stack struct {
	n  uint64 // values pushed, below 2^len(cv)
	cv [32][8]uint32
}

// push adds a value that is not the last.
func (s *stack) push(cv [8]uint32) {
	level := 0
	for ; s.n>>level&1 == 1; level++ {
		cv = guts.ChainingValue(guts.ParentNode(s.cv[level], cv, &guts.IV, 0))
	}
	s.cv[level] = cv
	s.n++
}

// top merges all values pushed, at least one, and the last value, whose subtree
// may be smaller than the others. The node that it returns is not compressed
// yet, so that it can be made the root.
func (s *stack) top(last [8]uint32) guts.Node {
	node := guts.ParentNode(s.cv[bits.TrailingZeros64(s.n)], last, &guts.IV, 0)
	for n := s.n & (s.n - 1); n != 0; n &= n - 1 {
		left := s.cv[bits.TrailingZeros64(n)]
		node = guts.ParentNode(left, guts.ChainingValue(node), &guts.IV, 0)
	}
	return node
}

// Merge returns the checksum of a file of n chunks, 0 to [wire.MaxChunks],
// where value(i) is the value of chunk i. It calls value once for each, in
// order. With one chunk the checksum is its value; with none it is that of no
// bytes. Merge panics if n is out of range.
func Merge(n int, value func(i int) [32]byte) [32]byte {
	switch {
	case n < 0 || n > wire.MaxChunks:
		panic(fmt.Sprintf("malcolm: internal error: merge of %d chunks", n))
	case n == 0:
		return blake3.Sum256(nil)
	case n == 1:
		return value(0)
	}
	var s stack
	for i := range n - 1 {
		s.push(cvWords(value(i)))
	}
	node := s.top(cvWords(value(n - 1)))
	node.Flags |= guts.FlagRoot
	return cvBytes(guts.ChainingValue(node))
}

// Checksum returns what values merge to.
func Checksum(values wire.Values) [32]byte { return Merge(values.Len(), values.At) }

// Known returns the values of a file of at most one chunk, which follow from
// its checksum; false: the file has more.
func Known(size int64, checksum [32]byte) (values wire.Values, ok bool) {
	n := Count(size)
	if n > 1 {
		return wire.Values{}, false
	}
	values = wire.NewValues(n)
	if n == 1 {
		values.Set(0, checksum)
	}
	return values, true
}

// Sum returns the BLAKE3-256 of all parts, one after another; at least one
// byte. It starts no goroutine and copies no part.
func Sum(parts ...[]byte) [32]byte {
	// Not blake3.Sum256: that starts a goroutine for every 16 KiB, and the
	// values of a file have up to 32 MiB.
	var n int64
	for _, p := range parts {
		n += int64(len(p))
	}
	var h Hasher
	h.begin(n, 0, true)
	for _, p := range parts {
		if _, err := h.Write(p); err != nil {
			panic("malcolm: internal error: " + err.Error())
		}
	}
	sum, _ := h.Sum()
	return sum
}

// NewSum returns a Hasher that is ready for n bytes, at least one, whose sum is
// their BLAKE3-256, as [Sum] returns it.
func NewSum(n int64) *Hasher {
	h := new(Hasher)
	h.begin(n, 0, true)
	return h
}

// A CheckError says why values are not those of their file. Its text holds
// nothing that a peer chose except numbers and hashes.
type CheckError struct {
	Reason string
}

func (e *CheckError) Error() string { return "values refused: " + e.Reason }

func refused(format string, args ...any) error {
	return &CheckError{Reason: fmt.Sprintf(format, args...)}
}

// Check says whether values are those of a file of size bytes with this
// checksum: there is one for each chunk, and they merge to checksum. This
// proves the values, but of the size only the number of chunks. Errors are
// [*CheckError]; no size makes it panic.
func Check(values wire.Values, size int64, checksum [32]byte) error {
	if err := CheckLen(values, size); err != nil {
		return err
	}
	if got := Checksum(values); got != checksum {
		return refused("they merge to %x, not to the checksum %x", got, checksum)
	}
	return nil
}

// CheckLen is the part of [Check] that computes no hash.
func CheckLen(values wire.Values, size int64) error {
	if !validSize(size) {
		return refused("no file has a size of %d bytes", size)
	}
	if want := Count(size); values.Len() != want {
		return refused("they are of %d chunks, not %d", values.Len(), want)
	}
	return nil
}

// cvWords and cvBytes turn a chaining value into guts' words and back; BLAKE3
// is little-endian.
func cvWords(b [32]byte) (cv [8]uint32) {
	for i := range cv {
		cv[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return cv
}

func cvBytes(cv [8]uint32) (b [32]byte) {
	for i, w := range cv {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
	return b
}
