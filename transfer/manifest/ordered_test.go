package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// One reading gives the SHA-256 and the same values as without it.
func TestBuildSHA256(t *testing.T) {
	data := pattern(21*readLen + 5)
	for _, chunkSize := range []int64{readLen, 2 * readLen, 8 * readLen, 64 * readLen} {
		for _, size := range []int64{0, 1, 1024, 16384, readLen - 1, readLen, readLen + 1, 2 * readLen, 7*readLen + 1, 8 * readLen, 16*readLen + 3, int64(len(data))} {
			want, checksum, err := build(t.Context(), bytes.NewReader(data[:size]), size, chunkSize, BuildOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, workers := range []int{0, 1, 3, 40} {
				var done, read atomic.Int64
				src := readerFunc(func(p []byte, at int64) (int, error) {
					read.Add(int64(len(p)))
					return copy(p, data[at:size]), nil
				})
				var sum [32]byte
				got, again, err := build(t.Context(), src, size, chunkSize, BuildOptions{Workers: workers, Done: &done, SHA256: &sum})
				if err != nil {
					t.Fatalf("size %d: %v", size, err)
				}
				if again != checksum || !bytes.Equal(got.Bytes(), want.Bytes()) {
					t.Errorf("size %d, chunks of %d: other values", size, chunkSize)
				}
				if sum != sha256.Sum256(data[:size]) {
					t.Errorf("size %d, %d workers: SHA-256 %x", size, workers, sum)
				}
				if done.Load() != size || read.Load() != size {
					t.Errorf("size %d: done %d, read %d", size, done.Load(), read.Load())
				}
			}
		}
	}
}

// An error of any worker ends all of them, also those that wait for their turn;
// the place for the sum is left alone.
func TestBuildSHA256Errors(t *testing.T) {
	broken := errors.New("the disk is broken")
	const size = 40 * readLen
	for _, workers := range []int{1, 2, 8} {
		for _, at := range []int64{0, 5, 39} {
			for what, c := range map[string]struct{ given, want error }{
				"broken": {broken, broken}, "short": {io.EOF, io.ErrUnexpectedEOF}, "stuck": {nil, io.ErrNoProgress}, "cancelled": {context.Canceled, context.Canceled},
			} {
				ctx, cancel := context.WithCancel(t.Context())
				src := readerFunc(func(p []byte, off int64) (int, error) {
					switch {
					case off != at*readLen:
						return len(p), nil
					case what == "cancelled":
						cancel()
					}
					return 1, c.given
				})
				sum := [32]byte{1}
				_, _, err := build(ctx, src, size, 4*readLen, BuildOptions{Workers: workers, SHA256: &sum})
				cancel()
				if !errors.Is(err, c.want) || sum != [32]byte{1} {
					t.Errorf("%s at piece %d, %d workers: %v, %x, want %v", what, at, workers, err, sum, c.want)
				}
			}
		}
	}
}

// The other workers read on while a SHA-256 waits for the first piece.
func TestBuildSHA256ReadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		all := make(chan struct{})
		src := readerFunc(func(p []byte, at int64) (int, error) {
			if reads.Add(1) == 3 {
				close(all)
			}
			<-all
			return len(p), nil
		})
		var sum [32]byte
		if _, _, err := Build(t.Context(), src, 5*MinChunkSize, BuildOptions{Workers: 3, SHA256: &sum}); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkBuildSHA256(b *testing.B) {
	const size = 128 << 20
	data := pattern(size)
	var sum [32]byte
	for _, workers := range []int{1, 0} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				if _, _, err := Build(b.Context(), bytes.NewReader(data), size, BuildOptions{Workers: workers, SHA256: &sum}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("sha256 alone", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			sum = sha256.Sum256(data)
		}
	})
}
