package partfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// cutOff commits by link and unlink, and stops before the call.
func cutOff(t *testing.T, fsys *testFS, call string) {
	t.Helper()
	f := filled(t, fsys, Options{Name: "x"}, "new")
	stop := errors.New("stop")
	linked := false
	fsys.before = func(op, _ string) error {
		switch {
		case op == "renamenoreplace":
			return errors.ErrUnsupported
		case op == "link":
			linked = true
		case linked && op == call:
			return stop
		}
		return nil
	}
	if _, err := f.Commit(); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	f.Close()
	fsys.before = nil
}

func TestFinishLeftover(t *testing.T) {
	for _, call := range []string{"syncdir", "remove", "remove journal"} {
		fsys := newTestFS(t)
		cutOff(t, fsys, call)
		found, err := Look(fsys, "x")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := found.Leftover, call != "remove journal"; got != want {
			t.Errorf("cut off at %s: found %+v, want a leftover: %t", call, found, want)
		}
		if got := found.PartState(Header{}); got != PartNone {
			t.Errorf("part state %d, want %d", got, PartNone)
		}
		fsys.forget()
		want := []string{"syncdir", "remove", "remove journal"}
		if call == "remove journal" {
			want = []string{"syncdir", "remove journal"}
		}
		for range 2 {
			if err := FinishLeftover(fsys, "x"); err != nil {
				t.Fatal(err)
			}
			if got := fsys.onlyCalls("syncdir", "remove", "remove journal", "write", "truncate"); !slices.Equal(got, want) {
				t.Errorf("cut off at %s: calls %q, want %q", call, got, want)
			}
			fsys.forget()
			want = []string{"syncdir"}
			fsys.wantNames(t, "x")
			fsys.want(t, "x", "new")
		}
	}
}

// A forced download of another version does not write into the finished file
// through its second name.
func TestLeftoverIsNotWrittenTo(t *testing.T) {
	for _, action := range []Action{Fetch, StartOver, Resume} {
		fsys := newTestFS(t)
		cutOff(t, fsys, "remove")
		f := filled(t, fsys, Options{Name: "x", Action: action, Replace: true}, "newer version")
		fsys.want(t, "x", "new")
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		fsys.want(t, "x", "newer version")
		fsys.wantNames(t, "x")
	}
}

func TestLeftoverOfARunThatIsStillAtIt(t *testing.T) {
	fsys := newTestFS(t)
	cutOff(t, fsys, "remove")
	h, err := fsys.FS.OpenWrite("x.part")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if locked, err := h.Lock(); !locked {
		t.Fatal(err)
	}
	e := wantReason(t, FinishLeftover(fsys, "x"), Locked)
	if e.Holder.PID != int64(os.Getpid()) {
		t.Errorf("holder %+v", e.Holder)
	}
	_, err = Open(context.Background(), fsys, Options{Name: "x", Size: 3, ChunkSize: testChunk, Action: StartOver})
	wantReason(t, err, Locked)
	fsys.wantNames(t, "x", "x.part", "x.part.journal")
}

// A file that is not a leftover of a commit stays: a separate part file, or one
// whose second name is another file's.
func TestWhatIsNoLeftover(t *testing.T) {
	fsys := newTestFS(t)
	fsys.put(t, "x", "new")
	fsys.put(t, "x.part", "other")
	fsys.put(t, "x.part.journal", "other")
	if err := FinishLeftover(fsys, "x"); err != nil {
		t.Fatal(err)
	}
	fsys.wantNames(t, "x", "x.part", "x.part.journal")
	os.Remove(filepath.Join(fsys.path, "x.part"))
	if err := os.Link(filepath.Join(fsys.path, "x"), filepath.Join(fsys.path, "y")); err != nil {
		t.Skip(err)
	}
	os.Link(filepath.Join(fsys.path, "x"), filepath.Join(fsys.path, "x.part"))
	if err := FinishLeftover(fsys, "x"); err != nil {
		t.Fatal(err)
	}
	fsys.wantNames(t, "x", "x.part", "x.part.journal", "y")
	_, err := Open(context.Background(), fsys, Options{Name: "x", Size: 3, ChunkSize: testChunk, Action: StartOver})
	wantReason(t, err, NotRegular)
	fsys.want(t, "x", "new")
}

// The journal of a run that began after our rename is not removed.
func TestJournalOfTheNextRunStays(t *testing.T) {
	fsys := newTestFS(t)
	f := filled(t, fsys, Options{Name: "x"}, "new")
	fsys.before = func(op, _ string) error {
		if op == "syncdir" {
			os.Rename(filepath.Join(fsys.path, "x.part.journal"), filepath.Join(fsys.path, "old"))
			fsys.put(t, "x.part.journal", "theirs")
		}
		return nil
	}
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	fsys.want(t, "x.part.journal", "theirs")
}

