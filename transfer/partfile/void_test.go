package partfile

import (
	"errors"
	"runtime"
	"testing"

	"malcolm/transfer/partfile/crashfs"
)

// Two write into one chunk that the journal claims, the second while the first
// one's void is being recorded. The second asks for a void that is no longer
// needed. It must not be recorded later, when the chunk is good again.
func TestVoidIsNotRepeated(t *testing.T) {
	right := rightBytes(2 * testChunk)
	o := Options{Name: "x", Size: int64(len(right)), ChunkSize: testChunk, Action: Resume}
	d := newCrashFS(func(int) int { return 0 })
	f := openTest(t, d, o)
	if err := errors.Join(fetchMissing(f, right), f.Sync()); err != nil {
		t.Fatal(err)
	}
	f.Close()

	f = openTest(t, d, o)
	first, _ := f.Claim(0)
	var second *Claim
	written := make(chan error, 1)
	d.After = func(op crashfs.Operation) {
		if op.Op != "datasync" || op.Name != "x"+JournalSuffix || second != nil {
			return
		}
		second, _ = f.TakeOver(0)
		go func() { written <- second.WriteAt(chunkOf(right, 0), 0) }()
		for waits := 0; waits == 0; runtime.Gosched() {
			f.pending.mu.Lock()
			waits = len(f.pending.voids)
			f.pending.mu.Unlock()
		}
	}
	if err := first.WriteAt([]byte{garbage}, 0); !errors.Is(err, ErrNotOwner) {
		t.Fatalf("the first write: %v, want ErrNotOwner", err)
	}
	if err := errors.Join(<-written, second.Mark(xxhOf(chunkOf(right, 0))), f.Sync()); err != nil {
		t.Fatal(err)
	}
	other, _ := f.Claim(1)
	if err := other.WriteAt([]byte{garbage}, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()

	f = openTest(t, d, o)
	if got := [2]bool{f.Claimed(0), f.Claimed(1)}; got != [2]bool{true, false} {
		t.Errorf("claimed: %t, want the chunk that was written last to be void, and no other", got)
	}
}
