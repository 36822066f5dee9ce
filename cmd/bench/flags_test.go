package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// parsed returns the flags of a measurement as the program reads them.
func parsed(t *testing.T, args ...string) *runCmd {
	t.Helper()
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return &c.Run
}

func TestSize(t *testing.T) {
	tests := map[string]int64{
		"2GB": 2e9, "256MB": 256e6, "1GiB": 1 << 30, "1.5GB": 1.5e9, "17": 17, "4KiB": 4096, "3B": 3, "64 MiB": 64 << 20,
	}
	for text, want := range tests {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || int64(got) != want {
			t.Errorf("%q = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GB", "-1GB", "2G", "2TBs", "NaN", "1e40GB", "0x"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{2e9: "2 GB", 256e6: "256 MB", 1_024_000_000: "1.02 GB", 1500: "1.5 kB", 7: "7 B"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %q, want %q", int64(size), got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := parsed(t)
	if err := c.settle(); err != nil {
		t.Fatal(err)
	}
	if c.Size != 2e9 || c.Rounds != 5 || c.Files != 1000 || c.Dir == "" {
		t.Errorf("got %+v", c)
	}
	c = parsed(t, "--quick")
	if err := c.settle(); err != nil {
		t.Fatal(err)
	}
	if c.Size != 256e6 || c.Rounds != 3 || c.Files != 100 {
		t.Errorf("--quick: got %+v", c)
	}
}

func TestUsageErrors(t *testing.T) {
	tests := [][]string{
		{"--size", "2G"}, {"--size", "1kB"}, {"--rounds", "0"}, {"--rounds", "x"}, {"--files", "0"}, {"--only", "("}, {"--nothing"}, {"elsewhere"},
	}
	for _, args := range tests {
		var out, err bytes.Buffer
		if code := run(context.Background(), append(args, "--list"), &streams{&out, &err}); code != exitUsage {
			t.Errorf("%q: exit code %d, want %d", args, code, exitUsage)
		}
		if !strings.HasPrefix(err.String(), "bench: error: ") || out.Len() > 0 {
			t.Errorf("%q: wrote %q to stdout and %q to stderr", args, &out, &err)
		}
	}
}

func TestWants(t *testing.T) {
	tests := []struct {
		args []string
		name string
		want bool
	}{
		{nil, "veth/malcolm-4", true},
		{[]string{"--only", "malcolm-4$"}, "veth/malcolm-4", true},
		{[]string{"--only", "malcolm-4$"}, "veth/malcolm-4-nogro", false},
		{[]string{"--only", "^loopback/"}, "veth/curl", false},
		{[]string{"--only", "curl", "--only", "scp"}, "veth/scp", true},
		{[]string{"--only", "curl{1,2}"}, "veth/curl", true}, // a comma is part of the pattern
		{[]string{"--only", "aria2", "--skip", "sha256"}, "veth/aria2-sha256", false},
		{[]string{"--skip", "more/"}, "more/index", false},
	}
	for _, test := range tests {
		if got := parsed(t, test.args...).wants(test.name); got != test.want {
			t.Errorf("%q wants %s: %v", test.args, test.name, got)
		}
	}
}

// TestList: every name that --only takes is listed once, as measured or as
// skipped with a reason.
func TestList(t *testing.T) {
	var out bytes.Buffer
	if code := run(context.Background(), []string{"--list"}, &streams{&out, io.Discard}); code != exitDone {
		t.Fatalf("exit code %d", code)
	}
	want := []string{"more/index", "more/resume", "more/memory", "more/sparse", "more/small", "more/allocs"}
	for _, r := range allRows() {
		want = append(want, "loopback/"+r.name)
	}
	for _, name := range want {
		if n := strings.Count("\n"+out.String(), "\n"+name+": "); n != 1 {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
}

// TestRowNames: the targets and the reference are about rows that exist.
func TestRowNames(t *testing.T) {
	known := make(map[string]bool)
	for _, r := range allRows() {
		if known[r.name] {
			t.Errorf("two rows are called %s", r.name)
		}
		known[r.name] = true
	}
	wanted := []string{reference}
	for _, q := range quicknessTargets {
		wanted = append(wanted, q.a, q.b)
	}
	for _, name := range wanted {
		if !known[name] {
			t.Errorf("no row is called %s", name)
		}
	}
}
