package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"malcolm/transfer/localfile"
)

func TestSameBytes(t *testing.T) {
	long := strings.Repeat("malcolm", 400_000) // more than two buffers
	other := long[:len(long)-1] + "x"
	tests := []struct {
		name string
		a, b io.Reader
		want bool
	}{
		{"nothing", strings.NewReader(""), strings.NewReader(""), true},
		{"one byte and nothing", strings.NewReader("a"), strings.NewReader(""), false},
		{"nothing and one byte", strings.NewReader(""), strings.NewReader("a"), false},
		{"equal", strings.NewReader(long), strings.NewReader(long), true},
		{"a whole buffer", strings.NewReader(long[:1<<20]), strings.NewReader(long[:1<<20]), true},
		{"a buffer and more", strings.NewReader(long[:1<<20]), strings.NewReader(long[:1<<20+1]), false},
		{"the last byte", strings.NewReader(long), strings.NewReader(other), false},
		{"cut", strings.NewReader(long), strings.NewReader(long[:len(long)-1]), false},
		{"read in other pieces", iotest.HalfReader(strings.NewReader(long)), iotest.DataErrReader(strings.NewReader(long)), true},
	}
	for _, test := range tests {
		if got, err := sameBytes(test.a, test.b); err != nil || got != test.want {
			t.Errorf("%s: got %v and %v, want %v", test.name, got, err, test.want)
		}
	}
}

// TestSameBytesFails: a file that cannot be read is neither equal nor
// different.
func TestSameBytesFails(t *testing.T) {
	broken := errors.New("broken")
	for _, readers := range [][2]io.Reader{
		{iotest.ErrReader(broken), strings.NewReader("")},
		{strings.NewReader(""), iotest.ErrReader(broken)},
		{iotest.ErrReader(broken), iotest.ErrReader(broken)},
		{io.MultiReader(strings.NewReader("a"), iotest.ErrReader(broken)), strings.NewReader("a")},
	} {
		if got, err := sameBytes(readers[0], readers[1]); got || !errors.Is(err, broken) {
			t.Errorf("got %v and %v, want the error", got, err)
		}
	}
}

// TestBitFlipper: one bit of every 1,000,000th byte, however the file is read.
func TestBitFlipper(t *testing.T) {
	data := bytes.Repeat([]byte("malcolm."), 300_000)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(data)
	for _, i := range []int{0, 1_000_000, 2_000_000} {
		want[i] ^= 1
	}
	f, err := bitFlipper{localfile.Named(path)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1, 999_999, 1_000_000, 1_000_001, len(data)} {
		for _, off := range []int{0, 1, 999_999, 1_000_000, 1_000_001, 2_000_000, len(data) - 1} {
			p := make([]byte, size)
			n, err := f.ReadAt(p, int64(off))
			if err != nil && err != io.EOF || n != min(size, len(data)-off) {
				t.Fatalf("%d bytes at %d: got %d and %v", size, off, n, err)
			}
			if !bytes.Equal(p[:n], want[off:off+n]) {
				t.Errorf("%d bytes at %d: wrong bytes", size, off)
			}
		}
	}
}
