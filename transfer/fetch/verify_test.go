package fetch

import (
	"bytes"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
)

// A chunk that the disk cannot read differs. A disk that is gone is not a wrong
// file.
func TestVerifyReadError(t *testing.T) {
	data := file(5*chunk, 1)
	values, _ := hashes(data)
	var done atomic.Int64
	var holes unreadable
	bad, err := mismatches(t.Context(), unreadableAt(data, mediaError, func(c int64) bool { return c == 2 || c == 3 }), 5*chunk, values, &done, &holes)
	if err != nil || len(bad) != 2 || bad[0].Chunk != 2 || !bad[0].Unreadable || bad[1].Chunk != 3 || !bad[1].Unreadable {
		t.Errorf("bad = %+v, error %v, want chunks 2 and 3 unreadable", bad, err)
	}
	if len(holes.chunks) != 2 || !errors.Is(holes.err, mediaError) {
		t.Errorf("%v cannot be read, for %v, want two chunks, and the disk's error", holes.chunks, holes.err)
	}
	other := unreadableAt(data, syscall.ESTALE, func(c int64) bool { return c == 2 })
	if _, err := mismatches(t.Context(), other, 5*chunk, values, &done, new(unreadable)); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("error = %v, want that of the file system", err)
	}
	short := brokenFile{readAt: bytes.NewReader(data[:3*chunk+1]).ReadAt}
	bad, err = mismatches(t.Context(), short, 5*chunk, values, &done, new(unreadable))
	if err != nil || len(bad) != 2 || bad[0].Chunk != 3 || bad[1].Chunk != 4 || bad[0].Unreadable {
		t.Errorf("bad = %+v, error %v, want the last two chunks", bad, err)
	}
}

func TestVerifyDiskIsGone(t *testing.T) {
	const chunks = 2*mostUnreadable + 8
	data := file(chunks*chunk, 1)
	values, _ := hashes(data)
	var done atomic.Int64
	gone := unreadableAt(data, mediaError, func(c int64) bool { return c > 4 })
	if _, err := mismatches(t.Context(), gone, chunks*chunk, values, &done, new(unreadable)); !errors.Is(err, mediaError) {
		t.Errorf("error = %v, want that of the disk", err)
	}
	scratched := unreadableAt(data, mediaError, func(c int64) bool { return c%8 == 1 })
	bad, err := mismatches(t.Context(), scratched, chunks*chunk, values, &done, new(unreadable))
	if err != nil || len(bad) != chunks/8 {
		t.Errorf("%d chunks are bad, error %v, want %d", len(bad), err, chunks/8)
	}
}
