package flags

import (
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	tests := []struct {
		text string
		want Size
	}{
		{"1", 1},
		{"500", 500},
		{"10M", 10 << 20},
		{"10mB", 10 << 20},
		{"1.5GiB", 3 << 29},
		{"16T", 1 << 44},
		{"17592186044416", 1 << 44},
	}
	for _, test := range tests {
		if got, err := ParseSize(test.text); err != nil || got != test.want {
			t.Errorf("%q: got %d, %v, want %d", test.text, got, err, test.want)
		}
	}
}

func TestParseSizeErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "empty"},
		{"-1", "is negative"},
		{"0", "is no byte"},
		{"0.1", "is no byte"},
		{"0M", "is no byte"},
		{"NaN", "is no size"},
		{"1.5x", "is no size"},
		{"10Mb", "is no size"},
		{"10i", "is no size"},
		{"10M/s", "is no size"},
		{"17T", "is too much"},
		{"17592186044417", "is too much"},
		{"9223372036854775808", "is too much"},
		{strings.Repeat("9", 400), "is too much"},
	}
	for _, test := range tests {
		got, err := ParseSize(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %d, %v, want that it %s", test.text, got, err, test.want)
		}
	}
}
