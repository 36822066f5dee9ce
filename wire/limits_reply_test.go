package wire

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestHeaderLimits(t *testing.T) {
	check(t, streamed(ReadHeader), []bound{
		{"131072", body(0, 131072), ""},
		{"131073", body(0, 131073), "length is 131073, at most 131072"},
		{"131073 of an unknown status", body(99, 131073), "at most 131072"},
		{"2^62 - 1", body(0, u64(1<<62-1)), "at most 131072"},
	})
}

func TestOfferLimits(t *testing.T) {
	times := body(0, 0)
	rest := body(sum, 0, 0)
	with := func(parts ...[]byte) []byte { return append([]byte{0}, bytes.Join(parts, nil)...) }
	named := func(name string) []byte { return with(body(0, 0, 0, sum, len(name), name, 0)) }
	padded := func(n int) []byte { // with a tail, to n bytes
		b := append(named(text(230)), body(1, 256, text(256), 3, 256, text(256))...)
		n -= len(b) + 3
		return append(b, body(5, n, text(n))...)
	}
	parse := func(b []byte) error { _, err := ParseOffer(b); return err }
	check(t, parse, []bound{
		{"kind 2", body(2, 0, times, rest), "kind is 2"},
		{"kind 2^62 - 1", body(u64(1<<62-1), 0), "kind"},
		{"tree without times", body(1, 0, times, rest), "checksum of the times"},
		{"tree with times of 2^25", body(1, 0, times, sum, 0, sum, 1<<25, 0), ""},
		{"tree with times of 2^25 + 1", body(1, 0, times, sum, 0, sum, 1<<25+1, 0), "size of the times is 33554433"},
		{"tree with times of another kind", body(1, 0, times, sum, 0, 1, hash, 0), "times is of the unknown kind 1"},
		{"file with times", body(0, 0, times, sum, 0, sum, 0), "malformed"},
		{"size 2^44", with(body(u64(1<<44)), times, rest), ""},
		{"size 2^44 + 1", with(body(u64(1<<44+1)), times, rest), "size is 17592186044417"},
		{"earliest and latest", with(body(0, u64(1<<62-1), 0), rest), ""},
		{"nanoseconds 999999999", with(body(0, 0, 999_999_999), rest), ""},
		{"nanoseconds 10^9", with(body(0, 0, 1_000_000_000), rest), "nanoseconds is 1000000000"},
		{"checksum of another kind", with(body(0), times, body(1, hash, 0, 0)), "checksum is of the unknown kind 1"},
		{"name of 230", named(text(230)), ""},
		{"name of 231", named(text(231)), "name length is 231"},
		{"name of 2^62 - 1", with(body(0, 0, 0, sum, u64(1<<62-1))), "name length"},
		{"name of UTF-8", named("\u00e9\U0001f600\x00/.."), ""},
		{"name with a lone byte", named("a\xff"), "UTF-8"},
		{"name with a surrogate", named("\xed\xa0\x80"), "UTF-8"},
		{"name with an overlong form", named("\xc0\xaf"), "UTF-8"},
		{"name that ends within a rune", named("a\xc3"), "UTF-8"},
		{"values of 65536", with(body(0, 0, 0, sum, 0, 65536)), ""},
		{"values of 65537", with(body(0, 0, 0, sum, 0, 65537)), "length of the values is 65537"},
		{"values of 33", with(body(0, 0, 0, sum, 0, 33)), "multiple of 32"},
		{"1024 bytes", padded(1024), ""},
		{"1025 bytes", padded(1025), "1025 bytes, at most 1024"},
	})
	check(t, func(b []byte) error {
		_, err := ReadOffer(bytes.NewReader(b), Header{Length: len(b)})
		return err
	}, []bound{
		{"read 1024 bytes", padded(1024), ""},
		{"read 1025 bytes", padded(1025), "1025 bytes, at most 1024"},
	})
}

