package names

import (
	_ "embed"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Tables of the Unicode standard. Each line is a character, or the first and
// the last one of a range, and what belongs to it.
var (
	//go:embed decompositions.txt
	decompositionsText string
	//go:embed classes.txt
	classesText string
	//go:embed foldings.txt
	foldingsText string
)

var (
	// decompositions are characters in normal form D, without Hangul.
	decompositions = sync.OnceValue(func() map[rune][]rune { return readMap(decompositionsText) })
	// foldings are full case foldings to more than one character.
	foldings = sync.OnceValue(func() map[rune][]rune { return readMap(foldingsText) })
	// classes are the canonical combining classes that are not 0.
	classes = sync.OnceValue(readClasses)
)

// lines yields the words of each line but the first, which says what they are.
func lines(text string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		_, text, _ = strings.Cut(text, "\n")
		for line := range strings.Lines(text) {
			if !yield(strings.Fields(line)) {
				return
			}
		}
	}
}

func readMap(text string) map[rune][]rune {
	m := make(map[rune][]rune)
	for words := range lines(text) {
		var to []rune
		for _, w := range words[1:] {
			to = append(to, readRune(w))
		}
		m[readRune(words[0])] = to
	}
	return m
}

func readClasses() map[rune]uint8 {
	m := make(map[rune]uint8)
	for words := range lines(classesText) {
		class, err := strconv.ParseUint(words[0], 10, 8)
		if err != nil {
			panic(fmt.Sprintf("malcolm: internal error: %v", err))
		}
		first, last, more := strings.Cut(words[1], "-")
		if !more {
			last = first
		}
		for r := readRune(first); r <= readRune(last); r++ {
			m[r] = uint8(class)
		}
	}
	return m
}

func readRune(hex string) rune {
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		panic(fmt.Sprintf("malcolm: internal error: %v", err))
	}
	return rune(n)
}

// fold appends to b a form that is equal for all names that the system takes
// for one. Bytes that are no UTF-8 stand for themselves.
func (s *System) fold(b []byte, name string) []byte {
	if isASCII(name) {
		for i := range len(name) {
			c := name[i]
			if s.Case != TellsCases && 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			b = append(b, c)
		}
		return b
	}
	var text []rune // the characters before the next stray byte
	for name != "" {
		r, n := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && n == 1 {
			b = append(s.foldText(b, text), name[0])
			text = text[:0]
		} else {
			text = append(text, r)
		}
		name = name[n:]
	}
	return s.foldText(b, text)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (s *System) foldText(b []byte, text []rune) []byte {
	if s.Form {
		text = decompose(text)
	}
	if s.Case != TellsCases {
		text = s.foldCases(text)
		if s.Form {
			text = decompose(text)
		}
	}
	for _, r := range text {
		b = utf8.AppendRune(b, r)
	}
	return b
}

func (s *System) foldCases(text []rune) (folded []rune) {
	for _, r := range text {
		if several, ok := foldings()[r]; ok && s.Case == FoldsFully {
			for _, r := range several {
				folded = append(folded, least(r))
			}
			continue
		}
		folded = append(folded, least(r))
	}
	return folded
}

// least returns the first of all characters that differ only by case.
func least(r rune) rune {
	first := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		first = min(first, next)
	}
	return first
}

// Hangul syllables are put together by arithmetic (Unicode, section 3.12).
const (
	hangulFirst   = 0xAC00
	hangulCount   = 11172
	hangulLead    = 0x1100
	hangulVowel   = 0x1161
	hangulTail    = 0x11A7
	hangulVowels  = 21
	hangulTails   = 28
	hangulPerLead = hangulVowels * hangulTails
)

// decompose returns a text in canonical normal form D.
func decompose(text []rune) (parts []rune) {
	for _, r := range text {
		if i := r - hangulFirst; 0 <= i && i < hangulCount {
			parts = append(parts, hangulLead+i/hangulPerLead, hangulVowel+i%hangulPerLead/hangulTails)
			if tail := i % hangulTails; tail > 0 {
				parts = append(parts, hangulTail+tail)
			}
		} else if several, ok := decompositions()[r]; ok {
			parts = append(parts, several...)
		} else {
			parts = append(parts, r)
		}
	}
	class := classes()
	for from := 0; from < len(parts); from++ {
		end := from
		for end < len(parts) && class[parts[end]] > 0 {
			end++
		}
		slices.SortStableFunc(parts[from:end], func(a, b rune) int { return int(class[a]) - int(class[b]) })
		from = end
	}
	return parts
}
