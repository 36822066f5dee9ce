package flags

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseInterval(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
	}{
		{"0", 0},
		{"0.0", 0},
		{"0s", 0},
		{"0e9", 0},
		{"00", 0},
		{"1", time.Second},
		{"2.", 2 * time.Second},
		{"+2", 2 * time.Second},
		{"0.5", 500 * time.Millisecond},
		{".5", 500 * time.Millisecond},
		{"1e-1", 100 * time.Millisecond},
		{"1E1", 10 * time.Second},
		{"0.01", 10 * time.Millisecond},
		{"10ms", 10 * time.Millisecond},
		{"500ms", 500 * time.Millisecond},
		{"1m", time.Minute},
		{"1h30m", 90 * time.Minute},
		{"20000µs", 20 * time.Millisecond},
		{"86400", 24 * time.Hour},
		{"24h", 24 * time.Hour},
	}
	for _, test := range tests {
		if got, err := ParseInterval(test.text); err != nil || got.Duration() != test.want {
			t.Errorf("%q: got %v, %v, want %v", test.text, got.Duration(), err, test.want)
		}
	}
}

func TestParseIntervalErrors(t *testing.T) {
	const short, long = "is too short: at least 10 ms, or 0 for none, is allowed", "is too long: at most 24 hours is allowed"
	tests := []struct{ text, want string }{
		{"", "empty"},
		{"NaN", "is no length of time"},
		{"nan", "is no length of time"},
		{"inf", "is no length of time"},
		{"+Inf", "is no length of time"},
		{"-inf", "is no length of time"},
		{"Infinity", "is no length of time"},
		{"-1", "is negative"},
		{"-.5", "is negative"},
		{"-0", "is negative"},
		{"-1s", "is negative"},
		{"1e300", long},
		{"1e999", long},
		{"86400.001", long},
		{"24h1ms", long},
		{"9999999999h", long},
		{strings.Repeat("9", 1000), long},
		{"1e-300", short},
		{"1e-999", short},
		{"0.009", short},
		{"9ms", short},
		{"1ns", short},
		{"0.0000000001s", short},
		{"x", "is no time"},
		{".", "is no time"},
		{"1 s", "is no time"},
		{" 1", "is no time"},
		{"1,5", "is no time"},
		{"0x10", "is no time"},
		{"1_0", "is no time"},
		{"1d", "is no time"},
		{"1s2", "is no time"},
		{"=0", "is no time"},
	}
	for _, test := range tests {
		got, err := ParseInterval(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) || got != 0 {
			t.Errorf("%.40q: got %v, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	good := []struct {
		text string
		want time.Duration
	}{
		{"5", 5 * time.Second},
		{"15m", 15 * time.Minute},
		{"0.001", time.Millisecond},
		{"8760h", 365 * 24 * time.Hour},
	}
	for _, test := range good {
		if got, err := ParseTimeout(test.text); err != nil || got.Duration() != test.want {
			t.Errorf("%q: got %v, %v, want %v", test.text, got.Duration(), err, test.want)
		}
	}
	bad := []struct{ text, want string }{
		{"", "empty"},
		{"0", "must be more than 0"},
		{"0s", "must be more than 0"},
		{"-5", "is negative"},
		{"inf", "is no length of time"},
		{"1us", "is too short: at least 1 ms is allowed"},
		{"8760h1s", "is too long: at most 365 days is allowed"},
	}
	for _, test := range bad {
		if got, err := ParseTimeout(test.text); err == nil || !strings.Contains(err.Error(), test.want) || got != 0 {
			t.Errorf("%q: got %v, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestParseIntervalReadsDurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(int64(minInterval), int64(maxInterval)).Draw(t, "interval"))
		got, err := ParseInterval(want.String())
		if diff := got.Duration() - want; err != nil || diff.Abs() > time.Microsecond {
			t.Fatalf("%v: got %v, %v", want, got.Duration(), err)
		}
	})
}

func TestIntervalFlag(t *testing.T) {
	tests := []struct {
		flags string
		want  time.Duration
	}{
		{"", time.Second},
		{"-i=0", 0},
		{"-i 0", 0},
		{"-i0", 0},
		{"--interval=0", 0},
		{"--interval 0", 0},
		{"-i .5", 500 * time.Millisecond},
		{"-i.5", 500 * time.Millisecond},
		{"-i=.5", 500 * time.Millisecond},
		{"-ci=0.5", 500 * time.Millisecond},
		{"-i 1m", time.Minute},
		{"-i 1 -i 2", 2 * time.Second},
	}
	for _, test := range tests {
		g, err := parseLine(t, "serve -f d "+test.flags)
		if err != nil || g.Serve.Interval.Duration() != test.want {
			t.Errorf("%s: got %v, %v, want %v", test.flags, g.Serve.Interval.Duration(), err, test.want)
		}
	}
}

func TestTimeFlagErrors(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"-i"}, "--interval: a number of seconds is missing"},
		{[]string{"-i", "-r"}, `--interval: a number of seconds is missing before "-r"`},
		{[]string{"-i", "--"}, `--interval: a number of seconds is missing before "--"`},
		{[]string{"-i", "-1"}, `--interval: "-1" is negative`},
		{[]string{"-i", "-inf"}, `--interval: "-inf" is no length of time`},
		{[]string{"-i=-1"}, `--interval: "-1" is negative`},
		{[]string{"-i=="}, `--interval: "=" is no time: give seconds, as 2 or 0.5, or a time such as 500ms or 1m`},
		{[]string{"-i="}, "--interval: the value is empty: give seconds, as 2 or 0.5, or a time such as 500ms or 1m"},
		{[]string{"-i", ""}, "--interval: the value is empty: give seconds, as 2 or 0.5, or a time such as 500ms or 1m"},
		{[]string{"--connect-timeout", "0"}, "--connect-timeout: must be more than 0"},
		{[]string{"--patience"}, "--patience: a time is missing"},
	}
	for _, test := range tests {
		_, err := parseArgs(t, append([]string{"get", "host:1"}, test.args...)...)
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v, want %s", test.args, err, test.want)
		}
	}
}
