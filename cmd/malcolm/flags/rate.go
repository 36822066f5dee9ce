package flags

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

// Bounds of a rate that is not 0, in bytes a second. A smaller number probably
// lacks its unit.
const (
	minRate = 1 << 10
	maxRate = 1 << 50
)

// A Rate is a limit in bytes a second: 0 for no limit, else 1 KiB/s to 1 PiB/s.
//
// It is typed as a number with an optional unit: K, M, G or T in either case,
// also as KB or KiB, with an optional "/s". All units are powers of 1024, KB
// too, as in curl and aria2. A small b is refused, since it may stand for bits.
type Rate int64

// Decode implements [kong.MapperValue].
func (r *Rate) Decode(ctx *kong.DecodeContext) error {
	return decode(ctx, r, "a rate", ParseRate)
}

// String writes the rate as status lines do: "10.0 MiB/s", "no limit".
func (r Rate) String() string {
	if r == 0 {
		return "no limit"
	}
	return human.Rate(float64(r))
}

// ParseRate reads a rate. The error says in words why s is not a rate, or not
// within the bounds of a [Rate].
func ParseRate(s string) (Rate, error) {
	a, err := parseAmount(s, "rate", "give bytes a second, as 500K, 10M or 1.5G")
	if err != nil {
		return 0, err
	}
	switch value := a.bytes(); {
	case a.bits:
		return 0, fmt.Errorf("%s may mean bits: write %s for bytes a second", human.Quote(s), a.number+strings.ToUpper(a.unit)+"B")
	case value > maxRate:
		return 0, fmt.Errorf("%s is too much: at most 1024T is allowed, or 0 for no limit", human.Quote(s))
	case isZero(a.number):
		return 0, nil
	case value < minRate:
		return 0, fmt.Errorf("%s is below 1 KiB a second: write K, M or G after the number, or 0 for no limit", human.Quote(s))
	default:
		return Rate(math.Round(value)), nil
	}
}

var amountSyntax = regexp.MustCompile(`^\+?([0-9]+\.?[0-9]*|\.[0-9]+) ?([kKmMgGtT]?)(i?B|i?b|i|)(/s|)$`)

// An amount is a number of bytes as typed.
type amount struct {
	number, unit string
	bits         bool // its suffix has a small b
	perSecond    bool
}

// parseAmount reads a rate or a size, which what names. An error says that s is
// not one, and gives the advice.
func parseAmount(s, what, advice string) (amount, error) {
	m := amountSyntax.FindStringSubmatch(s)
	switch {
	case s == "":
		return amount{}, errors.New("the value is empty: " + advice)
	case looksNegative(s) && !isNotFinite(s):
		return amount{}, fmt.Errorf("%s is negative", human.Quote(s))
	case m == nil || strings.HasPrefix(m[3], "i") && m[2] == "":
		return amount{}, noAmount(s, what, advice)
	}
	return amount{number: m[1], unit: m[2], bits: strings.HasSuffix(m[3], "b"), perSecond: m[4] != ""}, nil
}

func noAmount(s, what, advice string) error {
	return fmt.Errorf("%s is no %s: %s", human.Quote(s), what, advice)
}

// bytes is +Inf if it is more than a float can hold.
func (a amount) bytes() float64 {
	value, _ := strconv.ParseFloat(a.number, 64) // the only error left is overflow
	if a.unit != "" {
		value *= math.Pow(1024, float64(1+strings.Index("KMGT", strings.ToUpper(a.unit))))
	}
	return value
}
