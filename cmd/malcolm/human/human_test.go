package human

import (
	"crypto/sha256"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestBytes(t *testing.T) {
	tests := []struct {
		n    int64
		want string
	}{
		{-1, "0 B"},
		{0, "0 B"},
		{1, "1 B"},
		{512, "512 B"},
		{1023, "1023 B"},
		{1024, "1.0 KiB"},
		{1536, "1.5 KiB"},
		{1023897, "999.9 KiB"},
		{1023949, "1000 KiB"},
		{1<<20 - 513, "1023 KiB"},
		{1<<20 - 1, "1.0 MiB"},
		{1 << 20, "1.0 MiB"},
		{256 << 20, "256.0 MiB"},
		{1 << 30, "1.0 GiB"},
		{1 << 40, "1.0 TiB"},
		{1 << 50, "1.0 PiB"},
		{1 << 60, "1.0 EiB"},
		{math.MaxInt64, "8.0 EiB"},
	}
	for _, test := range tests {
		if got := Bytes(test.n); got != test.want {
			t.Errorf("%d: got %q, want %q", test.n, got, test.want)
		}
	}
}

func TestBytesDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "bytes")
		number, unit, _ := strings.Cut(Bytes(n), " ")
		if digits := len(strings.ReplaceAll(number, ".", "")); digits > 4 || unit == "" {
			t.Fatalf("%d: %s %s", n, number, unit)
		}
	})
}

func TestRate(t *testing.T) {
	tests := []struct {
		rate float64
		want string
	}{
		{0, "0 B/s"},
		{-5, "0 B/s"},
		{math.NaN(), "0 B/s"},
		{math.Inf(1), "0 B/s"},
		{math.Inf(-1), "0 B/s"},
		{0.4, "0 B/s"},
		{12.3 * (1 << 20), "12.3 MiB/s"},
		{1023.7, "1.0 KiB/s"},
		{1e300, "8.0 EiB/s"},
	}
	for _, test := range tests {
		if got := Rate(test.rate); got != test.want {
			t.Errorf("%g: got %q, want %q", test.rate, got, test.want)
		}
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0.0s"},
		{0, "0.0s"},
		{99 * time.Millisecond, "0.0s"},
		{4100 * time.Millisecond, "4.1s"},
		{time.Minute - 1, "59.9s"},
		{time.Minute, "1m00s"},
		{3*time.Minute + 5900*time.Millisecond, "3m05s"},
		{time.Hour - 1, "59m59s"},
		{2*time.Hour + 14*time.Minute + 59*time.Second, "2h14m"},
		{24*time.Hour - 1, "23h59m"},
		{76*time.Hour + 59*time.Minute, "3d04h"},
		{math.MaxInt64, "106751d23h"},
	}
	for _, test := range tests {
		if got := Duration(test.d); got != test.want {
			t.Errorf("%v: got %q, want %q", test.d, got, test.want)
		}
	}
}

func TestLeft(t *testing.T) {
	tests := []struct {
		bytes int64
		rate  float64
		want  string
	}{
		{0, 0, "0s"},
		{-1, 100, "0s"},
		{1, 0, "unknown"},
		{1, -1, "unknown"},
		{1, math.NaN(), "unknown"},
		{1, math.Inf(1), "unknown"},
		{1, 1e9, "1s"},
		{100, 100, "1s"},
		{101, 100, "2s"},
		{18500, 100, "3m05s"},
		{math.MaxInt64, 1, "over 100 days"},
		{math.MaxInt64, 1e-300, "over 100 days"},
		{100 * 86400, 1, "100d00h"},
		{100*86400 + 1, 1, "over 100 days"},
	}
	for _, test := range tests {
		if got := Left(test.bytes, test.rate); got != test.want {
			t.Errorf("%d at %g: got %q, want %q", test.bytes, test.rate, got, test.want)
		}
	}
}

func TestPercent(t *testing.T) {
	tests := []struct {
		done, total int64
		want        string
	}{
		{0, 0, "100.0 %"},
		{0, 5, "0.0 %"},
		{-5, 5, "0.0 %"},
		{1, 3, "33.3 %"},
		{2, 3, "66.6 %"},
		{999_999, 1_000_000, "99.9 %"},
		{1_000_000, 1_000_000, "100.0 %"},
		{math.MaxInt64 - 1, math.MaxInt64, "99.9 %"},
		{math.MaxInt64, math.MaxInt64, "100.0 %"},
		{math.MaxInt64 / 2, math.MaxInt64, "49.9 %"},
	}
	for _, test := range tests {
		if got := Percent(test.done, test.total); got != test.want {
			t.Errorf("%d of %d: got %q, want %q", test.done, test.total, got, test.want)
		}
	}
}

