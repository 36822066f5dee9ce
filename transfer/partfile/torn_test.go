package partfile

import (
	"context"
	"testing"
)

// The power fails while several records are appended, and again in the next
// run, which does not use the lost ones. None of them comes back to claim what
// that run has written.
func TestCrashAfterTornAppend(t *testing.T) {
	torn := 0
	for seed := range uint64(600) {
		d := newDownload(seed, 4*crashChunk, func(d *download) { d.liars = true })
		d.fs.Sector = recordLen
		d.fs.CrashAt = 1
		d.fs.Counts = func(op, name string) bool { return op == "datasync" && name == "x"+JournalSuffix }
		f, err := Open(context.Background(), d.fs, d.options(Fetch))
		if err != nil {
			t.Fatal(err)
		}
		for chunk := range f.Chunks() {
			if err := d.fetch(f, chunk); err != nil {
				t.Fatal(err)
			}
		}
		f.Sync()
		d.fs.Crash()
		if f, err = Open(context.Background(), d.fs, d.options(Resume)); err != nil {
			t.Fatal(err)
		}
		if f.journal.torn {
			torn++
		}
		for chunk := range f.Chunks() {
			claim, _ := f.Claim(chunk)
			if f.Claimed(chunk) {
				continue
			}
			if err := claim.WriteAt([]byte{garbage}, 0); err != nil {
				t.Fatal(err)
			}
		}
		d.fs.Crash()
		if err := d.inspect(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if torn < 100 {
		t.Errorf("only %d journals were torn", torn)
	}
}
