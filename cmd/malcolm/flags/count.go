package flags

import (
	"fmt"
	"strconv"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

// maxCount bounds a [Count]: more would be no limit on any machine.
const maxCount = 1 << 20

// A Count is a limit, 1 to 1,048,576. Its zero value is invalid; flags give it
// a default.
type Count int

// Decode implements [kong.MapperValue].
func (c *Count) Decode(ctx *kong.DecodeContext) error {
	return decode(ctx, c, "a number", ParseCount)
}

// ParseCount reads a limit. The error says in words why s is not a whole number
// from 1 to 1,048,576.
func ParseCount(s string) (Count, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	switch {
	case looksNegative(s):
		return 0, fmt.Errorf("%s is negative: from 1 to %s are possible", human.Quote(s), human.Comma(maxCount))
	case err == nil && n == 0:
		return 0, fmt.Errorf("0 would be no limit: from 1 to %s are possible", human.Comma(maxCount))
	case err != nil || n > maxCount:
		return 0, fmt.Errorf("%s is not a whole number from 1 to %s", human.Quote(s), human.Comma(maxCount))
	}
	return Count(n), nil
}
