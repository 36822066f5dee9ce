package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// Bounds of a rate that is not 0, in bytes a second. A smaller one is a number
// whose unit was forgotten rather than a wish.
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
	text, err := popValue(ctx, "a rate")
	if err != nil {
		return err
	}
	rate, err := ParseRate(text)
	if err != nil {
		return err
	}
	*r = rate
	return nil
}

// String writes the rate as status lines do: "10.0 MiB/s", "no limit".
func (r Rate) String() string {
	if r == 0 {
		return "no limit"
	}
	return formatRate(float64(r))
}

var rateSyntax = regexp.MustCompile(`^\+?([0-9]+\.?[0-9]*|\.[0-9]+) ?([kKmMgGtT]?)(i?B|i?b|i|)(/s|)$`)

// ParseRate reads a rate. It returns an error in words for anything that is no
// rate, negative, or neither 0 nor within the bounds of a [Rate].
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return 0, errors.New("the value is empty: give bytes a second, as 500K, 10M or 1.5G")
	}
	if looksNegative(s) && !isNotFinite(s) {
		return 0, fmt.Errorf("%s is negative", quotePeer(s))
	}
	m := rateSyntax.FindStringSubmatch(s)
	if m == nil || m[3] != "" && m[3][0] == 'i' && m[2] == "" {
		return 0, fmt.Errorf("%s is no rate: give bytes a second, as 500K, 10M or 1.5G", quotePeer(s))
	}
	number, unit, suffix := m[1], m[2], m[3]
	if strings.HasSuffix(suffix, "b") {
		return 0, fmt.Errorf("%s may mean bits: write %s for bytes a second", quotePeer(s), number+strings.ToUpper(unit)+"B")
	}
	value := scaled(number, unit)
	switch {
	case value > maxRate:
		return 0, fmt.Errorf("%s is too much: at most 1024T is allowed, or 0 for no limit", quotePeer(s))
	case isZero(number):
		return 0, nil
	case value < minRate:
		return 0, fmt.Errorf("%s is below 1 KiB a second: write K, M or G after the number, or 0 for no limit", quotePeer(s))
	}
	return Rate(math.Round(value)), nil
}

// scaled returns how many bytes a number and a unit stand for; +Inf when that is
// more than a float can hold.
func scaled(number, unit string) float64 {
	value, _ := strconv.ParseFloat(number, 64) // the only error left is overflow
	if unit != "" {
		value *= math.Pow(1024, float64(1+strings.Index("KMGT", strings.ToUpper(unit))))
	}
	return value
}
