package manifest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// recordsOf yields the sums of data's chunks, the last one first.
func recordsOf(data []byte) (records Records, chunks int) {
	sums := naiveSums(data, MinChunkSize)
	return func(yield func(int, [16]byte) bool) error {
		for c := len(sums) - 1; c >= 0; c-- {
			if !yield(c, sums[c].xxh) {
				return nil
			}
		}
		return nil
	}, len(sums)
}

func TestReread(t *testing.T) {
	data := make([]byte, 5*MinChunkSize+77)
	rand.NewChaCha8([32]byte{1}).Read(data)
	records, chunks := recordsOf(data)
	tests := []struct {
		name  string
		spoil func([]byte) []byte
		bad   []int
	}{
		{"good", func(b []byte) []byte { return b }, nil},
		{"first byte", func(b []byte) []byte { b[0] ^= 1; return b }, []int{0}},
		{"both sides of a border", func(b []byte) []byte {
			b[MinChunkSize-1] ^= 1
			b[MinChunkSize] ^= 1
			return b
		}, []int{0, 1}},
		{"last byte", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, []int{5}},
		{"cut", func(b []byte) []byte { return b[:4*MinChunkSize+1] }, []int{4, 5}},
		{"empty", func(b []byte) []byte { return nil }, []int{0, 1, 2, 3, 4, 5}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := test.spoil(bytes.Clone(data))
			var mu sync.Mutex
			var done atomic.Int64
			got := make(map[int]bool)
			err := Reread(t.Context(), bytes.NewReader(src), int64(len(data)), records, 3, &done, func(chunk int, ok bool) {
				mu.Lock()
				defer mu.Unlock()
				if _, twice := got[chunk]; twice {
					t.Errorf("chunk %d reported twice", chunk)
				}
				got[chunk] = ok
			})
			if err != nil || len(got) != chunks {
				t.Fatalf("%d of %d chunks reported, %v", len(got), chunks, err)
			}
			for _, c := range test.bad {
				if got[c] {
					t.Errorf("chunk %d is called good", c)
				}
				delete(got, c)
			}
			for c, ok := range got {
				if !ok {
					t.Errorf("chunk %d is called bad", c)
				}
			}
			if test.bad == nil && done.Load() != int64(len(data)) {
				t.Errorf("%d bytes counted, want %d", done.Load(), len(data))
			}
		})
	}
}

// failingReader fails at every read.
type failingReader struct{ err error }

func (f failingReader) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestRereadErrors(t *testing.T) {
	data := make([]byte, 3*MinChunkSize)
	records, _ := recordsOf(data)
	report := func(chunk int, ok bool) { t.Errorf("chunk %d reported", chunk) }
	broken := errors.New("broken")
	if err := Reread(t.Context(), failingReader{broken}, int64(len(data)), records, 2, nil, report); !errors.Is(err, broken) {
		t.Errorf("failing source: got %v", err)
	}
	if err := Reread(t.Context(), failingReader{}, int64(len(data)), records, 2, nil, report); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("source without progress: got %v", err)
	}
	noRecords := func(func(int, [16]byte) bool) error { return broken }
	if err := Reread(t.Context(), bytes.NewReader(data), int64(len(data)), noRecords, 0, nil, report); !errors.Is(err, broken) {
		t.Errorf("failing records: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Reread(ctx, bytes.NewReader(data), int64(len(data)), records, 0, nil, report); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func BenchmarkReread(b *testing.B) {
	data := make([]byte, 64<<20)
	records, _ := recordsOf(data)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Reread(b.Context(), bytes.NewReader(data), int64(len(data)), records, 0, nil, func(int, bool) {}); err != nil {
			b.Fatal(err)
		}
	}
}
