package fetch

import (
	"errors"
	"os"
	"testing"

	"malcolm/transfer/content"
	"malcolm/transfer/partfile"
	"malcolm/transfer/schedule"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// openPart returns a new part file, which the test's end closes.
func openPart(t *testing.T, size int64) *partfile.File {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	part, err := partfile.Open(t.Context(), partfile.Dir(root), partfile.Options{Name: "data.bin", Size: size, ChunkSize: chunk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { part.Close() })
	return part
}

// The xxh3-128 of a chunk is computed for a journal, and not for a stream.
func TestXXH3IsForTheJournal(t *testing.T) {
	t.Parallel()
	const size = 2 * chunk
	for _, test := range []struct {
		name  string
		store chunkStore
		want  bool
	}{
		{"part file", partStore{openPart(t, size)}, true},
		{"stream", newStreamWindow(content.OfOne(content.File{Size: size}), 2), false},
	} {
		f := &rangeRun{job: &job{store: test.store, content: content.OfOne(content.File{Size: size})}}
		c, err := f.beginChunk(0)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.hasher.XXH3; got != test.want {
			t.Errorf("%s: the xxh3 is computed: %t, want %t", test.name, got, test.want)
		}
		c.claim.Release()
	}
}

// What was received of a chunk that another server has finished is counted as
// wasted.
func TestRestOfAGoodChunk(t *testing.T) {
	data := file(2*chunk, 1)
	part := openPart(t, int64(len(data)))
	s := Open(t.Context(), Servers{}, Watch{})
	defer s.Close()
	d := s.download
	d.job = &job{store: partStore{part}}
	for c, marked := range []bool{true, false} {
		first, _ := part.Claim(c)
		if err := first.WriteAt(data[:100], 0); err != nil {
			t.Fatal(err)
		}
		if marked {
			second, _ := part.TakeOver(c)
			if err := errors.Join(second.WriteAt(data[:chunk], 0), second.Mark([16]byte{})); err != nil {
				t.Fatal(err)
			}
		}
		f := &fetch{server: &server{state: StateServing}, rangeRun: &rangeRun{rest: &partial{chunk: c, at: 100, claim: first}}}
		d.keepPartial(f)
		if kept := d.partials[c] != nil; kept == marked {
			t.Errorf("chunk %d marked: %t, what there is of it kept: %t", c, marked, kept)
		}
	}
	if got := d.tally.Duplicate; got != 100 {
		t.Errorf("%d duplicate bytes, want those of the marked chunk", got)
	}
	if got := s.finish().Duplicate; got != 200 {
		t.Errorf("%d duplicate bytes at the end, want all of both", got)
	}
}

// A range is one request, with a span for each of its files.
func TestRangeIsOneRequest(t *testing.T) {
	files := make([]content.File, schedule.MaxFiles)
	for i := range files {
		files[i] = content.File{Size: int64(i + 1), Checksum: [32]byte{byte(i)}}
	}
	c, err := content.Of(files...)
	if err != nil {
		t.Fatal(err)
	}
	f := &rangeRun{job: &job{content: c}, Range: schedule.Range{Count: c.Chunks()}, resume: &partial{at: 0}}
	request := wire.RangesRequest{}
	for i, s := range f.spans() {
		if s.Checksum != files[i].Checksum || s.Offset != 0 || s.Length != files[i].Size {
			t.Errorf("span %d is %+v", i, s)
		}
		request.Spans = append(request.Spans, wire.Span{Checksum: s.Checksum, Offset: s.Offset, Length: s.Length})
	}
	if n := len(request.Spans); n != schedule.MaxFiles || n > wire.MaxSpans {
		t.Errorf("%d spans", n)
	}
	f.First, f.Count, f.resume = 1, 1, &partial{at: 1}
	want := source.Span{Checksum: [32]byte{1}, Offset: 1, Length: 1}
	if got := f.spans(); len(got) != 1 || got[0] != want {
		t.Errorf("what is left of a chunk is %+v, want %+v", got, want)
	}
}
