package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/alecthomas/kong"

	"malcolm/wire"
)

// A Size is a number of bytes, from 1 to what malcolm's largest file has. It is
// typed as a [Rate], without the "/s".
type Size int64

// Decode implements [kong.MapperValue].
func (z *Size) Decode(ctx *kong.DecodeContext) error {
	text, err := popValue(ctx, "a size")
	if err != nil {
		return err
	}
	size, err := ParseSize(text)
	if err != nil {
		return err
	}
	*z = size
	return nil
}

// ParseSize reads a size. It returns an error in words for anything that is no
// size, negative, or not within the bounds of a [Size].
func ParseSize(s string) (Size, error) {
	if s == "" {
		return 0, errors.New("the value is empty: give bytes, as 500M, 10G or 1.5T")
	}
	if looksNegative(s) && !isNotFinite(s) {
		return 0, fmt.Errorf("%s is negative", quotePeer(s))
	}
	m := rateSyntax.FindStringSubmatch(s)
	if m == nil || m[3] != "" && m[3][0] == 'i' && m[2] == "" || m[3] != "" && m[3][len(m[3])-1] == 'b' || m[4] != "" {
		return 0, fmt.Errorf("%s is no size: give bytes, as 500M, 10G or 1.5T", quotePeer(s))
	}
	switch value := math.Round(scaled(m[1], m[2])); {
	case value > wire.MaxFileSize:
		return 0, fmt.Errorf("%s is too much: no file is over 16T", quotePeer(s))
	case value < 1:
		return 0, fmt.Errorf("%s is no byte: give bytes, as 500M, 10G or 1.5T", quotePeer(s))
	default:
		return Size(value), nil
	}
}
