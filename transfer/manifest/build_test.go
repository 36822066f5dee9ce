package manifest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/zeebo/xxh3"

	"malcolm/wire"
)

// readerFunc is a source; at says where the read begins.
type readerFunc func(p []byte, at int64) (int, error)

func (f readerFunc) ReadAt(p []byte, at int64) (int, error) { return f(p, at) }

func TestBuild(t *testing.T) {
	data := pattern(goldenSums[len(goldenSums)-1].size)
	for _, g := range goldenSums {
		for _, workers := range []int{0, 1, 3} {
			var done atomic.Int64
			values, checksum, err := Build(t.Context(), bytes.NewReader(data[:g.size]), g.size, BuildOptions{Workers: workers, Done: &done})
			if err != nil {
				t.Fatalf("size %d: %v", g.size, err)
			}
			if got := hex.EncodeToString(checksum[:]); got != g.sum {
				t.Errorf("size %d: checksum %s, want %s", g.size, got, g.sum)
			}
			if got := done.Load(); got != g.size {
				t.Errorf("size %d: done %d", g.size, got)
			}
			if err := Check(values, g.size, checksum); err != nil {
				t.Errorf("size %d: %v", g.size, err)
			}
		}
	}
}

// TestBuildLargestChunks has chunks of many buffers, as files over 1 GiB do.
// Its source returns io.EOF with the last read, as an io.ReaderAt may.
func TestBuildLargestChunks(t *testing.T) {
	data := pattern(goldenLarge.size)
	var least, most atomic.Int64
	least.Store(1 << 62)
	src := readerFunc(func(p []byte, at int64) (int, error) {
		if at%readLen != 0 {
			t.Errorf("read at %d", at)
		}
		most.Store(max(most.Load(), int64(len(p))))
		n := copy(p, data[at:])
		if at+int64(n) == goldenLarge.size {
			return n, io.EOF
		}
		return n, nil
	})
	values, checksum, err := build(t.Context(), src, goldenLarge.size, MaxChunkSize, BuildOptions{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(checksum[:]); got != goldenLarge.sum {
		t.Errorf("checksum = %s, want %s", got, goldenLarge.sum)
	}
	if got := most.Load(); got < 128<<10 || got > 1<<20 {
		t.Errorf("the longest read has %d bytes, want 128 KiB to 1 MiB", got)
	}
	bad := bytes.Clone(data)
	bad[MaxChunkSize] ^= 1
	bad[3*MaxChunkSize-1] ^= 1
	want := []int{0, 3}
	got := matched(t, func(report func(int, bool, [16]byte)) error {
		return match(t.Context(), bytes.NewReader(bad), goldenLarge.size, MaxChunkSize, values, MatchOptions{}, report)
	}, 4)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("chunks that match: %v, want %v", got, want)
	}
}

func TestBuildShortSource(t *testing.T) {
	data := pattern(5 * MinChunkSize)
	for _, missing := range []int64{1, MinChunkSize - 1, MinChunkSize, 3 * MinChunkSize, 5 * MinChunkSize} {
		_, _, err := Build(t.Context(), bytes.NewReader(data[missing:]), int64(len(data)), BuildOptions{})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes missing: %v, want io.ErrUnexpectedEOF", missing, err)
		}
	}
}

func TestBuildSizeOutOfRange(t *testing.T) {
	for _, size := range []int64{-1, wire.MaxFileSize + 1} {
		if _, _, err := Build(t.Context(), bytes.NewReader(nil), size, BuildOptions{}); err == nil {
			t.Errorf("size %d: no error", size)
		}
	}
}

