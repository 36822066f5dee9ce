package wire

import (
	"bytes"
	"testing"
	"time"
)

func benchmarkRequests() map[string]Request {
	return map[string]Request{
		"hello": Hello{Selector: "data.mp4", InlineManifest: true, Proof: ptr(filled(0))},
		"range": RangeRequest{Checksum: filled(0), Offset: 1 << 40, Length: 64 << 20},
	}
}

func benchmarkOffer() Offer {
	return Offer{
		Size: 2 << 30, ModTime: time.Unix(1_700_000_000, 123_456_789).UTC(),
		Checksum: filled(0),
		Name:     "data.mp4", Proof: ptr(filled(0x80)), ValuesLen: 64,
	}
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
