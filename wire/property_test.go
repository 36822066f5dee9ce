package wire

import (
	"bytes"
	"reflect"
	"testing"
	"time"

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

func drawRequest(t *rapid.T) Request {
	switch rapid.SampledFrom([]string{"hello", "manifest", "range", "recheck"}).Draw(t, "type") {
	case "hello":
		return Hello{
			Selector:       string(rapid.SliceOfN(rapid.Byte(), 0, MaxSelectorLen).Draw(t, "selector")),
			InlineManifest: rapid.Bool().Draw(t, "inline"),
			Proof:          drawProof(t),
		}
	case "manifest":
		return ManifestRequest{Checksum: drawHash(t, "checksum")}
	case "recheck":
		return RecheckRequest{Checksum: drawHash(t, "checksum"), Chunk: rapid.IntRange(0, MaxChunks-1).Draw(t, "chunk")}
	}
	offset := rapid.Int64Range(0, MaxFileSize-1).Draw(t, "offset")
	return RangeRequest{
		Checksum: drawHash(t, "checksum"),
		Offset:   offset,
		Length:   rapid.Int64Range(1, MaxFileSize-offset).Draw(t, "length"),
	}
}

func drawOffer(t *rapid.T) Offer {
	seconds := rapid.Int64Range(minSeconds, maxSeconds).Draw(t, "seconds")
	nanos := rapid.Int64Range(0, maxNanos).Draw(t, "nanoseconds")
	return Offer{
		Size:      rapid.Int64Range(0, MaxFileSize).Draw(t, "size"),
		ModTime:   time.Unix(seconds, nanos).UTC(),
		Checksum:  drawHash(t, "checksum"),
		Name:      rapid.StringN(-1, -1, MaxNameLen).Draw(t, "name"),
		Proof:     drawProof(t),
		ValuesLen: rapid.IntRange(0, MaxInlineValues).Draw(t, "values"),
	}
}

func drawValues(t *rapid.T) Values {
	v := NewValues(rapid.IntRange(0, 5).Draw(t, "chunks"))
	for i := range v.Len() {
		v.Set(i, drawHash(t, "value"))
	}
	return v
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

func whole(r *bytes.Reader, s Status) Header { return Header{Status: s, Length: uint64(r.Len())} }

func TestRequestsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRequest(t)
		survives(t, want,
			func(b []byte) []byte { return AppendRequest(b, want) },
			func(r *bytes.Reader) (Request, error) { return ReadRequest(r) })
	})
}

func TestHeadersSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Header{
			Status: Status(rapid.Uint64Range(0, 1<<62-1).Draw(t, "status")),
			Length: rapid.Uint64Range(0, 1<<62-1).Draw(t, "length"),
		}
		survives(t, want, want.Append, func(r *bytes.Reader) (Header, error) { return ReadHeader(r) })
	})
}

func TestRefusalsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Refusal{
			Status: Status(rapid.Uint64Range(2, 1<<62-1).Draw(t, "status")),
			Text:   string(rapid.SliceOfN(rapid.Byte(), 0, MaxTextLen).Draw(t, "text")),
		}
		survives(t, want,
			func(b []byte) []byte { return AppendRefusal(b, want.Status, want.Text) },
			func(r *bytes.Reader) (Refusal, error) { return readRefusalFrame(r) })
	})
}

func TestIndexingSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(0, MaxFileSize).Draw(t, "total")
		want := Indexing{Done: rapid.Int64Range(0, total).Draw(t, "done"), Total: total}
		survives(t, want, want.Append,
			func(r *bytes.Reader) (Indexing, error) { return ReadIndexing(r, whole(r, StatusIndexing)) })
	})
}

func TestOffersSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawOffer(t)
		survives(t, want, want.Append,
			func(r *bytes.Reader) (Offer, error) { return ReadOffer(r, whole(r, StatusOK)) })
	})
}

func TestValuesSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawValues(t)
		survives(t, want, want.Append,
			func(r *bytes.Reader) (Values, error) { return ReadValues(r, whole(r, StatusOK), r.Len()) })
	})
}
