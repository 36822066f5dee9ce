package wire

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
	"pgregory.net/rapid"
)

// The generators make valid messages only, up to every limit.

func drawHash(t *rapid.T, label string) [32]byte {
	return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

func drawProof(t *rapid.T) *[32]byte {
	if !rapid.Bool().Draw(t, "with proof") {
		return nil
	}
	return ptr(drawHash(t, "proof"))
}

func drawTail(t *rapid.T) (tail Tail) {
	for range rapid.IntRange(0, maxTail).Draw(t, "types in the tail") {
		least := uint64(1)
		if len(tail) > 0 {
			least = tail[len(tail)-1].Type + 2
		}
		if least > quicvarint.Max {
			break
		}
		tail = append(tail, Extra{
			Type: rapid.Uint64Range(least, quicvarint.Max).Draw(t, "type") | 1,
			Data: rapid.SliceOfN(rapid.Byte(), 0, maxTailLen).Draw(t, "data"),
		})
	}
	return tail
}

func drawOpen(t *rapid.T) Open {
	o := Open{Proof: drawProof(t), Tail: drawTail(t)}
	copy(o.Run[:], rapid.SliceOfN(rapid.Byte(), runLen, runLen).Draw(t, "run"))
	if o.Proof != nil {
		copy(o.Key[:], rapid.SliceOfN(rapid.Byte(), keyLen, keyLen).Draw(t, "key"))
	}
	return o
}

func drawSpan(t *rapid.T) Span {
	offset := rapid.Int64Range(0, MaxFileSize-1).Draw(t, "offset")
	return Span{
		Checksum: drawHash(t, "checksum"),
		Offset:   offset,
		Length:   rapid.Int64Range(1, MaxFileSize-offset).Draw(t, "length"),
	}
}

func drawRequest(t *rapid.T) Request {
	switch rapid.SampledFrom([]string{"stat", "values", "ranges", "recheck", "path"}).Draw(t, "type") {
	case "stat":
		return StatRequest{
			Selector: string(rapid.SliceOfN(rapid.Byte(), 0, MaxSelectorLen).Draw(t, "selector")),
			Values:   rapid.Bool().Draw(t, "values"),
			Tail:     drawTail(t),
		}
	case "values":
		first := rapid.IntRange(0, MaxChunks-1).Draw(t, "first")
		return ValuesRequest{
			Checksum: drawHash(t, "checksum"),
			First:    first,
			Count:    rapid.IntRange(1, MaxChunks-first).Draw(t, "count"),
		}
	case "recheck":
		return RecheckRequest{Checksum: drawHash(t, "checksum"), Chunk: rapid.IntRange(0, MaxChunks-1).Draw(t, "chunk")}
	case "path":
		return PathRequest{}
	}
	return RangesRequest{Spans: rapid.SliceOfN(rapid.Custom(drawSpan), 1, 20).Draw(t, "spans")}
}

func drawRefusal(t *rapid.T) Refusal {
	return Refusal{
		Status: Status(rapid.Uint64Range(0, quicvarint.Max).Filter(func(s uint64) bool { return Status(s).refuses() }).Draw(t, "status")),
		Wait:   time.Duration(rapid.Int64Range(0, MaxWait).Draw(t, "wait")) * time.Millisecond,
		Text:   string(rapid.SliceOfN(rapid.Byte(), 0, MaxTextLen).Draw(t, "text")),
	}
}

func drawOpened(t *rapid.T) Opened {
	longest := rapid.Int64Range(LeastLongest, maxAnnounce).Draw(t, "longest")
	return Opened{
		Limits: Limits{
			Streams: rapid.IntRange(1, maxCount).Draw(t, "streams"),
			Flight:  rapid.Int64Range(longest, maxAnnounce).Draw(t, "flight"),
			Longest: longest,
			Wasted:  rapid.IntRange(0, maxCount).Draw(t, "wasted"),
		},
		Proof: drawProof(t),
		Tail:  drawTail(t),
	}
}

func drawTime(t *rapid.T) time.Time {
	seconds := rapid.Int64Range(minSeconds, maxSeconds).Draw(t, "seconds")
	return time.Unix(seconds, rapid.Int64Range(0, maxNanos).Draw(t, "nanoseconds")).UTC()
}

// drawOffer leaves out the tail where the offer could become too long.
func drawOffer(t *rapid.T) Offer {
	o := Offer{
		Size:      rapid.Int64Range(0, MaxFileSize).Draw(t, "size"),
		ModTime:   drawTime(t),
		Checksum:  drawHash(t, "checksum"),
		Name:      rapid.StringN(-1, -1, MaxNameLen).Draw(t, "name"),
		ValuesLen: ValueLen * rapid.IntRange(0, MaxInlineValues/ValueLen).Draw(t, "values"),
	}
	if rapid.Bool().Draw(t, "tree") {
		o.Kind, o.Times = KindTree, drawHash(t, "times")
		o.TimesSize = rapid.Int64Range(0, MaxTimesSize).Draw(t, "size of the times")
	}
	if tail := drawTail(t); len(o.Append(nil))+len(appendTail(nil, tail)) <= MaxOfferLen {
		o.Tail = tail
	}
	return o
}

// drawEntries makes a tree out of few names, so that paths and targets meet. An
// entry that breaks a rule is left out.
func drawEntries(t *rapid.T) []Entry {
	names := rapid.SampledFrom([]string{"a", "a!", "a\x01", "b", "..c", "\xff"})
	path := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(names, 1, 4).Draw(t, "parts"), "/")
	})
	paths := rapid.SliceOfNDistinct(path, 0, 12, rapid.ID[string]).Draw(t, "paths")
	slices.SortFunc(paths, func(a, b string) int {
		return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
	})
	entries := []Entry{}
	for _, p := range paths {
		e := Entry{Kind: EntryKind(rapid.IntRange(0, 3).Draw(t, "kind")), Path: p}
		switch {
		case e.IsFile():
			e.Size, e.Checksum = rapid.Int64Range(0, MaxFileSize).Draw(t, "size"), drawHash(t, "checksum")
		case e.Kind == EntryLink:
			e.Target = rapid.SampledFrom([]string{"", "../", "../../", "./"}).Draw(t, "up") + path.Draw(t, "target")
		}
		if more := append(slices.Clone(entries), e); naiveCheck(more) == "" {
			entries = more
		}
	}
	return entries
}

