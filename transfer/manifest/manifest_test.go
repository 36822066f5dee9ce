package manifest

import (
	"fmt"
	"strings"
	"testing"

	"malcolm/wire"
)

func TestChunkSize(t *testing.T) {
	for _, c := range []struct {
		size, chunkSize int64
		count           int
	}{
		{0, 256 << 10, 0},
		{1, 256 << 10, 1},
		{256<<10 - 1, 256 << 10, 1},
		{256 << 10, 256 << 10, 1},
		{256<<10 + 1, 256 << 10, 2},
		{512 << 10, 256 << 10, 2},
		{512 << 20, 256 << 10, 2048},
		{512<<20 + 1, 256 << 10, 2049},
		{1<<30 - 1, 256 << 10, 4096},
		{1 << 30, 256 << 10, 4096},
		{1<<30 + 1, 512 << 10, 2049},
		{2 << 30, 512 << 10, 4096},
		{2<<30 + 1, 1 << 20, 2049},
		{3 << 30, 1 << 20, 3072},
		{32 << 30, 8 << 20, 4096},
		{32<<30 + 1, 16 << 20, 2049},
		{64 << 30, 16 << 20, 4096},
		{64<<30 + 1, 16 << 20, 4097},
		{16<<40 - 1, 16 << 20, 1 << 20},
		{16 << 40, 16 << 20, 1 << 20},
	} {
		if got := ChunkSize(c.size); got != c.chunkSize {
			t.Errorf("ChunkSize(%d) = %d, want %d", c.size, got, c.chunkSize)
		}
		if got := Count(c.size); got != c.count {
			t.Errorf("Count(%d) = %d, want %d", c.size, got, c.count)
		}
	}
}

func TestSpan(t *testing.T) {
	for _, c := range []struct {
		size           int64
		chunk          int
		offset, length int64
	}{
		{1, 0, 0, 1},
		{256 << 10, 0, 0, 256 << 10},
		{256<<10 + 1, 0, 0, 256 << 10},
		{256<<10 + 1, 1, 256 << 10, 1},
		{1<<30 + 1, 2047, 2047 * 512 << 10, 512 << 10},
		{1<<30 + 1, 2048, 1 << 30, 1},
		{16 << 40, 1<<20 - 1, 16<<40 - 16<<20, 16 << 20},
		{16<<40 - 1, 1<<20 - 1, 16<<40 - 16<<20, 16<<20 - 1},
	} {
		offset, length := Span(c.size, c.chunk)
		if offset != c.offset || length != c.length {
			t.Errorf("Span(%d, %d) = %d, %d, want %d, %d", c.size, c.chunk, offset, length, c.offset, c.length)
		}
	}
}

func TestArgumentsOutOfRange(t *testing.T) {
	for name, call := range map[string]func(){
		"ChunkSize(-1)":       func() { ChunkSize(-1) },
		"ChunkSize(over)":     func() { ChunkSize(wire.MaxFileSize + 1) },
		"Count(over)":         func() { Count(wire.MaxFileSize + 1) },
		"Span(empty file)":    func() { Span(0, 0) },
		"Span(-1)":            func() { Span(1, -1) },
		"Span(behind)":        func() { Span(256<<10, 1) },
		"Reset(behind)":       func() { new(Hasher).Reset(1, 1) },
		"Merge(-1)":           func() { Merge(-1, nil) },
		"Merge(over)":         func() { Merge(wire.MaxChunks+1, nil) },
		"Sum before Reset":    func() { new(Hasher).Sum() },
		"Sum with bytes left": func() { h := new(Hasher); h.Reset(2, 0); h.Write([]byte{1}); h.Sum() },
		"Sum after a second Reset": func() {
			h := new(Hasher)
			h.Reset(1, 0)
			h.Write([]byte{1})
			h.Sum()
			h.Reset(1, 0)
			h.Sum()
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "malcolm: internal error: ") {
					t.Errorf("panic = %q, want an internal error", got)
				}
			}()
			call()
		})
	}
}
