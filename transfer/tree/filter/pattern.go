package filter

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// Limits of a pattern.
const (
	maxPatternLen = 4096 // bytes, also of each pattern that braces stand for
	maxPatterns   = 256  // that braces stand for
)

// A Rule is a pattern whose paths are chosen, or left out.
type Rule struct {
	include  bool
	patterns [][]step // any of them
}

// A step is one part of a pattern.
type step struct {
	rule   int    // the number of its rule
	part   string // for path.Match
	plain  bool   // part is a name
	deep   bool   // "**": no part or more of them; it is never the last step
	last   bool   // what it matches is taken in
	folder bool   // only a directory is, with last
}

// ends reports whether a path that ends with a name is taken in.
func (s *step) ends(name string, isDir bool) bool {
	return s.last && (isDir || !s.folder) && s.matches(name)
}

func (s *step) matches(name string) bool {
	if s.plain {
		return s.part == name
	}
	ok, _ := path.Match(s.part, name) // the pattern was checked
	return ok && !s.deep
}

// Errors of patterns. Their texts go on behind the pattern.
var (
	errNothing   = errors.New("names nothing in the tree")
	errTooLong   = errors.New("is too long")
	errBrace     = errors.New(`has a brace without the other one: write \{ or \} for the character itself`)
	errBraces    = errors.New("has braces that stand for too many patterns")
	errNUL       = errors.New("has a NUL byte, which no path has")
	errEmptyPart = errors.New("has two slashes side by side")
	errDots      = errors.New(`has a part "." or "..", which no path in the tree has`)
	errBracket   = errors.New(`has a "[" without a "]" in the same part: write \[ for the character itself`)
	errClass     = errors.New(`has brackets with nothing, half a range or bytes that are no UTF-8 in them`)
	errBackslash = errors.New(`has a backslash with nothing behind it: write \\ for the character itself`)
	errAll       = errors.New(`takes in all directories with all that is in them: leave it out, as directories come with what is chosen in them, or write "*/**"`)
)

// Include returns the rule that chooses what a pattern takes in. The text of an
// error is to follow the pattern. "*/", with which rsync goes into all
// directories, is an error, for here it would choose all that is in them.
func Include(pattern string) (Rule, error) {
	if p := strings.TrimPrefix(pattern, "/"); p == "*/" || p == "**/" {
		return Rule{}, errAll
	}
	r, err := Exclude(pattern)
	r.include = true
	return r, err
}

// Exclude returns the rule that leaves out what a pattern takes in. The text of
// an error is to follow the pattern.
func Exclude(pattern string) (Rule, error) {
	if len(pattern) > maxPatternLen {
		return Rule{}, errTooLong
	}
	if strings.IndexByte(pattern, 0) >= 0 {
		return Rule{}, errNUL
	}
	texts, err := expand(pattern)
	if err != nil {
		return Rule{}, err
	}
	var r Rule
	for _, text := range texts {
		steps, err := parse(text)
		if err != nil {
			return Rule{}, err
		}
		r.patterns = append(r.patterns, steps)
	}
	return r, nil
}

// parse reads a pattern without braces.
func parse(text string) ([]step, error) {
	text, folder := strings.CutSuffix(text, "/")
	rooted := strings.Contains(text, "/")
	text = strings.TrimPrefix(text, "/")
	if text == "" {
		return nil, errNothing
	}
	var steps []step
	if !rooted {
		steps = append(steps, step{deep: true})
	}
	for part := range strings.SplitSeq(text, "/") {
		switch {
		case part == "":
			return nil, errEmptyPart
		case part == ".", part == "..":
			return nil, errDots
		case part != "**":
			s, err := parsePart(part)
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
		case len(steps) == 0 || !steps[len(steps)-1].deep: // else it is there
			steps = append(steps, step{deep: true})
		}
	}
	if steps[len(steps)-1].deep {
		steps = append(steps, step{part: "*"})
	}
	end := &steps[len(steps)-1]
	end.last, end.folder = true, folder
	return steps, nil
}

// parsePart reads a part of a pattern that is not "**".
func parsePart(part string) (step, error) {
	if !strings.ContainsAny(part, `*?[\`) {
		return step{part: part, plain: true}, nil
	}
	// path.Match knows [^a] and not [!a].
	b := []byte(part)
	for i := 0; i < len(b); i++ {
		switch end := skip(part[i:]); {
		case b[i] == '[' && end < 0:
			return step{}, errBracket
		case end < 0:
			return step{}, errBackslash
		default:
			if b[i] == '[' && b[i+1] == '!' {
				b[i+1] = '^'
			}
			i += end - 1
		}
	}
	if _, err := path.Match(string(b), ""); err != nil {
		return step{}, errClass
	}
	return step{part: string(b)}, nil
}

// skip returns the length of what stands for itself at the front of a text, in
// bytes: one, two with a backslash, or a whole class in brackets. -1: it does
// not end.
func skip(text string) int {
	switch text[0] {
	case '\\':
		if len(text) == 1 {
			return -1
		}
		return 2
	case '[':
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case ']':
				return i + 1
			}
		}
		return -1
	}
	return 1
}

// expand returns the patterns that a pattern with braces stands for, in their
// order.
func expand(pattern string) (texts []string, err error) {
	todo := []string{pattern} // the next one is the last
	for len(todo) > 0 {
		text := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		open, commas, closed, err := braces(text)
		if err != nil {
			return nil, err
		}
		if open < 0 {
			texts = append(texts, text)
			continue
		}
		ends := append(commas, closed)
		if len(todo)+len(texts)+len(ends) > maxPatterns {
			return nil, errBraces
		}
		for i, end := range slices.Backward(ends) {
			from := open + 1
			if i > 0 {
				from = ends[i-1] + 1
			}
			todo = append(todo, text[:open]+text[from:end]+text[closed+1:])
		}
	}
	return texts, nil
}

// braces returns the place of the first brace, of the commas between it and its
// partner, and of that. Without a brace open is -1.
func braces(text string) (open int, commas []int, closed int, err error) {
	open = -1
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			if depth++; depth == 1 {
				open = i
			}
		case '}':
			if depth--; depth == 0 {
				return open, commas, i, nil
			} else if depth < 0 {
				return 0, nil, 0, errBrace
			}
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		default:
			if n := skip(text[i:]); n > 0 {
				i += n - 1
			}
		}
	}
	if depth > 0 {
		return 0, nil, 0, errBrace
	}
	return -1, nil, 0, nil
}