func drawPathReport(t *rapid.T) (p PathReport) {
	rtt := func(label string, least time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(least/time.Microsecond), int64(MaxRTT/time.Microsecond)).Draw(t, label)) * time.Microsecond
	}
	p.Sent = rapid.Uint64Range(0, MaxPackets).Draw(t, "sent")
	p.Lost = rapid.Uint64Range(0, p.Sent).Draw(t, "lost")
	p.Events = rapid.Uint64Range(0, p.Lost).Draw(t, "events")
	p.Ranks = rapid.Uint64Range(0, MaxRank*p.Events).Draw(t, "ranks")
	p.Window = rapid.Uint64Range(0, MaxWindow).Draw(t, "window")
	p.MinRTT, p.SmoothedRTT, p.LowRTT = rtt("least", 0), rtt("smoothed", 0), rtt("low", 0)
	p.HighRTT = rtt("high", p.LowRTT)
	return p
}

// survives appends a message behind a prefix and reads it back.
func survives[T any](t *rapid.T, want T, encode func(b []byte) []byte, decode func(r *bytes.Reader) (T, error)) {
	t.Helper()
	prefix := rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "prefix")
	b := encode(bytes.Clone(prefix))
	if !bytes.HasPrefix(b, prefix) {
		t.Fatalf("prefix %x was lost: %x", prefix, b)
	}
	r := bytes.NewReader(b[len(prefix):])
	got, err := decode(r)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
	if r.Len() != 0 {
		t.Fatalf("%d bytes were not read", r.Len())
	}
}

func whole(r *bytes.Reader, s Status) Header { return Header{Status: s, Length: r.Len()} }