// TestOfferOfOddTime: a file system may hold any time. None may stop a server.
func TestOfferOfOddTime(t *testing.T) {
	for _, tt := range []struct{ seconds, want int64 }{
		{1<<61 - 1, 1<<61 - 1},
		{1 << 61, 1<<61 - 1},
		{1<<63 - 1, 1<<61 - 1},
		{-1 << 61, -1 << 61},
		{-1<<61 - 1, -1 << 61},
		{-1 << 63, -1 << 61},
		{time.Time{}.Unix(), -62_135_596_800},
	} {
		got, err := ParseOffer(Offer{ModTime: time.Unix(tt.seconds, 7)}.Append(nil))
		if err != nil || got.ModTime.Unix() != tt.want || got.ModTime.Nanosecond() != 7 {
			t.Errorf("second %d: got %d and %d ns, %v, want %d", tt.seconds, got.ModTime.Unix(), got.ModTime.Nanosecond(), err, tt.want)
		}
	}
}

func TestRefusalLimits(t *testing.T) {
	check(t, streamed(readRefusalFrame), []bound{
		{"text of 256", body(3, 257, 0, text(256)), ""},
		{"text of 257", body(3, 258, 0, text(257)), "text of 257 bytes, at most 256"},
		{"text of 257 behind a long wait", body(3, 265, u64(1<<32), text(257)), "265 bytes, at most 264"},
		{"text of 2^17 - 1", body(3, 131072, 0, text(131071)), "at most 264"},
		{"wait of 2^32", body(3, 8, u64(1<<32)), ""},
		{"wait of 2^32 + 1", body(3, 8, u64(1<<32+1)), "wait is 4294967297"},
		{"no wait", body(3, 0), "ends within its wait"},
		{"ok", body(0, 1, 0), `status "ok" is no refusal`},
		{"indexing", body(1, 2, 0, 0), `status "indexing" is no refusal`},
		{"failed span", body(11, 3, 0, 2, 0), `status "failed span" is no refusal`},
		{"unknown status", body(12, 1, 0), ""},
	})
	check(t, streamed(readFailedSpanFrame), []bound{
		{"text of 256", body(11, 259, 0, 2, 0, text(256)), ""},
		{"text of 257", body(11, 260, 0, 2, 0, text(257)), "text of 257 bytes, at most 256"},
		{"text of 2^17 - 3", body(11, 131072, 0, 2, 0, text(131069)), "at most 274"},
		{"index 255", body(11, 4, 255, 2, 0), ""},
		{"index 256", body(11, 4, 256, 2, 0), "index is 256"},
		{"wait of 2^32 + 1", body(11, 10, 0, 2, u64(1<<32+1)), "wait is 4294967297"},
		{"ok", body(11, 3, 0, 0, 0), `status "ok" is no refusal`},
		{"indexing", body(11, 3, 0, 1, 0), `status "indexing" is no refusal`},
		{"failed span", body(11, 3, 0, 11, 0), `status "failed span" is no refusal`},
		{"unknown status", body(11, 3, 0, 12, 0), ""},
	})
}

// TestRefusalIsKeptWithinLimits: a text may quote an error of any length, and a
// wait may come from any arithmetic.
func TestRefusalIsKeptWithinLimits(t *testing.T) {
	for n, want := range map[int]int{255: 255, 256: 256, 257: 256, 10_000: 256} {
		e := Refusal{Status: StatusBusy, Text: text(n)}
		got, err := readRefusalFrame(bytes.NewReader(e.Append(nil)))
		if err != nil || len(got.Text) != want {
			t.Errorf("text of %d: sent as %d bytes, %v, want %d", n, len(got.Text), err, want)
		}
		f, err := readFailedSpanFrame(bytes.NewReader(FailedSpan{Refusal: e}.Append(nil)))
		if err != nil || len(f.Refusal.Text) != want {
			t.Errorf("text of %d in a failed span: sent as %d bytes, %v, want %d", n, len(f.Refusal.Text), err, want)
		}
	}
	const most = 1 << 32 * time.Millisecond
	for wait, want := range map[time.Duration]time.Duration{
		math.MinInt64: 0, -1: 0, 0: 0, 1: time.Millisecond, time.Millisecond: time.Millisecond,
		time.Millisecond + 1: 2 * time.Millisecond, most - 1: most, most: most, most + 1: most, math.MaxInt64: most,
	} {
		e := Refusal{Status: StatusBusy, Wait: wait}
		got, err := readRefusalFrame(bytes.NewReader(e.Append(nil)))
		if err != nil || got.Wait != want {
			t.Errorf("wait of %d ns: sent as %v, %v, want %v", wait, got.Wait, err, want)
		}
	}
}

