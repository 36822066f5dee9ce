package wire

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"
)

func benchmarkRequests() map[string]Request {
	spans := make([]Span, MaxSpans)
	for i := range spans {
		spans[i] = Span{Checksum: filled(byte(i)), Offset: 1 << 40, Length: 64 << 10}
	}
	return map[string]Request{
		"stat":       StatRequest{Selector: "data.mp4", Values: true, Tail: tailValue},
		"ranges":     RangesRequest{spans[:1]},
		"ranges/256": RangesRequest{spans},
	}
}

func benchmarkOffer() Offer {
	return Offer{
		Size: 2 << 30, ModTime: time.Unix(1_700_000_000, 123_456_789).UTC(),
		Checksum: filled(0), Name: "data.mp4", ValuesLen: 64 << 10, Tail: tailValue,
	}
}

// benchmarkEntries is a tree of n files and links in directories of 100.
func benchmarkEntries(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{Path: fmt.Sprintf("data/%06d/part-%02d.bin", i/100, i%100), Size: 1 << 30, Checksum: filled(byte(i))}
		if i%10 == 9 {
			entries[i].Kind, entries[i].Target = EntryLink, "../000000/part-00.bin"
		}
	}
	return entries
}

func BenchmarkAppendRequest(b *testing.B) {
	for name, req := range benchmarkRequests() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = AppendRequest(buf[:0], req)
			}
		})
	}
}

func BenchmarkReadRequest(b *testing.B) {
	for name, req := range benchmarkRequests() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			sent := AppendRequest(nil, req)
			r := bytes.NewReader(nil)
			for b.Loop() {
				r.Reset(sent)
				if _, err := ReadRequest(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReadHeader is what each frame of ranges costs.
func BenchmarkReadHeader(b *testing.B) {
	b.ReportAllocs()
	sent := Header{Length: MaxFrameLen}.Append(nil)
	r := bytes.NewReader(nil)
	for b.Loop() {
		r.Reset(sent)
		if _, err := ReadHeader(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendOffer(b *testing.B) {
	b.ReportAllocs()
	o := benchmarkOffer()
	var buf []byte
	for b.Loop() {
		buf = o.Append(buf[:0])
	}
}

func BenchmarkParseOffer(b *testing.B) {
	b.ReportAllocs()
	sent := benchmarkOffer().Append(nil)
	for b.Loop() {
		if _, err := ParseOffer(sent); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadValues(b *testing.B) {
	b.ReportAllocs()
	sent := NewValues(MaxChunks).AppendFrames(nil, 0, MaxChunks)
	b.SetBytes(int64(len(sent)))
	r := bytes.NewReader(nil)
	for b.Loop() {
		r.Reset(sent)
		if _, err := ReadValues(io.Reader(r), MaxChunks); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListing(b *testing.B) {
	entries := benchmarkEntries(100_000)
	sent := appended(nil, entries)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(sent)))
		var buf []byte
		for b.Loop() {
			buf = appended(buf[:0], entries)
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(sent)))
		for b.Loop() {
			if _, err := ParseListing(sent); err != nil {
				b.Fatal(err)
			}
		}
	})
}
