// Package flags holds the types of the command line's values: how they are
// typed, what they may be, and the errors for wrong ones.
package flags

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

// decode takes a flag's value and reads it with parse. what is a name for the
// value ("a rate").
func decode[T any](ctx *kong.DecodeContext, into *T, what string, parse func(string) (T, error)) error {
	text, err := popValue(ctx, what)
	if err != nil {
		return err
	}
	value, err := parse(text)
	if err != nil {
		return err
	}
	*into = value
	return nil
}

// popValue takes a flag's value: "x" of `-f x`, `-fx`, `-f=x`, `--flag x` and
// `--flag=x`. A negative number is a value too, so that the caller can say what
// is wrong with it. Any other word with a leading "-" is a flag: then the value
// is missing. what is a name for the value ("a port").
func popValue(ctx *kong.DecodeContext, what string) (string, error) {
	t := ctx.Scan.Peek()
	text := t.String()
	switch {
	case t.IsEOL():
		return "", fmt.Errorf("%s is missing", what)
	case !t.IsValue() && !looksNegative(text):
		if ctx.Value.Flag != nil && what == aPath {
			return "", fmt.Errorf("%s is missing before %s; if that is the path, write --%s=%s", what, human.Quote(text), ctx.Value.Name, human.ShellQuote(text))
		}
		return "", fmt.Errorf("%s is missing before %s", what, human.Quote(text))
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

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isNotFinite reports whether strconv reads s as NaN or infinity.
func isNotFinite(s string) bool {
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && (math.IsNaN(f) || math.IsInf(f, 0))
}

// isZero reports whether a well-formed number or duration is exactly 0: before
// its exponent all its digits are 0.
func isZero(s string) bool {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		s = s[:i]
	}
	return !strings.ContainsAny(s, "123456789")
}