func TestOpenedLimits(t *testing.T) {
	const least = 16 << 20
	check(t, func(b []byte) error { _, err := parseOpenedBody(b); return err }, []bound{
		{"the least", body(1, least, least, 0, 0), ""},
		{"no stream", body(0, least, least, 0, 0), "0 streams"},
		{"2^31 - 1 streams", body(u64(1<<31-1), least, least, 0, 0), ""},
		{"2^31 streams", body(u64(1<<31), least, least, 0, 0), "streams is 2147483648"},
		{"longest below a chunk", body(1, least, least-1, 0, 0), "too small"},
		{"flight below a chunk", body(1, least-1, least-1, 0, 0), "too small"},
		{"flight below the longest", body(1, least, least+1, 0, 0), "too small"},
		{"flight above the longest", body(1, least+1, least, 0, 0), ""},
		{"2^31 - 1 wasted", body(1, least, least, u64(1<<31-1), 0), ""},
		{"2^31 wasted", body(1, least, least, u64(1<<31), 0), "wasted requests is 2147483648"},
		{"proof of 31", body(1, least, least, 0, 31, text(31)), "proof has 31 bytes"},
		{"proof of 32", body(1, least, least, 0, 32, hash), ""},
		{"proof of 33", body(1, least, least, 0, 33, text(33)), "proof length is 33"},
		{"8193 bytes", make([]byte, 8193), "8193 bytes, at most 8192"},
	})
}

func TestIndexingLimits(t *testing.T) {
	bounds := []bound{
		{"0 of 0", body(0, 0), ""},
		{"1 of 1", body(1, 1), ""},
		{"1 of 0", body(1, 0), "1 of 0"},
		{"2^44 of 2^44", body(u64(1<<44), u64(1<<44)), ""},
		{"2^44 + 1 in all", body(0, u64(1<<44+1)), "in all"},
		{"2^44 + 1 done", body(u64(1<<44+1), u64(1<<44)), "done"},
	}
	check(t, func(b []byte) error { _, err := ParseIndexing(b); return err }, bounds)
	bounds = append(bounds,
		bound{"16 bytes", make([]byte, 16), "14 bytes too many"},
		bound{"17 bytes", make([]byte, 17), "17 bytes, at most 16"})
	check(t, func(b []byte) error {
		_, err := ReadIndexing(bytes.NewReader(b), Header{Status: StatusIndexing, Length: len(b)})
		return err
	}, bounds)
}

