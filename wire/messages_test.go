package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

// The messages of the golden tests, which are seeds of the fuzz targets too.

var (
	tailHex   = "80010001 02abcd|" // an idle type and two bytes
	tailValue = Tail{{Type: 1<<16 + 1, Data: []byte{0xab, 0xcd}}}
)

// fullTail has the most types, the last of them with the most bytes.
func fullTail() (hex string, tail Tail) {
	for i := range 15 {
		typ := uint64(2*i + 1)
		hex += fmt.Sprintf("%02x00|", typ)
		tail = append(tail, Extra{Type: typ, Data: []byte{}})
	}
	hex += "bfffffff 4100" + strings.Repeat("ee", 256) + "|"
	return hex, append(tail, Extra{Type: 1<<30 - 1, Data: bytes.Repeat([]byte{0xee}, 256)})
}

func opens() []message {
	run := [16]byte(unhexed(hex40[:32]))
	key := [8]byte(unhexed(hex80[:16]))
	tail, tailOf := fullTail()
	return []message{
		open("open, empty", "00 12"+hex40[:32]+"00 00|", 2, Open{Run: run}),
		open("open, full", "00 4041"+hex40[:32]+"08"+hex80[:16]+"20"+hex00+"|"+tailHex, 3,
			Open{Run: run, Key: key, Proof: ptr(filled(0)), Tail: tailValue}),
		open("open, longest tail", "00 4136"+hex40[:32]+"00 00|"+tail, 3, Open{Run: run, Tail: tailOf}),
	}
}

func requests() []message {
	tail, tailOf := fullTail()
	spans := RangesRequest{}
	for range 256 {
		spans.Spans = append(spans.Spans, Span{Checksum: filled(0x80), Offset: 1 << 43, Length: 1 << 43})
	}
	return []message{
		request("stat, empty", "01 02 00 00|", 2, StatRequest{}),
		request("stat, full", "01 0d 01 0464617461|"+tailHex, 2,
			StatRequest{Selector: "data", Values: true, Tail: tailValue}),
		request("stat, longest tail", "01 4126 00 00|"+tail, 3, StatRequest{Tail: tailOf}),
		request("stat, selector of 64 bytes", "01 4043 00 4040"+strings.Repeat("78", 64)+"|", 3,
			StatRequest{Selector: strings.Repeat("x", 64)}),
		request("stat, selector of no UTF-8", "01 04 00 02ff00|", 2, StatRequest{Selector: "\xff\x00"}),
		request("values, the first", "02 23"+sum00+"00 01", 2, ValuesRequest{Checksum: filled(0), Count: 1}),
		request("values, the last", "02 26"+sum80+"800fffff 01", 2,
			ValuesRequest{Checksum: filled(0x80), First: 1<<20 - 1, Count: 1}),
		request("values, all", "02 26"+sum80+"00 80100000", 2, ValuesRequest{Checksum: filled(0x80), Count: 1 << 20}),
		request("ranges, first byte", "03 24 01"+sum00+"00 01", 2,
			RangesRequest{[]Span{{Checksum: filled(0), Length: 1}}}),
		request("ranges, two files", "03 404e 02"+sum80+"80004000 81000000"+sum40+"3f 4040", 3,
			RangesRequest{[]Span{
				{Checksum: filled(0x80), Offset: 16 << 10, Length: 16 << 20},
				{Checksum: filled(0x40), Offset: 63, Length: 64},
			}}),
		request("ranges, last byte of the largest file", "03 2b 01"+sum80+"c0000fffffffffff 01", 2,
			RangesRequest{[]Span{{Checksum: filled(0x80), Offset: 1<<44 - 1, Length: 1}}}),
		request("ranges, the whole of the largest file", "03 2b 01"+sum80+"00 c000100000000000", 2,
			RangesRequest{[]Span{{Checksum: filled(0x80), Length: 1 << 44}}}),
		request("ranges, the most spans", "03 7102 4100"+strings.Repeat(sum80+"c000080000000000 c000080000000000", 256), 3, spans),
		request("recheck, first chunk", "04 22"+sum00+"00", 2, RecheckRequest{Checksum: filled(0)}),
		request("recheck, last chunk", "04 25"+sum80+"800fffff", 2, RecheckRequest{Checksum: filled(0x80), Chunk: 1<<20 - 1}),
		request("path", "05 00", 2, PathRequest{}),
	}
}

