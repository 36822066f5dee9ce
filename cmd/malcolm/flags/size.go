package flags

import (
	"fmt"
	"math"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
	"malcolm/wire"
)

// A Size is a number of bytes, from 1 to the size of malcolm's largest file. It
// is typed like a [Rate], without the "/s".
type Size int64

// Decode implements [kong.MapperValue].
func (z *Size) Decode(ctx *kong.DecodeContext) error {
	return decode(ctx, z, "a size", ParseSize)
}

// ParseSize reads a size. The error says in words why s is not a size, or not
// within the bounds of a [Size].
func ParseSize(s string) (Size, error) {
	const what, advice = "size", "give bytes, as 500M, 10G or 1.5T"
	a, err := parseAmount(s, what, advice)
	if err != nil {
		return 0, err
	}
	switch value := math.Round(a.bytes()); {
	case a.bits, a.perSecond:
		return 0, noAmount(s, what, advice)
	case value > wire.MaxFileSize:
		return 0, fmt.Errorf("%s is too much: no file is over 16T", human.Quote(s))
	case value < 1:
		return 0, fmt.Errorf("%s is no byte: %s", human.Quote(s), advice)
	default:
		return Size(value), nil
	}
}
