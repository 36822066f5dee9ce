package flags

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

// Bounds of an interval that is not 0.
const (
	minInterval = 10 * time.Millisecond
	maxInterval = 24 * time.Hour
)

// Bounds of a timeout.
const (
	minTimeout = time.Millisecond
	maxTimeout = 365 * 24 * time.Hour
)

// An Interval is the time between two status reports: 0 for no reports, else 10
// ms to 24 h. It is typed in seconds ("2", "0.5") or as a Go duration ("500ms",
// "1m").
type Interval time.Duration

// Decode implements [kong.MapperValue].
func (i *Interval) Decode(ctx *kong.DecodeContext) error {
	return decode(ctx, i, "a number of seconds", ParseInterval)
}

// Duration is the interval in the standard type; 0 means no reports.
func (i Interval) Duration() time.Duration { return time.Duration(i) }

// ParseInterval reads an interval. The error says in words why s is not a time,
// or not one of 0 and 10 ms to 24 h.
func ParseInterval(s string) (Interval, error) {
	const zeroAllowed = true
	d, err := parseTime(s, minInterval, maxInterval, zeroAllowed)
	return Interval(d), err
}

// A Timeout is how long something may take: 1 ms to 365 days, typed like an
// [Interval]. Its zero value is invalid; flags give it a default.
type Timeout time.Duration

// Decode implements [kong.MapperValue].
func (t *Timeout) Decode(ctx *kong.DecodeContext) error {
	return decode(ctx, t, "a time", ParseTimeout)
}

// Duration is the timeout in the standard type, at least 1 ms.
func (t Timeout) Duration() time.Duration { return time.Duration(t) }

// ParseTimeout reads a timeout. The error says in words why s is not a time, or
// not within 1 ms and 365 days.
func ParseTimeout(s string) (Timeout, error) {
	const zeroAllowed = false
	d, err := parseTime(s, minTimeout, maxTimeout, zeroAllowed)
	return Timeout(d), err
}

var (
	plainSeconds = regexp.MustCompile(`^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
	goDuration   = regexp.MustCompile(`^\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`)
)

// parseTime reads seconds or a Go duration between least and most, or 0 if that
// is allowed. A tiny time that rounds to 0 is too small, not 0.
func parseTime(s string, least, most time.Duration, zeroAllowed bool) (time.Duration, error) {
	var seconds float64
	switch {
	case s == "":
		return 0, errors.New("the value is empty: give seconds, as 2 or 0.5, or a time such as 500ms or 1m")
	case isNotFinite(s):
		return 0, fmt.Errorf("%s is no length of time", human.Quote(s))
	case looksNegative(s):
		return 0, fmt.Errorf("%s is negative", human.Quote(s))
	case plainSeconds.MatchString(s):
		// Only overflow is left as an error, and its value is +Inf.
		seconds, _ = strconv.ParseFloat(s, 64)
	case goDuration.MatchString(s):
		d, err := time.ParseDuration(s)
		seconds = d.Seconds()
		if err != nil {
			seconds = math.Inf(1)
		}
	default:
		return 0, fmt.Errorf("%s is no time: give seconds, as 2 or 0.5, or a time such as 500ms or 1m", human.Quote(s))
	}
	switch {
	case seconds > most.Seconds():
		return 0, fmt.Errorf("%s is too long: at most %s is allowed", human.Quote(s), timeInWords(most))
	case isZero(s) && zeroAllowed:
		return 0, nil
	case isZero(s):
		return 0, errors.New("must be more than 0")
	case seconds < least.Seconds():
		return 0, fmt.Errorf("%s is too short: at least %s is allowed", human.Quote(s), leastInWords(least, zeroAllowed))
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), nil
}

// timeInWords writes a bound of the flags above.
func timeInWords(d time.Duration) string {
	switch {
	case d > maxInterval && d%maxInterval == 0:
		return fmt.Sprintf("%d days", d/maxInterval)
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d ms", d/time.Millisecond)
}

func leastInWords(least time.Duration, zeroAllowed bool) string {
	if zeroAllowed {
		return timeInWords(least) + ", or 0 for none,"
	}
	return timeInWords(least)
}