// TestSourceError checks that Build and Match return the source's own error,
// and do not take a source that breaks io.ReaderAt's rules for a short one.
func TestSourceError(t *testing.T) {
	data := pattern(4 * MinChunkSize)
	values, _, err := Build(t.Context(), bytes.NewReader(data), int64(len(data)), BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is broken")
	for _, c := range []struct {
		name string
		n    int
		err  error
		want error
	}{
		{"nothing", 0, broken, broken},
		{"a part", 100, broken, broken},
		{"all", MinChunkSize, broken, broken},
		{"unexpected EOF", 100, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		{"no error", 100, nil, io.ErrNoProgress},
	} {
		src := readerFunc(func(p []byte, at int64) (int, error) {
			if at == 2*MinChunkSize {
				return copy(p[:c.n], data[at:]), c.err
			}
			return copy(p, data[at:]), nil
		})
		for _, workers := range []int{1, 4} {
			if _, _, err := Build(t.Context(), src, int64(len(data)), BuildOptions{Workers: workers}); !errors.Is(err, c.want) {
				t.Errorf("%s, %d workers: Build = %v, want %v", c.name, workers, err, c.want)
			}
			err := Match(t.Context(), src, int64(len(data)), values, MatchOptions{Workers: workers}, func(chunk int, ok bool, _ [16]byte) {
				if chunk == 2 || !ok {
					t.Errorf("%s: chunk %d reported %v", c.name, chunk, ok)
				}
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s, %d workers: Match = %v, want %v", c.name, workers, err, c.want)
			}
		}
	}
}

// TestCancel cancels in the middle of a chunk of 16 buffers and allows no read
// after the current one.
func TestCancel(t *testing.T) {
	const chunkSize, size = 16 * readLen, 40 * readLen
	data := pattern(size)
	values, _, err := build(t.Context(), bytes.NewReader(data), size, chunkSize, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(ctx context.Context, src io.ReaderAt, done *atomic.Int64) error{
		"Build": func(ctx context.Context, src io.ReaderAt, done *atomic.Int64) error {
			_, _, err := build(ctx, src, size, chunkSize, BuildOptions{Workers: 1, Done: done})
			return err
		},
		"Match": func(ctx context.Context, src io.ReaderAt, done *atomic.Int64) error {
			return match(ctx, src, size, chunkSize, values, MatchOptions{Workers: 1, Done: done}, func(int, bool, [16]byte) {})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reads := 0
			var done atomic.Int64
			err := run(ctx, readerFunc(func(p []byte, at int64) (int, error) {
				if reads++; reads == 21 {
					cancel()
				}
				return copy(p, data[at:]), nil
			}), &done)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want context.Canceled", err)
			}
			if reads != 21 {
				t.Errorf("%d reads, want 21", reads)
			}
			if got := done.Load(); got != 21*readLen {
				t.Errorf("%d bytes done, want %d", got, 21*readLen)
			}
		})
	}
}

// TestWorkersReadAtOnce has a source that answers only when three reads are
// under way. With fewer workers the bubble would report a deadlock.
func TestWorkersReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := pattern(5 * MinChunkSize)
		var reads atomic.Int64
		all := make(chan struct{})
		src := readerFunc(func(p []byte, at int64) (int, error) {
			if reads.Add(1) == 3 {
				close(all)
			}
			<-all
			return copy(p, data[at:]), nil
		})
		if _, _, err := Build(t.Context(), src, int64(len(data)), BuildOptions{Workers: 3}); err != nil {
			t.Fatal(err)
		}
	})
}

// matched runs a Match of n chunks and returns the right chunks. It fails the
// test unless each chunk is reported once.
func matched(t *testing.T, run func(report func(chunk int, ok bool, xxh [16]byte)) error, n int) []int {
	t.Helper()
	var mu sync.Mutex
	reports := make([]int, n)
	right := make([]bool, n)
	if err := run(func(chunk int, ok bool, _ [16]byte) {
		mu.Lock()
		defer mu.Unlock()
		reports[chunk]++
		right[chunk] = ok
	}); err != nil {
		t.Fatalf("Match: %v", err)
	}
	var list []int
	for i := range n {
		if reports[i] != 1 {
			t.Errorf("chunk %d reported %d times", i, reports[i])
		}
		if right[i] {
			list = append(list, i)
		}
	}
	return list
}

func TestMatchFlippedBytes(t *testing.T) {
	const size = 3*MinChunkSize + 7
	data := pattern(size)
	values, _, err := Build(t.Context(), bytes.NewReader(data), size, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   int64 // the flipped byte, or -1
		want string
	}{
		{-1, "[0 1 2 3]"},
		{0, "[1 2 3]"},
		{MinChunkSize - 1, "[1 2 3]"},
		{MinChunkSize, "[0 2 3]"},
		{2*MinChunkSize - 1, "[0 2 3]"},
		{2 * MinChunkSize, "[0 1 3]"},
		{3*MinChunkSize - 1, "[0 1 3]"},
		{3 * MinChunkSize, "[0 1 2]"},
		{size - 1, "[0 1 2]"},
	} {
		if c.at >= 0 {
			data[c.at] ^= 0x80
		}
		var done atomic.Int64
		got := matched(t, func(report func(int, bool, [16]byte)) error {
			return Match(t.Context(), bytes.NewReader(data), size, values, MatchOptions{Done: &done}, report)
		}, values.Len())
		if fmt.Sprint(got) != c.want {
			t.Errorf("byte %d flipped: chunks that match %v, want %s", c.at, got, c.want)
		}
		if got := done.Load(); got != size {
			t.Errorf("%d bytes done, want %d", got, size)
		}
		if c.at >= 0 {
			data[c.at] ^= 0x80
		}
	}
}

