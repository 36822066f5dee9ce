package flags

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

// MaxPorts bounds the ports that words expand to, and the targets of one run.
const MaxPorts = 1024

// Problems of a port word. Each is read after the word: `70000: is no port`.
const (
	problemNoPort   = "is no port: ports are 1 to 65535"
	problemNoRange  = "is no range of ports: write FIRST-LAST"
	problemBackward = "ends before it begins"
	problemTwice    = "listed twice"
)

// PortWords are the words given to --port, as typed: single ports, lists with
// commas, ranges. [ExpandPorts] says what they mean.
type PortWords []string

// Decode implements [kong.MapperValue]. It takes the first value whatever it
// is, then every following argument that begins with a digit and is made of
// digits, "-" and ",". A value with spaces, as from the environment, is several
// words. A repeated flag appends; flags replace what came from the environment.
func (p *PortWords) Decode(ctx *kong.DecodeContext) error {
	first, err := popValue(ctx, "a port")
	if err != nil {
		return err
	}
	words := strings.Fields(first)
	if len(words) == 0 {
		return errors.New("a port is missing: the value is empty")
	}
	*p = append(*p, words...)
	following := ctx.Scan.PopWhile(func(t kong.Token) bool {
		word, ok := t.Value.(string)
		return ok && isPortList(word)
	})
	for _, t := range following {
		*p = append(*p, t.String())
	}
	return nil
}

// isPortList reports whether word begins with a digit and is made of digits,
// "-" and "," only.
func isPortList(word string) bool {
	return word != "" && word[0] >= '0' && word[0] <= '9' && strings.Trim(word, "0123456789-,") == ""
}

// A PortWord is one port, or one word that is not a port.
type PortWord struct {
	// Word is what was typed; for a valid range, the number of one of its
	// ports.
	Word string
	// Port is the port that Word names, or 0.
	Port uint16
	// Problem is empty for a usable port. Otherwise it follows the word and
	// says what is wrong: that a port is listed twice (Port is set), or why
	// the word is not a port (Port is 0).
	Problem string
}

// ExpandPorts expands commas and ranges and checks each word, in the order
// given. Empty pieces between commas ("10001, 10002") are ignored; a word
// without any other piece is not a port. A range that is wrong, or has over
// 1,024 ports, is one word with a problem. The error says that there are more
// than 1,024 words in all.
func ExpandPorts(words []string) ([]PortWord, error) {
	var out []PortWord
	seen := make(map[uint16]bool)
	for _, word := range words {
		before := len(out)
		for piece := range strings.SplitSeq(word, ",") {
			piece = strings.TrimSpace(piece)
			if piece == "" {
				continue
			}
			var err error
			if out, err = appendPorts(out, piece, seen); err != nil {
				return nil, err
			}
		}
		if len(out) > before {
			continue
		}
		if len(out) == MaxPorts {
			return nil, errTooManyPorts
		}
		out = append(out, PortWord{Word: word, Problem: problemNoPort})
	}
	return out, nil
}

var errTooManyPorts = fmt.Errorf("more than %s ports", human.Comma(MaxPorts))

// appendPorts appends the ports of a piece without commas, and adds them to
// seen. It appends nothing beyond MaxPorts words.
func appendPorts(out []PortWord, piece string, seen map[uint16]bool) ([]PortWord, error) {
	first, last, problem := parsePorts(piece)
	if len(out)+last-first+1 > MaxPorts {
		return nil, errTooManyPorts
	}
	if problem != "" {
		return append(out, PortWord{Word: piece, Problem: problem}), nil
	}
	for n := first; n <= last; n++ {
		w := PortWord{Word: piece, Port: uint16(n)}
		if strings.Contains(piece, "-") {
			w.Word = strconv.Itoa(n)
		}
		if seen[w.Port] {
			w.Problem = problemTwice
		}
		seen[w.Port] = true
		out = append(out, w)
	}
	return out, nil
}

// parsePorts reads "10001" or "10001-10004". With an empty problem, first and
// last are ports and first <= last < first + MaxPorts; else both are 0.
func parsePorts(piece string) (first, last int, problem string) {
	from, to, isRange := strings.Cut(piece, "-")
	if !isRange {
		first, ok := parsePort(piece)
		if !ok {
			return 0, 0, problemNoPort
		}
		return first, first, ""
	}
	if !isDigits(from) || !isDigits(to) {
		if isPortList(piece) {
			return 0, 0, problemNoRange
		}
		return 0, 0, problemNoPort
	}
	first, okFirst := parsePort(from)
	last, okLast := parsePort(to)
	switch {
	case !okFirst || !okLast:
		return 0, 0, problemNoPort
	case last < first:
		return 0, 0, problemBackward
	case last-first >= MaxPorts:
		return 0, 0, fmt.Sprintf("is a range of %s ports: at most %s are allowed",
			human.Comma(int64(last-first+1)), human.Comma(MaxPorts))
	}
	return first, last, ""
}

// parsePort reads a decimal number from 1 to 65535 without a sign.
func parsePort(s string) (int, bool) {
	if !isDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n != 0
}
