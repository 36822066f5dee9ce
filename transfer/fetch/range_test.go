package fetch

import (
	"errors"
	"os"
	"testing"

	"malcolm/transfer/partfile"
)

// What was received of a chunk that another server has finished is counted as
// wasted.
func TestRestOfAGoodChunk(t *testing.T) {
	data := file(2*chunk, 1)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	part, err := partfile.Open(t.Context(), partfile.Dir(root), partfile.Options{Name: "data.bin", Size: int64(len(data)), ChunkSize: chunk})
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
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