func TestPathReportLimits(t *testing.T) {
	const most, rtt = 1 << 48, 1 << 26
	bounds := []bound{
		{"nothing", body(0, 0, 0, 0, 0, 0, 0, 0, 0), ""},
		{"2^48 sent", body(u64(most), 0, 0, 0, 0, 0, 0, 0, 0), ""},
		{"2^48 + 1 sent", body(u64(most+1), 0, 0, 0, 0, 0, 0, 0, 0), "packets sent is 281474976710657"},
		{"all lost", body(9, 9, 0, 0, 0, 0, 0, 0, 0), ""},
		{"more lost than sent", body(9, 10, 0, 0, 0, 0, 0, 0, 0), "packets lost is 10, at most 9"},
		{"an event a lost packet", body(9, 5, 5, 0, 0, 0, 0, 0, 0), ""},
		{"more events than lost packets", body(9, 5, 6, 0, 0, 0, 0, 0, 0), "loss events is 6, at most 5"},
		{"highest ranks", body(9, 5, 5, 5000, 0, 0, 0, 0, 0), ""},
		{"ranks over the highest", body(9, 5, 5, 5001, 0, 0, 0, 0, 0), "sum of ranks is 5001, at most 5000"},
		{"a rank without an event", body(9, 5, 0, 1, 0, 0, 0, 0, 0), "sum of ranks is 1, at most 0"},
		{"window of 2^40", body(0, 0, 0, 0, u64(1<<40), 0, 0, 0, 0), ""},
		{"window of 2^40 + 1", body(0, 0, 0, 0, u64(1<<40+1), 0, 0, 0, 0), "congestion window is 1099511627777"},
		{"longest round trips", body(0, 0, 0, 0, 0, rtt, rtt, rtt, rtt), ""},
		{"least over the longest", body(0, 0, 0, 0, 0, rtt+1, 0, 0, 0), "least round trip is 67108865"},
		{"smoothed over the longest", body(0, 0, 0, 0, 0, 0, rtt+1, 0, 0), "smoothed round trip is 67108865"},
		{"10th over the longest", body(0, 0, 0, 0, 0, 0, 0, rtt+1, 0), "10th percentile is 67108865"},
		{"90th over the longest", body(0, 0, 0, 0, 0, 0, 0, 0, rtt+1), "90th percentile is 67108865"},
		{"90th below the 10th", body(0, 0, 0, 0, 0, 0, 0, 2, 1), "90th percentile of 1µs is below the 10th of 2µs"},
		{"one more", body(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "1 bytes too many"},
	}
	check(t, func(b []byte) error { _, err := ParsePathReport(b); return err }, bounds)
	bounds = append(bounds,
		bound{"64 bytes", make([]byte, 64), "55 bytes too many"},
		bound{"65 bytes", make([]byte, 65), "65 bytes, at most 64"})
	check(t, func(b []byte) error {
		_, err := ReadPathReport(bytes.NewReader(b), Header{Length: len(b)})
		return err
	}, bounds)
}

func TestValuesLimits(t *testing.T) {
	check(t, func(b []byte) error { _, err := ParseValues(b); return err }, []bound{
		{"no value", nil, ""},
		{"one", make([]byte, 32), ""},
		{"31 bytes", make([]byte, 31), "multiple of 32"},
		{"33 bytes", make([]byte, 33), "multiple of 32"},
		{"2^20 values", make([]byte, 32<<20), ""},
		{"2^20 + 1 values", make([]byte, 32<<20+32), "at most 33554432"},
	})
}

func TestTimesLimits(t *testing.T) {
	check(t, func(b []byte) error { _, err := ParseTimes(b, 1); return err }, []bound{
		{"one", body(timesMagic, 1, 0, 0, 0), ""},
		{"nanoseconds 999999999", body(timesMagic, 1, 0, 999_999_999, 0), ""},
		{"nanoseconds 10^9", body(timesMagic, 1, 0, 1_000_000_000, 0), "nanoseconds is 1000000000"},
		{"none", body(timesMagic, 0, 0), "0 times for 1 entries"},
		{"two", body(timesMagic, 2, 0, 0, 0, 0, 0), "2 times for 1 entries"},
		{"2^20 + 1", body(timesMagic, 1<<20+1), "number of times is 1048577"},
		{"one that is cut", body(timesMagic, 1, 0), "ends before"},
		{"no number of directories", body(timesMagic, 1, 0, 0), "malformed"},
		{"a directory", body(timesMagic, 1, 0, 0, 1, 0, 0), ""},
		{"2^20 + 1 directories", body(timesMagic, 1, 0, 0, 1<<20+1), "number of directories is 1048577"},
		{"a directory that is cut", body(timesMagic, 1, 0, 0, 1, 0), "ends before its 1 times"},
		{"one more behind", body(timesMagic, 1, 0, 0, 1, 0, 0, 0, 0), "2 bytes too many"},
		{"first bytes of a listing", body(listingMagic, 1, 0, 0), "begin"},
	})
}

func TestValuesFileLimits(t *testing.T) {
	file := func(kind, size, values int, more ...field) []byte {
		o := body(kind, size, 0, 0, sum, 0)
		if kind == 1 {
			o = append(o, sum...)
			o = append(o, 0)
		}
		o = append(o, body(values)...)
		return body(append([]field{valuesMagic, len(o), o}, more...)...)
	}
	empty := listingMagic + "\x00"
	tailed := body(0, 0, 0, 0, sum, 0, 0, 1, 0)
	check(t, func(b []byte) error { _, err := ParseValuesFile(b); return err }, []bound{
		{"file", file(0, 5, 0), ""},
		{"values", file(0, 1<<20, 0, text(4*32)), ""},
		{"values and a byte", file(0, 1<<20, 0, text(4*32+1)), "multiple of 32"},
		{"offer that announces values", file(0, 1<<20, 128, text(4*32)), "announces values"},
		{"offer with a tail", body(valuesMagic, len(tailed), tailed), "has a tail"},
		{"offer of 1025 bytes", body(valuesMagic, 1025, text(1025)), "offer length is 1025"},
		{"offer that is none", body(valuesMagic, 1, "\x09"), "malformed offer"},
		{"tree", file(1, len(empty), 0, len(empty), empty), ""},
		{"tree and values", file(1, len(empty), 0, len(empty), empty, text(32)), ""},
		{"tree without a listing", file(1, len(empty), 0), "ends within its listing"},
		{"tree of another size", file(1, len(empty)+1, 0, len(empty), empty), "listing of 19 bytes, want 20"},
		{"listing of 2^27 + 1", file(1, 1<<27+1, 0, 1<<27+1), "listing length is 134217729"},
		{"first bytes of another file", body(timesMagic+"12", 0), "begin"},
	})
}

// TestErrorsQuoteNothing: the text of an error is safe to print, whatever the
// peer sent.
func TestErrorsQuoteNothing(t *testing.T) {
	const malicious = "\x1b[2Jmalicious"
	for name, err := range map[string]error{
		"selector": ofType(typeStat)(body(0, len(malicious)+1, malicious)),
		"name": func() error {
			_, err := ParseOffer(body(0, 0, 0, 0, sum, len(malicious)+1, malicious+"\xff", 0))
			return err
		}(),
		"path": func() error {
			_, err := ParseListing(body(listingMagic, 1, 2, len(malicious)+1, malicious+"\x00"))
			return err
		}(),
		"target": func() error {
			_, err := AppendListing(nil, []Entry{{Kind: EntryLink, Path: "a", Target: malicious + "/.."}})
			return err
		}(),
		"text": ReadRefusal(strings.NewReader("\x00"+malicious), Header{Status: StatusBusy, Length: len(malicious) + 1}),
	} {
		_, ok := errors.AsType[*Refusal](err)
		if err == nil || strings.Contains(err.Error(), "\x1b") || isMalformed(err) == ok || ok != (name == "text") {
			t.Errorf("%s: got %q", name, err)
		}
	}
}

func TestRefusalError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&Refusal{Status: StatusNotFound}, "refused: not found"},
		{&Refusal{Status: StatusBusy, Text: "a\n\x1b"}, `refused: busy: "a\n\x1b"`},
		{&Refusal{Status: 12}, "refused: status 12"},
		{&UnsupportedError{Type: 9}, "unknown request type 9"},
		{&MalformedError{Message: "offer", Reason: "is odd"}, "malformed offer: is odd"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