// memory reads what has no reader of a stream.
func memory[T any](parse func(b []byte) (T, error)) func(r *bytes.Reader) (T, error) {
	return func(r *bytes.Reader) (T, error) {
		b, _ := io.ReadAll(r)
		return parse(b)
	}
}

func TestOpenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawOpen(t)
		survives(t, want,
			func(b []byte) []byte { return AppendRequest(b, want) },
			func(r *bytes.Reader) (Open, error) { return ReadOpen(r) })
	})
}

func TestRequestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRequest(t)
		survives(t, want,
			func(b []byte) []byte { return AppendRequest(b, want) },
			func(r *bytes.Reader) (Request, error) { return ReadRequest(r) })
	})
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Header{
			Status: Status(rapid.Uint64Range(0, quicvarint.Max).Draw(t, "status")),
			Length: rapid.IntRange(0, MaxFrameLen).Draw(t, "length"),
		}
		survives(t, want, want.Append, func(r *bytes.Reader) (Header, error) { return ReadHeader(r) })
	})
}

func TestRefusalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRefusal(t)
		survives(t, want, want.Append, func(r *bytes.Reader) (Refusal, error) { return readRefusalFrame(r) })
		span := FailedSpan{Index: rapid.IntRange(0, MaxSpans-1).Draw(t, "index"), Refusal: want}
		survives(t, span, span.Append, func(r *bytes.Reader) (FailedSpan, error) { return readFailedSpanFrame(r) })
	})
}

func TestOpenedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawOpened(t)
		survives(t, want, want.Append,
			func(r *bytes.Reader) (Opened, error) { return ReadOpened(r, whole(r, StatusOK)) })
	})
}

func TestIndexingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(0, MaxFileSize).Draw(t, "total")
		want := Indexing{Done: rapid.Int64Range(0, total).Draw(t, "done"), Total: total}
		survives(t, want, want.Append,
			func(r *bytes.Reader) (Indexing, error) { return ReadIndexing(r, whole(r, StatusIndexing)) })
	})
}

func TestPathReportRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawPathReport(t)
		survives(t, want, want.Append,
			func(r *bytes.Reader) (PathReport, error) { return ReadPathReport(r, whole(r, StatusOK)) })
	})
}

func TestOfferRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawOffer(t)
		survives(t, want, want.Append,
			func(r *bytes.Reader) (Offer, error) { return ReadOffer(r, whole(r, StatusOK)) })
	})
}

// TestValuesRoundTrip sends any part of the values of a file.
func TestValuesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := NewValues(rapid.IntRange(1, 9000).Draw(t, "values"))
		for i := range all.Len() {
			all.Set(i, filled(byte(i*7)))
		}
		first := rapid.IntRange(0, all.Len()-1).Draw(t, "first")
		count := rapid.IntRange(1, all.Len()-first).Draw(t, "count")
		want := Values{b: bytes.Clone(all.Bytes()[first*ValueLen : (first+count)*ValueLen])}
		survives(t, want,
			func(b []byte) []byte { return all.AppendFrames(b, first, count) },
			func(r *bytes.Reader) (Values, error) { return ReadValues(r, count) })
	})
}

func TestListingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEntries(t)
		survives(t, want, func(b []byte) []byte { return appended(b, want) }, memory(ParseListing))
	})
}

func TestTimesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(of string) []time.Time {
			return append([]time.Time{}, rapid.SliceOfN(rapid.Custom(drawTime), 0, 20).Draw(t, of)...)
		}
		want := Times{draw("times of entries"), draw("times of directories")}
		survives(t, want, want.Append, memory(func(b []byte) (Times, error) { return ParseTimes(b, len(want.Entries)) }))
	})
}

func TestValuesFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := ValuesFile{Offer: drawOffer(t)}
		want.Offer.ValuesLen, want.Offer.Tail = 0, nil
		if want.Offer.Kind == KindTree {
			want.Listing = appended(nil, drawEntries(t))
			want.Offer.Size = int64(len(want.Listing))
		}
		n := ValueLen * rapid.IntRange(0, 5).Draw(t, "values")
		want.Values = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes")
		survives(t, want, want.Append, memory(ParseValuesFile))
	})
}