func replies() []message {
	longest := strings.Repeat("z", 256)
	return []message{
		header("ok, empty", "00 00", Header{}),
		header("ok, 63 bytes", "00 3f", Header{Length: 63}),
		header("indexing, 64 bytes", "01 4040", Header{Status: StatusIndexing, Length: 64}),
		header("unreadable, 16384 bytes", "0a 80004000", Header{Status: StatusUnreadable, Length: 16384}),
		header("failed span, the most bytes", "0b 80020000", Header{Status: StatusFailedSpan, Length: 128 << 10}),
		header("the largest status", "ffffffffffffffff 80020000", Header{Status: 1<<62 - 1, Length: 128 << 10}),

		refusal("changed, no text", "02 01 00", Refusal{Status: StatusChanged}),
		refusal("not found", "03 05 00 6e6f6e65", Refusal{Status: StatusNotFound, Text: "none"}),
		refusal("busy, text of no UTF-8", "08 05 43e8 ff1b00",
			Refusal{Status: StatusBusy, Wait: time.Second, Text: "\xff\x1b\x00"}),
		refusal("denied, longest text", "07 4101 00"+strings.Repeat("7a", 256), Refusal{Status: StatusDenied, Text: longest}),
		refusal("stopping, longest of all", "09 4108 c000000100000000"+strings.Repeat("7a", 256),
			Refusal{Status: StatusStopping, Wait: 1 << 32 * time.Millisecond, Text: longest}),
		refusal("unknown status", "4040 02 01 61", Refusal{Status: 64, Wait: time.Millisecond, Text: "a"}),

		failedSpan("failed span, the first", "0b 03 00 02 00", FailedSpan{Refusal: Refusal{Status: StatusChanged}}),
		failedSpan("failed span, the last", "0b 09 40ff 0a 43e8 6469736b", FailedSpan{
			Index:   255,
			Refusal: Refusal{Status: StatusUnreadable, Wait: time.Second, Text: "disk"},
		}),
		failedSpan("failed span, longest of all", "0b 4112 40ff ffffffffffffffff c000000100000000"+strings.Repeat("7a", 256), FailedSpan{
			Index:   255,
			Refusal: Refusal{Status: 1<<62 - 1, Wait: 1 << 32 * time.Millisecond, Text: longest},
		}),

		indexing("indexing, empty file", "00 00", Indexing{}),
		indexing("indexing, half", "7fff 8000fffe", Indexing{Done: 16383, Total: 65534}),
		indexing("indexing, the largest file done", "c000100000000000 c000100000000000",
			Indexing{Done: 1 << 44, Total: 1 << 44}),
	}
}

func openeds() []message {
	tail, tailOf := fullTail()
	return []message{
		opened("opened, least limits", "01 81000000 81000000 00 00|",
			Opened{Limits: Limits{Streams: 1, Flight: 16 << 20, Longest: 16 << 20}}),
		opened("opened, full", "4064 90000000 84000000 0a 20"+hex40+"|"+tailHex, Opened{
			Limits: Limits{Streams: 100, Flight: 256 << 20, Longest: 64 << 20, Wasted: 10},
			Proof:  ptr(filled(0x40)), Tail: tailValue,
		}),
		opened("opened, largest limits", "c00000007fffffff ffffffffffffffff ffffffffffffffff c00000007fffffff 00|"+tail, Opened{
			Limits: Limits{Streams: 1<<31 - 1, Flight: 1<<62 - 1, Longest: 1<<62 - 1, Wasted: 1<<31 - 1}, Tail: tailOf,
		}),
	}
}

