package flags

import (
	"strings"
	"testing"
)

func TestParseCount(t *testing.T) {
	for _, test := range []struct {
		text string
		want Count
		err  string // part of it; empty: no error
	}{
		{"1", 1, ""},
		{"1048576", maxCount, ""},
		{"0", 0, "0 would be no limit"},
		{"-1", 0, "negative"},
		{"1048577", 0, "not a whole number"},
		{"18446744073709551616", 0, "not a whole number"},
		{"1.5", 0, "not a whole number"},
		{"", 0, "not a whole number"},
		{"inf", 0, "not a whole number"},
		{"unlimited", 0, "not a whole number"},
	} {
		got, err := ParseCount(test.text)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("ParseCount(%q) = %d, %v, want %d, %q", test.text, got, err, test.want, test.err)
		}
	}
}