// A run that begins when the file has just got its name makes a journal of its
// own. A run that is about to remove the old journal finds that run's part
// file, and leaves the journal alone, even if it looked at the journal before.
func TestJournalOfARunThatBegins(t *testing.T) {
	begin := func(t *testing.T, fsys *testFS) {
		os.Remove(filepath.Join(fsys.path, "x.part.journal"))
		fsys.put(t, "x.part", "their part")
		fsys.put(t, "x.part.journal", "theirs")
	}
	for name, end := range map[string]func(*testFS, *File) error{
		"commit":   func(_ *testFS, f *File) error { _, err := f.Commit(); return err },
		"leftover": func(fsys *testFS, _ *File) error { return FinishLeftover(fsys, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			fsys := newTestFS(t)
			f := filled(t, fsys, Options{Name: "x"}, "new")
			if name == "leftover" {
				cutOffBeforeTheJournal(t, fsys, f)
			}
			looks := 0
			fsys.before = func(op, name string) error {
				// The last look before the journal goes is at
				// the part file.
				if op == "lstat" && strings.HasSuffix(name, PartSuffix) {
					if final, err := os.Lstat(filepath.Join(fsys.path, "x")); err == nil && final.Size() == 3 {
						if looks++; looks == 1 && f.committed || looks == 2 {
							begin(t, fsys)
						}
					}
				}
				return nil
			}
			if err := end(fsys, f); err != nil {
				t.Fatal(err)
			}
			fsys.before = nil
			fsys.want(t, "x.part.journal", "theirs")
			fsys.want(t, "x.part", "their part")
		})
	}
}

// cutOffBeforeTheJournal commits, and stops before the journal is removed.
func cutOffBeforeTheJournal(t *testing.T, fsys *testFS, f *File) {
	t.Helper()
	stop := errors.New("stop")
	fsys.before = func(op, _ string) error {
		if op == "remove journal" {
			return stop
		}
		return nil
	}
	if _, err := f.Commit(); !errors.Is(err, stop) {
		t.Fatal(err)
	}
}

// A file that has its name is finished, whatever becomes of the journal.
func TestJournalThatCannotBeRemoved(t *testing.T) {
	fsys := newTestFS(t)
	f := filled(t, fsys, Options{Name: "x"}, "new")
	fsys.before = func(op, _ string) error {
		if op == "remove journal" {
			return syscall.EIO
		}
		return nil
	}
	path, err := f.Commit()
	if e := wantReason(t, err, System); path == "" || !strings.HasSuffix(e.Name, "x.part.journal") {
		t.Errorf("path %q, error %v", path, err)
	}
	fsys.want(t, "x", "new")
}

// A journal that exists and cannot be read now is an error. If it is lost, the
// chunks are checked instead.
func TestUnreadableJournal(t *testing.T) {
	for _, c := range []struct {
		op   string
		err  error
		lost bool
	}{
		{"openwrite journal", syscall.EIO, true}, {"openwrite journal", syscall.EACCES, true},
		{"openwrite journal", syscall.EMFILE, false}, {"stat journal", syscall.EIO, false},
		{"read journal", syscall.EIO, true}, {"lstat journal", syscall.EIO, false},
	} {
		fsys := newTestFS(t)
		fsys.put(t, "x.part", string(rightBytes(testHeader.Size)))
		fsys.put(t, "x.part.journal", string(testJournal(1)))
		failed := false
		fsys.before = func(op, _ string) error {
			if op == c.op && !failed {
				failed = true
				return c.err
			}
			return nil
		}
		f, err := Open(context.Background(), fsys, testOptions(Resume))
		if !c.lost {
			if wantReason(t, err, System); !errors.Is(err, c.err) {
				t.Errorf("%s: error %v, want %v", c.op, err, c.err)
			}
			fsys.want(t, "x.part.journal", string(testJournal(1)))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.UsableJournal() || f.Claimed(1) {
			t.Errorf("%s: usable %t, claimed %t", c.op, f.UsableJournal(), f.Claimed(1))
		}
		f.Close()
	}
	// The second read, of the records, when some claims have been read.
	fsys := newTestFS(t)
	many := testJournal(slices.Repeat([]int{1}, 5000)...)
	fsys.put(t, "x.part", string(rightBytes(testHeader.Size)))
	fsys.put(t, "x.part.journal", string(many))
	reads := 0
	fsys.before = func(op, _ string) error {
		if op == "read journal" {
			if reads++; reads == 3 {
				return syscall.EIO
			}
		}
		return nil
	}
	f := openTest(t, fsys, testOptions(Resume))
	if f.UsableJournal() || f.Claimed(1) || reads < 3 {
		t.Errorf("usable %t, claimed %t after %d reads", f.UsableJournal(), f.Claimed(1), reads)
	}
}