func TestPlural(t *testing.T) {
	tests := []struct {
		n    int
		want string
	}{
		{0, "0 servers"}, {1, "1 server"}, {2, "2 servers"}, {-1, "-1 servers"}, {-100, "-100 servers"},
		{999, "999 servers"}, {1000, "1,000 servers"}, {-1000, "-1,000 servers"}, {1234567, "1,234,567 servers"},
	}
	for _, test := range tests {
		if got := Plural(test.n, "server", "servers"); got != test.want {
			t.Errorf("%d: got %q, want %q", test.n, got, test.want)
		}
	}
}

func TestHexShort(t *testing.T) {
	if got, want := HexShort(sha256.Sum256([]byte("test"))), "9f86d081…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestQuote(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct{ text, want string }{
		{"", `""`},
		{"data.mp4", `"data.mp4"`},
		{"a\"b\\", `"a\"b\\"`},
		{"\x1b[2Jhi\n", `"\x1b[2Jhi\n"`},
		{"\u202egnp.exe", `"\u202egnp.exe"`},
		{"\xff\x00", `"\xff\x00"`},
		{"\ufffd", "\"\ufffd\""},
		{"文件", `"文件"`},
		{x(78), `"` + x(78) + `"`},
		{x(79), `"` + x(77) + `"…`},
		{x(77) + "文", `"` + x(77) + `"…`},
		{x(76) + "文", `"` + x(76) + `文"`},
		{x(76) + "文x", `"` + x(76) + `"…`},
		{x(76) + "\n", `"` + x(76) + `\n"`},
		{x(77) + "\n", `"` + x(77) + `"…`},
		{x(1 << 20), `"` + x(77) + `"…`},
		{strings.Repeat("\x00", 1<<20), `"` + strings.Repeat(`\x00`, 19) + `"…`},
	}
	for _, test := range tests {
		if got := Quote(test.text); got != test.want {
			t.Errorf("%.90q: got %s, want %s", test.text, got, test.want)
		}
	}
}

func TestQuoteIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		got := Quote(text)
		columns := 0
		for _, r := range strings.TrimSuffix(got, "…") {
			if r < ' ' || r == 0x7f {
				t.Fatalf("%q has a control character", got)
			}
			columns++
			if r >= utf8.RuneSelf {
				columns++
			}
		}
		if strings.HasSuffix(got, `"…`) {
			columns++
		}
		if columns > quoteColumns || !utf8.ValidString(got) {
			t.Fatalf("%q has %d columns", got, columns)
		}
	})
}

func TestShellQuote(t *testing.T) {
	tests := []struct{ word, want string }{
		{"", "''"},
		{"copy", "copy"},
		{"/a/b_c-d.e", "/a/b_c-d.e"},
		{"127.0.0.1:10001-10004,5", "127.0.0.1:10001-10004,5"},
		{"--limit=10M", "--limit=10M"},
		{"A=b", "'A=b'"},
		{"=ls", "'=ls'"},
		{"[::1]:9", "'[::1]:9'"},
		{"a b", "'a b'"},
		{"~", "'~'"},
		{"it's", `'it'\''s'`},
		{"$(rm)", "'$(rm)'"},
		{"wow!", "'wow!'"},
		{"文件", "'文件'"},
		{"a\nb", `$'a\nb'`},
		{"a'\\\t\r!\x1b\n", `$'a\'\\\t\r\041\033\n'`},
		{"\x019", `$'\0019'`},
		{"\u202ex", `$'\342\200\256x'`},
		{"\xffé", `$'\377é'`},
	}
	for _, test := range tests {
		if got := ShellQuote(test.word); got != test.want {
			t.Errorf("%q: got %s, want %s", test.word, got, test.want)
		}
	}
}

// TestShellQuoteReadsBack has a real shell read what was quoted.
func TestShellQuoteReadsBack(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	words := []string{"", "a b", "it's", "$(exit 3)", "`x`", "a\\nb", "~", "*", "{a,b}", "#x", "A=b", "文件", "\xff\xfe", "-n", "a!b"}
	for b := byte(1); b != 0; b++ {
		words = append(words, string([]byte{b}), "7"+string([]byte{b})+"7", "\n"+string([]byte{b})+"!'7")
	}
	script := "printf '%s\\0'"
	for _, word := range words {
		script += " " + ShellQuote(word)
	}
	out, err := exec.Command(bash, "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(got) != len(words) {
		t.Fatalf("got %d words, want %d", len(got), len(words))
	}
	for i, word := range words {
		if got[i] != word {
			t.Errorf("%s: got %q, want %q", ShellQuote(word), got[i], word)
		}
	}
}