func TestMatchSourceOfAnotherLength(t *testing.T) {
	const size = 3*MinChunkSize + 7
	data := pattern(size + 100)
	values, _, err := Build(t.Context(), bytes.NewReader(data), size, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		length int64
		want   string
	}{
		{size + 100, "[0 1 2 3]"},
		{size, "[0 1 2 3]"},
		{size - 1, "[0 1 2]"},
		{3 * MinChunkSize, "[0 1 2]"},
		{3*MinChunkSize - 1, "[0 1]"},
		{MinChunkSize + 1, "[0]"},
		{MinChunkSize, "[0]"},
		{1, "[]"},
		{0, "[]"},
	} {
		got := matched(t, func(report func(int, bool, [16]byte)) error {
			return Match(t.Context(), bytes.NewReader(data[:c.length]), size, values, MatchOptions{}, report)
		}, values.Len())
		if fmt.Sprint(got) != c.want {
			t.Errorf("%d bytes: chunks that match %v, want %s", c.length, got, c.want)
		}
	}
}

func TestMatchInOrderFromTheFront(t *testing.T) {
	data := pattern(5 * MinChunkSize)
	values, _, err := Build(t.Context(), bytes.NewReader(data), int64(len(data)), BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	err = Match(t.Context(), bytes.NewReader(data), int64(len(data)), values, MatchOptions{Workers: 1}, func(chunk int, ok bool, _ [16]byte) {
		if chunk != next || !ok {
			t.Errorf("report of chunk %d, %v; want %d, true", chunk, ok, next)
		}
		next++
	})
	if err != nil || next != 5 {
		t.Errorf("%d chunks reported, error %v", next, err)
	}
}

func TestMatchRefusesWrongNumber(t *testing.T) {
	for name, c := range map[string]struct {
		size int64
		n    int
	}{
		"chunk too many": {MinChunkSize, 2},
		"chunk missing":  {MinChunkSize + 1, 1},
		"negative size":  {-1, 0},
	} {
		var got *CheckError
		err := Match(t.Context(), bytes.NewReader(nil), c.size, wire.NewValues(c.n), MatchOptions{}, func(int, bool, [16]byte) { t.Error("reported") })
		if !errors.As(err, &got) {
			t.Errorf("%s: %v, want a *CheckError", name, err)
		}
	}
	if err := Match(t.Context(), bytes.NewReader(nil), 0, wire.Values{}, MatchOptions{}, nil); err != nil {
		t.Errorf("empty: %v", err)
	}
}

func BenchmarkBuild(b *testing.B) {
	const size = 128 << 20
	data := pattern(size)
	for _, workers := range []int{1, 0} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				if _, _, err := Build(b.Context(), bytes.NewReader(data), size, BuildOptions{Workers: workers}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestMatchSkips(t *testing.T) {
	for _, sums := range []bool{false, true} {
		matchSkips(t, sums)
	}
}

// matchSkips skips every second chunk, and wants sums of the others.
func matchSkips(t *testing.T, sums bool) {
	t.Helper()
	data := pattern(4*MinChunkSize + 1)
	values, _, err := Build(t.Context(), bytes.NewReader(data), int64(len(data)), BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	skip := func(chunk int) bool { return chunk%2 == 1 }
	var next int
	err = Match(t.Context(), bytes.NewReader(data), int64(len(data)), values, MatchOptions{Workers: 1, Skip: skip, XXH3: sums}, func(chunk int, ok bool, xxh [16]byte) {
		var want [16]byte
		if sums {
			offset, length := Span(int64(len(data)), chunk)
			want = xxh3.Hash128(data[offset:][:length]).Bytes()
		}
		if chunk != next || !ok || xxh != want {
			t.Errorf("chunk %d, %v, %x; want chunk %d with %x", chunk, ok, xxh, next, want)
		}
		next += 2
	})
	if err != nil || next != 6 {
		t.Errorf("ended at %d, %v; want 6", next, err)
	}
}
