package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// maxPorts is the most words that ports may spread to, and the most targets of
// one run.
const maxPorts = 1024

// Problems of a port word. Each is read after the word: `70000: is no port`.
const (
	problemNoPort   = "is no port: ports are 1 to 65535"
	problemNoRange  = "is no range of ports: write FIRST-LAST"
	problemBackward = "ends before it begins"
	problemTwice    = "listed twice"
)

// PortWords are the words given to --port, as they were typed: single ports,
// lists with commas, ranges. [ExpandPorts] says what they mean.
type PortWords []string

// Decode implements [kong.MapperValue]. It takes the first value whatever it
// is, then every following argument that begins with a digit and is made of
// digits, "-" and ",". A value with spaces, as from the environment, is several
// words. A repeated flag appends; kong replaces what came from the environment
// by what the flags say.
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

// popValue takes a flag's value: "x" of `-f x`, `-fx`, `-f=x`, `--flag x` and
// `--flag=x`. A negative number is a value too, so that the caller may say what
// is wrong with it; any other word with a leading "-" is a flag, and the value
// ("a port") is missing.
func popValue(ctx *kong.DecodeContext, what string) (string, error) {
	t := ctx.Scan.Peek()
	text := t.String()
	switch {
	case t.IsEOL():
		return "", fmt.Errorf("%s is missing", what)
	case !t.IsValue() && !looksNegative(text):
		return "", fmt.Errorf("%s is missing before %s", what, quotePeer(text))
	}
	ctx.Scan.Pop()
	if t.Type == kong.ShortFlagTailToken {
		text = strings.TrimPrefix(text, "=")
	}
	return text, nil
}

// looksNegative reports whether word is meant as a number below zero.
func looksNegative(word string) bool {
	rest, ok := strings.CutPrefix(word, "-")
	if !ok || rest == "" {
		return false
	}
	return rest[0] >= '0' && rest[0] <= '9' || rest[0] == '.' || isNotFinite(rest)
}

// A PortWord is one port, or one word that is none.
type PortWord struct {
	// Word is what was typed; of a good range, the number of one of its ports.
	Word string
	// Port is the port that Word names, 0 if it names none.
	Port uint16
	// Problem is empty for a port that may be used. Otherwise it says, after
	// the word, what is wrong: of the second mention of a port (Port is set),
	// that it is listed twice; of anything else (Port is 0), why it is no port.
	Problem string
}

// ExpandPorts spreads commas and ranges and checks each word, in the order
// given. Empty pieces between commas ("10001, 10002") are passed over; a word
// without any other piece is no port. A range that is wrong, or has over 1,024
// ports, is one word with a problem. The error says that there are more than
// 1,024 words in all.
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
		if len(out) == maxPorts {
			return nil, errTooManyPorts
		}
		out = append(out, PortWord{Word: word, Problem: problemNoPort})
	}
	return out, nil
}

var errTooManyPorts = fmt.Errorf("more than %s ports", comma(maxPorts))

// appendPorts appends what a piece without commas stands for, and adds its
// ports to seen. Nothing is appended beyond maxPorts words.
func appendPorts(out []PortWord, piece string, seen map[uint16]bool) ([]PortWord, error) {
	first, last, problem := parsePorts(piece)
	if len(out)+last-first+1 > maxPorts {
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
// last are ports and first <= last < first + maxPorts; else both are 0.
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
	case last-first >= maxPorts:
		return 0, 0, fmt.Sprintf("is a range of %s ports: at most %s are allowed",
			comma(int64(last-first+1)), comma(maxPorts))
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

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
