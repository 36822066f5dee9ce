package fetch

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"malcolm/transfer/content"
	"malcolm/transfer/partfile"
)

// What is written ahead is in memory until it is moved, and then in the other
// store, whatever had come of a chunk by then.
func TestAheadStore(t *testing.T) {
	data := file(5*chunk, 1)
	to := newStreamWindow(content.OfOne(content.File{Size: int64(len(data))}), 5)
	s := newAheadStore()
	claim := func(c int) chunkClaim {
		got, ok := s.Claim(c)
		if !ok {
			t.Fatalf("chunk %d has an owner", c)
		}
		return got
	}
	write := func(c chunkClaim, chunkAt, from, n int) {
		p := data[chunkAt*chunk+from:][:n]
		if err := c.WriteAt(p, int64(from)); err != nil {
			t.Fatal(err)
		}
	}
	whole, begun, given, empty := claim(0), claim(1), claim(2), claim(3)
	write(whole, 0, 0, 100)
	write(whole, 0, 100, chunk-100)
	if err := whole.Mark([16]byte{1}); err != nil {
		t.Fatal(err)
	}
	write(begun, 1, 0, 100)
	write(given, 2, 0, 100)
	given.Release()
	if err := given.WriteAt(data, 0); err != partfile.ErrNotOwner {
		t.Errorf("a write of a chunk that was given up: %v", err)
	}
	if err := begun.WriteAt(data[:1], 101); err == nil {
		t.Error("a gap was written")
	}
	if _, ok := s.Claim(0); ok || s.Marked(0) {
		t.Error("a chunk in memory has two owners, or is there already")
	}
	if _, ok := s.TakeOver(1); ok {
		t.Error("a chunk in memory was taken over")
	}
	if err := s.moveTo(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	write(begun, 1, 100, chunk-100)
	write(empty, 3, 0, chunk)
	if err := errors.Join(begun.Mark([16]byte{2}), empty.Mark([16]byte{3})); err != nil {
		t.Fatal(err)
	}
	later := claim(4)
	write(later, 4, 0, chunk)
	if err := later.Mark([16]byte{4}); err != nil {
		t.Fatal(err)
	}
	for c, there := range []bool{true, true, false, true, true} {
		if s.Marked(c) != there || to.Marked(c) != there {
			t.Errorf("chunk %d is there: %t, want %t", c, to.Marked(c), there)
		}
		if there && !bytes.Equal(to.slots[c].buf, data[c*chunk:(c+1)*chunk]) {
			t.Errorf("chunk %d has other bytes", c)
		}
	}
	if _, ok := s.Claim(2); !ok {
		t.Error("a chunk that was given up has an owner")
	}
}

// A chunk that somebody else has cannot be moved.
func TestAheadStoreTaken(t *testing.T) {
	to := newStreamWindow(content.OfOne(content.File{Size: chunk}), 1)
	if _, ok := to.Claim(0); !ok {
		t.Fatal("no claim")
	}
	s := newAheadStore()
	s.Claim(0)
	if err := s.moveTo(context.Background(), to); err != errTaken {
		t.Errorf("error = %v, want %v", err, errTaken)
	}
}
