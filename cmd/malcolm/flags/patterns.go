package flags

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/tree/filter"
)

// A Pattern is a value of --include or --exclude.
type Pattern struct {
	rule   filter.Rule
	behind int // words of the command line behind it; 0 from the environment
}

// Includes are the values of --include. A repeated flag appends.
type Includes []Pattern

// Excludes are the values of --exclude. A repeated flag appends.
type Excludes []Pattern

// Decode implements [kong.MapperValue].
func (p *Includes) Decode(ctx *kong.DecodeContext) error {
	next, err := decodePattern(ctx, filter.Include)
	*p = append(*p, next)
	return err
}

// Decode implements [kong.MapperValue].
func (p *Excludes) Decode(ctx *kong.DecodeContext) error {
	next, err := decodePattern(ctx, filter.Exclude)
	*p = append(*p, next)
	return err
}

func decodePattern(ctx *kong.DecodeContext, read func(string) (filter.Rule, error)) (Pattern, error) {
	text, err := popValue(ctx, "a pattern")
	if err != nil {
		return Pattern{}, err
	}
	rule, err := read(text)
	if err != nil {
		return Pattern{}, fmt.Errorf("%s %w", human.Quote(text), err)
	}
	return Pattern{rule, ctx.Scan.Len()}, nil
}

// Rules returns the rules of both flags in the order of the command line. Those
// of the environment are the last, --exclude before --include.
func Rules(include Includes, exclude Excludes) (rules []filter.Rule) {
	patterns := slices.Concat(Includes(exclude), include)
	slices.SortStableFunc(patterns, func(a, b Pattern) int { return cmp.Compare(b.behind, a.behind) })
	for _, p := range patterns {
		rules = append(rules, p.rule)
	}
	return rules
}