func reports() []message {
	const µs = time.Microsecond
	return []message{
		report("path report, nothing sent", "00 00 00 00 00 00 00 00 00", PathReport{}),
		report("path report, a lossy path", "5208 0b 0a 52c6 800249f0 800186a0 80018ac1 8001877d 80019a28", PathReport{
			Sent: 4616, Lost: 11, Events: 10, Ranks: 4806, Window: 150_000,
			MinRTT: 100_000 * µs, SmoothedRTT: 101_057 * µs, LowRTT: 100_221 * µs, HighRTT: 105_000 * µs,
		}),
		report("path report, all at most", "c001000000000000 c001000000000000 c001000000000000 c3e8000000000000"+
			"c000010000000000 84000000 84000000 84000000 84000000", PathReport{
			Sent: 1 << 48, Lost: 1 << 48, Events: 1 << 48, Ranks: 1000 << 48, Window: 1 << 40,
			MinRTT: MaxRTT, SmoothedRTT: MaxRTT, LowRTT: MaxRTT, HighRTT: MaxRTT,
		}),
	}
}

func offers() []message {
	tail, tailOf := fullTail()
	file := func(seconds int64) Offer {
		return Offer{Size: 5, ModTime: time.Unix(seconds, 0).UTC(), Checksum: filled(0x80), Name: "a"}
	}
	longest := file(0)
	longest.Name, longest.Tail = strings.Repeat("n", 230), tailOf
	return []message{
		offer("offer, empty", "00 00 00 00"+sum00+"00 00|", Offer{ModTime: time.Unix(0, 0).UTC(), Checksum: filled(0)}),
		offer("offer, full", "00 c000100000000000 c0000000caa7e200 05"+sum00+"06c3a92e6d7034 80010000|"+tailHex, Offer{
			Size: 1 << 44, ModTime: time.Unix(1_700_000_000, 5).UTC(),
			Checksum: filled(0), Name: "é.mp4", ValuesLen: 65536, Tail: tailValue,
		}),
		offer("offer, before 1970", "00 05 01 bb9ac9ff"+sum80+"0161 4040|", Offer{
			Size: 5, ModTime: time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
			Checksum: filled(0x80), Name: "a", ValuesLen: 64,
		}),
		offer("offer, earliest time", "00 05 ffffffffffffffff 00"+sum80+"0161 00|", file(-1<<61)),
		offer("offer, latest time", "00 05 fffffffffffffffe 00"+sum80+"0161 00|", file(1<<61-1)),
		offer("offer, longest name and tail", "00 05 00 00"+sum80+"40e6"+strings.Repeat("6e", 230)+"00|"+tail, longest),
		offer("offer, tree", "01 14 02 07"+sum80+"0474726565"+sum40+"5234 00|"+tailHex, Offer{
			Kind: KindTree, Size: 20, ModTime: time.Unix(1, 7).UTC(),
			Checksum: filled(0x80), Name: "tree", Times: filled(0x40), TimesSize: 0x1234, Tail: tailValue,
		}),
	}
}

func valuesMessages() []message {
	frames := func(name, hex, body string) message {
		want, err := ParseValues(unhexed(body))
		if err != nil {
			panic(err)
		}
		return message{
			name: name, hex: hex, value: want, view: true,
			append: func(b []byte) []byte { return want.AppendFrames(b, 0, want.Len()) },
			read:   func(r io.Reader) (any, error) { return ReadValues(r, want.Len()) },
		}
	}
	full := strings.Repeat(hex00+hex40, 2048)
	return []message{
		frames("values, one", "00 20"+hex00, hex00),
		frames("values, two", "00 4040"+hex40+hex80, hex40+hex80),
		frames("values, a full frame", "00 80020000"+full, full),
		frames("values, one frame and a value", "00 80020000"+full+"00 20"+hex80, full+hex80),
	}
}

// unhexed is unhex for constants, which are known to be right.
func unhexed(s string) []byte {
	b, err := hex.DecodeString(unspaced.Replace(s))
	if err != nil {
		panic(err)
	}
	return b
}
