package schedule

import "math/bits"

// A chunkSet is a set of chunk numbers that finds its least member without a
// scan. It is a tree of bits, 64 branches a node. The lowest level has one bit
// a chunk; a bit above says that the word below it is not zero.
type chunkSet struct {
	levels [][]uint64
}

// newChunkSet returns an empty set for the numbers from 0 to n-1.
func newChunkSet(n int) chunkSet {
	var t chunkSet
	for {
		n = (n + 63) / 64
		t.levels = append(t.levels, make([]uint64, n))
		if n <= 1 {
			return t
		}
	}
}

func (t chunkSet) add(c int) {
	for _, words := range t.levels {
		words[c/64] |= 1 << (c % 64)
		c /= 64
	}
}

func (t chunkSet) remove(c int) {
	for _, words := range t.levels {
		words[c/64] &^= 1 << (c % 64)
		if words[c/64] != 0 {
			return
		}
		c /= 64
	}
}

func (t chunkSet) has(c int) bool { return t.levels[0][c/64]&(1<<(c%64)) != 0 }

// first returns the least member; -1 if the set is empty.
func (t chunkSet) first() int {
	c := 0
	for level := len(t.levels) - 1; level >= 0; level-- {
		words := t.levels[level]
		if c >= len(words) || words[c] == 0 {
			return -1
		}
		c = c*64 + bits.TrailingZeros64(words[c])
	}
	return c
}
