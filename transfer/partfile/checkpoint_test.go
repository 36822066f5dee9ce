package partfile

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// durableCalls are the calls whose order makes a run safe against a crash.
var durableCalls = []string{
	"create", "create journal", "lock", "write", "write journal", "truncate", "truncate journal", "allocate",
	"datasync", "datasync journal", "sync", "sync journal", "syncdir", "forget", "forget journal",
	"renamenoreplace", "rename", "link", "remove", "remove journal",
}

// put writes and marks a chunk.
func put(t *testing.T, f *File, chunk int, content []byte) {
	t.Helper()
	claim, ok := f.Claim(chunk)
	if !ok {
		t.Fatalf("chunk %d has an owner", chunk)
	}
	if err := claim.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := claim.Mark(xxhOf(content)); err != nil {
		t.Fatal(err)
	}
}

// recorded are the chunks that the journal on disk claims, in the order of
// their records.
func recorded(t *testing.T, fsys *testFS, h Header) (chunks []int) {
	t.Helper()
	file, err := os.Open(filepath.Join(fsys.path, "x.part.journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := newSealer(h)
	if _, err := scanRecords(file, &s, 1<<40, func(r record) bool {
		if r.kind == recordGood {
			chunks = append(chunks, int(r.chunk))
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return chunks
}

// Everything that reaches the disk, in its order: each sync is there for what
// follows it.
func TestCheckpointOrder(t *testing.T) {
	fsys := newTestFS(t)
	right := rightBytes(testHeader.Size)
	wantCalls := func(what string, want ...string) {
		t.Helper()
		if got := fsys.onlyCalls(durableCalls...); !slices.Equal(got, want) {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
		fsys.forget()
	}
	f := openTest(t, fsys, testOptions(Fetch))
	wantCalls("fetch", "create", "lock", "create journal", "write journal", "sync journal", "syncdir", "allocate", "truncate")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	wantCalls("sync of nothing")
	put(t, f, 1, chunkOf(right, 1))
	put(t, f, 3, chunkOf(right, 3))
	fsys.forget()
	for _, want := range [][]string{{"datasync", "write journal", "datasync journal"}, nil} {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		wantCalls("checkpoint", want...)
	}
	f.Close()
	fsys.forget()

	f = openTest(t, fsys, testOptions(Resume))
	wantCalls("resume", "lock", "sync journal", "forget journal", "write journal", "sync journal", "truncate", "allocate", "truncate")
	if !f.UsableJournal() || !f.Claimed(1) || !f.Claimed(3) || f.Claimed(0) {
		t.Fatal("the journal does not say what was recorded")
	}
	put(t, f, 1, chunkOf(right, 1))
	wantCalls("a claimed chunk", "write journal", "datasync journal", "write")
	if f.Claimed(1) {
		t.Error("still claimed")
	}
	put(t, f, 0, chunkOf(right, 0))
	wantCalls("a chunk that is not claimed", "write")
	f.Close()
	fsys.forget()

	spoilt, err := os.OpenFile(filepath.Join(fsys.path, "x.part.journal"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	spoilt.WriteString("torn")
	spoilt.Close()
	f = openTest(t, fsys, testOptions(Resume))
	wantCalls("resume with a torn end",
		"lock", "sync journal", "forget journal", "write journal", "truncate journal", "write journal", "sync journal", "sync", "forget", "truncate", "allocate", "truncate")
	f.Close()
	fsys.forget()

	os.Remove(filepath.Join(fsys.path, "x.part.journal"))
	f = openTest(t, fsys, testOptions(Resume))
	wantCalls("resume without a journal",
		"lock", "create journal", "write journal", "sync journal", "syncdir", "sync", "forget", "truncate", "allocate", "truncate")
	put(t, f, 0, chunkOf(right, 0))
	f.Close()
	fsys.forget()

	f = openTest(t, fsys, testOptions(StartOver))
	wantCalls("start over", "lock", "remove journal", "create journal", "write journal", "sync journal", "syncdir", "truncate", "allocate", "truncate")
	f.Close()
	wantCalls("unused", "remove journal", "remove")
}

// Chunks marked or written while a checkpoint syncs the part file are not in
// its records.
func TestMarksDuringACheckpoint(t *testing.T) {
	fsys := newTestFS(t)
	right := rightBytes(testHeader.Size)
	f := openTest(t, fsys, testOptions(Fetch))
	put(t, f, 2, chunkOf(right, 2))
	during := map[string]int{"datasync": 0, "write journal": 1, "datasync journal": 4}
	fsys.before = func(op, _ string) error {
		if chunk, ok := during[op]; ok {
			delete(during, op)
			put(t, f, chunk, chunkOf(right, chunk)) // hangs if a lock is held across the sync
		}
		return nil
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, want := recorded(t, fsys, testHeader), []int{2}; !slices.Equal(got, want) {
		t.Errorf("recorded %d, want %d", got, want)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, want := recorded(t, fsys, testHeader), []int{2, 0, 1, 4}; !slices.Equal(got, want) {
		t.Errorf("recorded %d, want %d", got, want)
	}
}

// After a checkpoint has failed, nothing is tried again, nothing is claimed,
// and there is no commit.
func TestCheckpointFailureIsFinal(t *testing.T) {
	for _, op := range []string{"datasync", "write journal", "datasync journal"} {
		t.Run(op, func(t *testing.T) {
			fsys := newTestFS(t)
			right := rightBytes(testHeader.Size)
			f := openTest(t, fsys, testOptions(Fetch))
			put(t, f, 0, chunkOf(right, 0))
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			for chunk := 1; chunk < f.Chunks(); chunk++ {
				put(t, f, chunk, chunkOf(right, chunk))
			}
			failed := 0
			fsys.before = func(got, _ string) error {
				if got == op {
					failed++
					return syscall.ENOSPC
				}
				return nil
			}
			first := f.Sync()
			if e := wantReason(t, first, System); !errors.Is(first, syscall.ENOSPC) || !IsDiskError(first) || e.Have == 0 {
				t.Errorf("error %#v, want that of a full disk, with what is free", e)
			}
			fsys.forget()
			for range 2 {
				if err := f.Sync(); err != first {
					t.Errorf("sync: %v, want the first error", err)
				}
				if _, err := f.Commit(); err != first {
					t.Errorf("commit: %v, want the first error", err)
				}
			}
			if got := fsys.onlyCalls(durableCalls...); len(got) != 0 || failed != 1 {
				t.Errorf("%d failures, then %q, want nothing tried again", failed, got)
			}
			f.Close()
			if op == "datasync journal" {
				return // the record may be there
			}
			if got, want := recorded(t, fsys, testHeader), []int{0}; !slices.Equal(got, want) {
				t.Errorf("recorded %d, want %d", got, want)
			}
		})
	}
}

// shortWriter is a handle on a disk that writes only half of the bytes.
type shortWriter struct{ Handle }

func (w shortWriter) WriteAt(p []byte, off int64) (int, error) {
	return w.Handle.WriteAt(p[:len(p)/2], off)
}

func TestShortAppend(t *testing.T) {
	fsys := newTestFS(t)
	f := openTest(t, fsys, testOptions(Fetch))
	put(t, f, 1, chunkOf(rightBytes(testHeader.Size), 1))
	f.journal.handle = shortWriter{f.journal.handle}
	if err := f.Sync(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v, want %v", err, io.ErrShortWrite)
	}
	f.Close()
	f = openTest(t, fsys, testOptions(Resume))
	if f.Claimed(1) || f.UsableJournal() {
		t.Errorf("claimed %t, usable %t", f.Claimed(1), f.UsableJournal())
	}
}

// After a short write to the journal, a resume, a checkpoint and a resume,
// everything recorded is claimed.
func TestTornAppend(t *testing.T) {
	right := rightBytes(testHeader.Size)
	for torn := range 2 * recordLen {
		fsys := newCrashFS(neverChoose)
		f, err := Open(context.Background(), fsys, testOptions(Fetch))
		if err != nil {
			t.Fatal(err)
		}
		put(t, f, 3, chunkOf(right, 3))
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		put(t, f, 1, chunkOf(right, 1))
		put(t, f, 4, chunkOf(right, 4))
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		fsys.Kill()
		whole := fsys.Content("x.part.journal")
		fsys.Put("x.part.journal", whole[:len(whole)-2*recordLen+torn])

		want := map[int]bool{3: true, 1: torn >= recordLen, 0: true}
		for _, chunk := range []int{0, 2} {
			f, err := Open(context.Background(), fsys, testOptions(Resume))
			if err != nil {
				t.Fatal(err)
			}
			if f.UsableJournal() != (torn%recordLen == 0) {
				t.Fatalf("torn at %d: usable %t", torn, f.UsableJournal())
			}
			if chunk == 2 {
				for chunk := range f.Chunks() {
					if got := f.Claimed(chunk); got != want[chunk] {
						t.Fatalf("torn at %d: chunk %d is claimed: %t, want %t", torn, chunk, got, want[chunk])
					}
				}
				f.SurveyDone()
			}
			put(t, f, chunk, chunkOf(right, chunk))
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			fsys.Kill()
		}
		f, err = Open(context.Background(), fsys, testOptions(Resume))
		if err != nil {
			t.Fatal(err)
		}
		if !f.UsableJournal() || !f.Claimed(2) {
			t.Fatalf("torn at %d: usable %t after the survey", torn, f.UsableJournal())
		}
	}
}

// Chunks without a record are unknown until a survey is done, even one that
// found nothing.
func TestSurveyDone(t *testing.T) {
	fsys := newTestFS(t)
	fsys.put(t, "x.part", "left")
	for run, want := range []bool{false, false, true} {
		f := openTest(t, fsys, testOptions(Resume))
		if got := f.UsableJournal(); got != want {
			t.Fatalf("run %d: usable %t, want %t", run, got, want)
		}
		if run == 0 {
			put(t, f, 0, []byte("01234567"))
		} else {
			f.SurveyDone()
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// Claims of an earlier run are taken back before the first byte is written. All
// who wait share one append.
func TestClaimsAreTakenBackBeforeTheWrite(t *testing.T) {
	fsys := newTestFS(t)
	right := rightBytes(testHeader.Size)
	f := openTest(t, fsys, testOptions(Fetch))
	if err := fill(f, string(right)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.Close()

	f = openTest(t, fsys, testOptions(Resume))
	claim, _ := f.Claim(0)
	broken := errors.New("broken")
	fsys.before = func(op, _ string) error {
		if op == "write journal" {
			return broken
		}
		return nil
	}
	fsys.forget()
	if err := claim.WriteAt([]byte("x"), 0); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	fsys.before = nil
	if err := claim.WriteAt([]byte("x"), 0); !errors.Is(err, broken) {
		t.Errorf("error %v, want the first one, %v", err, broken)
	}
	if got, want := fsys.onlyCalls(durableCalls...), []string{"write journal"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	f.Close()

	f = openTest(t, fsys, testOptions(Resume))
	claims := make([]*Claim, 3)
	for i := range claims {
		claims[i], _ = f.Claim(i)
		f.pending.addVoid(i) // as those who wait do
	}
	fsys.forget()
	for _, claim := range claims {
		if err := claim.WriteAt([]byte("!"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fsys.onlyCalls(durableCalls...), []string{"write journal", "datasync journal", "write", "write", "write"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	f.Close()
	f = openTest(t, fsys, testOptions(Resume))
	for chunk := range f.Chunks() {
		if got, want := f.Claimed(chunk), chunk > 2; got != want {
			t.Errorf("chunk %d is claimed: %t, want %t", chunk, got, want)
		}
	}
	yielded := map[int]bool{}
	if err := f.EachRecord(func(chunk int, xxh [16]byte) bool {
		yielded[chunk] = xxh == xxhOf(chunkOf(right, chunk))
		return len(yielded) < 1
	}); err != nil {
		t.Fatal(err)
	}
	if want := map[int]bool{3: true}; !maps.Equal(yielded, want) {
		t.Errorf("records %v, want %v", yielded, want)
	}
}

// If nobody calls Sync, Mark does, so that marks take no more memory.
func TestManyMarksAreACheckpoint(t *testing.T) {
	fsys := newTestFS(t)
	h := Header{Size: maxPending + 2, ChunkSize: 1}
	f := openTest(t, fsys, Options{Name: "x", Size: h.Size, ChunkSize: 1, SkipPreallocate: true})
	for chunk := range maxPending - 1 {
		f.MarkExisting(chunk, [16]byte{1})
	}
	fsys.forget()
	broken := errors.New("broken")
	fsys.before = func(op, _ string) error {
		if op == "datasync journal" {
			return broken
		}
		return nil
	}
	claim, _ := f.Claim(maxPending)
	if err := claim.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if err := claim.Mark([16]byte{1}); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, want := fsys.onlyCalls(durableCalls...), []string{"write", "datasync", "write journal", "datasync journal"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	if got := len(recorded(t, fsys, h)); got != maxPending {
		t.Errorf("%d recorded, want %d", got, maxPending)
	}
}

func TestSyncAfterTheEnd(t *testing.T) {
	fsys := newTestFS(t)
	f := filled(t, fsys, Options{Name: "x"}, "new")
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("after the commit: %v", err)
	}
	f.Close()
	wantReason(t, f.Sync(), Internal)
}

// After a failed fsync the cache shows bytes that are not on the disk. A run
// that finds them without a record does not trust them.
func TestCacheOfAFailedSync(t *testing.T) {
	fsys := newCrashFS(func(n int) int { return n - 1 }) // unsynced bytes are lost
	right := rightBytes(testHeader.Size)
	f, err := Open(context.Background(), fsys, testOptions(Fetch))
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(f, string(right)); err != nil {
		t.Fatal(err)
	}
	fsys.Fail = func(op, _ string) error {
		if op == "datasync" {
			return syscall.EIO
		}
		return nil
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("error %v, want %v", err, syscall.EIO)
	}
	fsys.Kill()
	if got := fsys.Content("x.part"); string(got[:len(right)]) != string(right) {
		t.Fatalf("the cache shows %q", got)
	}
	fsys.Remove("x.part.journal")
	f, err = Open(context.Background(), fsys, testOptions(Resume))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(right))
	if _, err := f.ReadAt(got, 0); err != nil || strings.Trim(string(got), "\x00") != "" {
		t.Errorf("reads %q, %v, want what is on the disk", got, err)
	}
}
