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
func (t chunkSet) first() int { return t.least(len(t.levels)-1, 0) }

// least returns the least member below a word of a level; -1 if there is no
// such word, or no member.
func (t chunkSet) least(level, word int) int {
	for ; level >= 0; level-- {
		words := t.levels[level]
		if word >= len(words) || words[word] == 0 {
			return -1
		}
		word = word*64 + bits.TrailingZeros64(words[word])
	}
	return word
}

// from returns the least member that is not below c, else -1.
func (t chunkSet) from(c int) int {
	for level, words := range t.levels {
		word, bit := c/64, c%64
		if word >= len(words) {
			return -1
		}
		if rest := words[word] >> bit; rest != 0 {
			return t.least(level-1, c+bits.TrailingZeros64(rest))
		}
		c = word + 1
	}
	return -1
}
