package flags

import (
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	tests := []struct {
		text string
		want Rate
	}{
		{"0", 0},
		{"0M", 0},
		{"0.0", 0},
		{"1024", 1024},
		{"5000", 5000},
		{"5000B", 5000},
		{"1k", 1 << 10},
		{"1K", 1 << 10},
		{"10M", 10 << 20},
		{"10m", 10 << 20},
		{"10MB", 10 << 20},
		{"10MiB", 10 << 20},
		{"10Mi", 10 << 20},
		{"10MiB/s", 10 << 20},
		{"10 MiB/s", 10 << 20},
		{"10M/s", 10 << 20},
		{"5000/s", 5000},
		{"1.5G", 3 << 29},
		{".5G", 1 << 29},
		{"2.G", 2 << 30},
		{"+2g", 2 << 30},
		{"2t", 2 << 40},
		{"1024T", 1 << 50},
		{"1.1K", 1126},
	}
	for _, test := range tests {
		if got, err := ParseRate(test.text); err != nil || got != test.want {
			t.Errorf("%q: got %d, %v, want %d", test.text, got, err, test.want)
		}
	}
}

func TestParseRateErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "empty"},
		{"-1", "is negative"},
		{"-10M", "is negative"},
		{"NaN", "is no rate"},
		{"inf", "is no rate"},
		{"-inf", "is no rate"},
		{"1", "is below 1 KiB a second"},
		{"500", "is below 1 KiB a second"},
		{"1023", "is below 1 KiB a second"},
		{"0.5K", "is below 1 KiB a second"},
		{"0." + strings.Repeat("0", 400) + "1", "is below 1 KiB a second"},
		{"1025T", "is too much"},
		{"9223372036854775808", "is too much"},
		{strings.Repeat("9", 400), "is too much"},
		{"10Mb", "may mean bits: write 10MB for bytes a second"},
		{"10mb", "may mean bits: write 10MB for bytes a second"},
		{"5000b", "may mean bits: write 5000B for bytes a second"},
		{"10Mbit", "is no rate"},
		{"10Mbps", "is no rate"},
		{"M", "is no rate"},
		{".", "is no rate"},
		{"1e6", "is no rate"},
		{"0x10", "is no rate"},
		{"10i", "is no rate"},
		{"10iB", "is no rate"},
		{"10P", "is no rate"},
		{"10M/", "is no rate"},
		{"10M/m", "is no rate"},
		{"10  M", "is no rate"},
		{"1,5M", "is no rate"},
		{"1M\n", "is no rate"},
	}
	for _, test := range tests {
		got, err := ParseRate(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) || got != 0 {
			t.Errorf("%.40q: got %d, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestRateString(t *testing.T) {
	tests := []struct {
		rate Rate
		want string
	}{
		{0, "no limit"},
		{1 << 10, "1.0 KiB/s"},
		{10 << 20, "10.0 MiB/s"},
		{3 << 29, "1.5 GiB/s"},
		{maxRate, "1.0 PiB/s"},
	}
	for _, test := range tests {
		if got := test.rate.String(); got != test.want {
			t.Errorf("%d: got %q, want %q", test.rate, got, test.want)
		}
		if test.rate == 0 {
			continue
		}
		if got, err := ParseRate(strings.ReplaceAll(test.want, "1.0 PiB", "1024 TiB")); err != nil || got != test.rate {
			t.Errorf("%q reads back as %d, %v", test.want, got, err)
		}
	}
}

func TestRateFlag(t *testing.T) {
	for _, flag := range []string{"--limit=10M", "--limit 10M"} {
		g, err := parseLine(t, "get host:1 "+flag)
		if err != nil || g.Get.Limit != 10<<20 {
			t.Errorf("%s: got %d, %v", flag, g.Get.Limit, err)
		}
	}
	want := `--limit: "-5M" is negative`
	if _, err := parseLine(t, "get host:1 --limit -5M"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
