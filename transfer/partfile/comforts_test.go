package partfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// note is an Options.Lacks that appends to list.
func note(list *[]Lack) func(Lack) { return func(l Lack) { *list = append(*list, l) } }

// A lackingFS is a real directory that lacks what denied says. Like some FUSE
// file systems it may give a file another identity at each look.
type lackingFS struct {
	*testFS
	denied   map[string]error // by operation
	unsteady bool             // each look at a name gives the file another identity
	looks    uint64
}

func newLackingFS(t *testing.T, denied map[string]error) *lackingFS {
	f := &lackingFS{testFS: newTestFS(t), denied: denied}
	f.before = func(op, _ string) error {
		op, _, _ = strings.Cut(op, " ")
		return f.denied[op]
	}
	return f
}

func (f *lackingFS) Lstat(name string) (Info, error) {
	info, err := f.testFS.Lstat(name)
	if f.unsteady && info.Kind == Regular {
		f.looks++
		info.ID.File += f.looks << 40
	}
	return info, err
}

// SetModTime makes it an FS that has times.
func (f *lackingFS) SetModTime(string, time.Time) error { return f.denied["times"] }

// Each missing comfort, and some real file systems. At the end the file is
// there and right, nothing else is, and the run was told what the table says.
func TestComforts(t *testing.T) {
	for _, c := range []struct {
		name     string
		denied   map[string]error
		unsteady bool
		sparse   bool
		want     []Comfort
	}{
		{name: "all there"},
		{name: "no flock, as Lustre", denied: map[string]error{"lock": syscall.ENOSYS}, want: []Comfort{Locks}},
		{name: "no lock daemon, as NFS", denied: map[string]error{"lock": syscall.ENOLCK}, want: []Comfort{Locks}},
		{name: "no locks", denied: map[string]error{"lock": syscall.EOPNOTSUPP}, want: []Comfort{Locks}},
		{name: "no rename flags", denied: map[string]error{"renamenoreplace": errors.ErrUnsupported}},
		{name: "no rename flags by a filter", denied: map[string]error{"renamenoreplace": syscall.EPERM}},
		{
			name:   "no rename flags, no links, as vboxsf",
			denied: map[string]error{"renamenoreplace": errors.ErrUnsupported, "link": syscall.EPERM}, want: []Comfort{ExclusiveNames},
		},
		{name: "no reservation", denied: map[string]error{"allocate": errors.ErrUnsupported}, sparse: true},
		{name: "a reservation that fails", denied: map[string]error{"allocate": syscall.EINVAL}, sparse: true},
		{name: "an unknown free space", denied: map[string]error{"free": syscall.EACCES}},
		{name: "no times", denied: map[string]error{"times": syscall.EPERM}, want: []Comfort{Times}},
		{name: "no directory sync", denied: map[string]error{"syncdir": errors.ErrUnsupported}},
		{
			name:   "no file sync, as some FUSE",
			denied: map[string]error{"sync": syscall.EINVAL, "datasync": syscall.EINVAL}, want: []Comfort{Syncs},
		},
		{name: "an interrupted reservation", denied: map[string]error{"allocate": syscall.EINTR}, sparse: true},
		{name: "no holes", denied: map[string]error{"nextdata": errors.ErrUnsupported}},
		{name: "no stable identities, as FUSE", unsteady: true},
		{
			name: "nothing at all", unsteady: true, sparse: true,
			denied: map[string]error{
				"lock": syscall.ENOSYS, "renamenoreplace": errors.ErrUnsupported, "link": syscall.ENOSYS, "allocate": syscall.ENOSYS,
				"free": syscall.ENOSYS, "times": syscall.ENOSYS, "syncdir": errors.ErrUnsupported, "nextdata": errors.ErrUnsupported,
				"sync": syscall.ENOSYS, "datasync": syscall.ENOSYS,
			},
			want: []Comfort{Locks, Syncs, ExclusiveNames, Times},
		},
	} {
		for _, replace := range []bool{false, true} {
			name := c.name
			want := c.want
			if replace {
				name += ", replacing"
				want = slices.DeleteFunc(slices.Clone(want), func(c Comfort) bool { return c == ExclusiveNames })
			}
			runQuickly(t, name, func(t *testing.T) {
				fsys := newLackingFS(t, c.denied)
				fsys.unsteady = c.unsteady
				if replace {
					fsys.put(t, "x", "old")
				}
				testComforts(t, fsys, Options{Name: "x", Replace: replace, ModTime: new(time.Time)}, want, c.sparse)
			})
		}
	}
}

// testComforts plays a run that is cut off, and one that resumes it.
func testComforts(t *testing.T, fsys *lackingFS, o Options, want []Comfort, sparse bool) {
	content := string(rightBytes(3*testChunk + 1))
	o.Size, o.ChunkSize = int64(len(content)), testChunk
	f := openTest(t, fsys, o)
	put(t, f, 1, chunkOf([]byte(content), 1))
	if err := f.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if f.Sparse() != sparse {
		t.Errorf("sparse %t, want %t", f.Sparse(), sparse)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	fsys.wantNames(t, namesBeside(o.Replace, "x.part", "x.part.journal")...)
	var lacks []Lack
	o.Action, o.Lacks = Resume, note(&lacks)
	f = openTest(t, fsys, o)
	if !f.Claimed(1) || !f.UsableJournal() {
		t.Errorf("claimed %t, usable %t, want what the first run recorded", f.Claimed(1), f.UsableJournal())
	}
	if err := fill(f, content); err != nil {
		t.Fatal(err)
	}
	if err := f.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if path, err := f.Commit(); path == "" || err != nil {
		t.Fatalf("path %q, error %v", path, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	fsys.want(t, "x", content)
	fsys.wantNames(t, "x")
	var got []Comfort
	for _, l := range lacks {
		got = append(got, l.Comfort)
	}
	if !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", lacks, want)
	}
}

func namesBeside(final bool, names ...string) []string {
	if final {
		return append([]string{"x"}, names...)
	}
	return names
}

// Even without exclusive names, a file that is there when the finished one gets
// its name stays.
func TestNoLinksDoesNotReplace(t *testing.T) {
	fsys := newLackingFS(t, map[string]error{"renamenoreplace": errors.ErrUnsupported, "link": syscall.EPERM})
	f := filled(t, fsys, Options{Name: "x"}, "new")
	fsys.put(t, "x", "old")
	_, err := f.Commit()
	wantReason(t, err, Exists)
	fsys.want(t, "x", "old")
	fsys.want(t, "x.part", "new")
	fsys.wantNames(t, "x", "x.part", "x.part.journal")
}

// A directory in which nothing can be renamed is found before anything is
// fetched.
func TestNoRenameIsFoundFirst(t *testing.T) {
	for _, replace := range []bool{false, true} {
		fsys := newLackingFS(t, map[string]error{
			"rename": syscall.EPERM, "renamenoreplace": syscall.EPERM, "link": syscall.EPERM,
		})
		_, err := Open(context.Background(), fsys, Options{Name: "x", Size: 3, ChunkSize: testChunk, Replace: replace})
		if e := wantReason(t, err, System); e.Op != "rename" || !errors.Is(err, syscall.EPERM) {
			t.Errorf("error %v, want that of the rename", err)
		}
		fsys.wantNames(t)
	}
}

// A file that is too large for the file system is refused before anything is
// fetched, and leaves nothing.
func TestTooLargeIsFoundFirst(t *testing.T) {
	for _, sparse := range []bool{false, true} {
		fsys := newLackingFS(t, map[string]error{"allocate": errors.ErrUnsupported, "truncate": syscall.EFBIG})
		_, err := Open(context.Background(), fsys, Options{Name: "x", Size: 5 << 30, ChunkSize: 1 << 24, SkipPreallocate: sparse, SkipSpaceCheck: true})
		if wantReason(t, err, System); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("error %v, want %v", err, syscall.EFBIG)
		}
		fsys.wantNames(t)
	}
}

// The largest possible file has no room for the tail, and does without.
func TestLargestFile(t *testing.T) {
	fsys := newTestFS(t)
	fsys.before = func(op, _ string) error {
		if op == "truncate" {
			return syscall.EFBIG
		}
		return nil
	}
	f := filled(t, fsys, Options{Name: "x"}, "new")
	if err := f.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	fsys.want(t, "x", "new")
}

// Scratch files of a killed run are removed. Another program's files under
// these names stay and do no harm.
func TestScratchOfAKilledRun(t *testing.T) {
	for _, suffix := range []string{probeSuffix, triedSuffix} {
		fsys := newTestFS(t)
		fsys.put(t, "x"+suffix, "")
		f := filled(t, fsys, Options{Name: "x"}, "new")
		fsys.wantNames(t, "x.part", "x.part.journal")
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		fsys.put(t, "x"+suffix, "")
		if err := FinishLeftover(fsys, "x"); err != nil {
			t.Fatal(err)
		}
		fsys.wantNames(t, "x")

		fsys = newTestFS(t)
		fsys.put(t, "x"+suffix, "precious")
		f = filled(t, fsys, Options{Name: "x"}, "new")
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := FinishLeftover(fsys, "x"); err != nil {
			t.Fatal(err)
		}
		fsys.want(t, "x", "new")
		fsys.want(t, "x"+suffix, "precious")
	}
}

// Without locks, another run that is alive is still found, and a dead one is
// not waited for for ever.
func TestLease(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(f *File) error // every two seconds, while the other run opens; nil: it is dead
		held  bool
		least time.Duration // that the other run waits
	}{
		{"alive", (*File).Checkpoint, true, leasePoll},
		{"dead", nil, false, leaseWatch + leaseSettle},
		{"ended", (*File).Close, false, leaseSettle},
	} {
		runQuickly(t, c.name, func(t *testing.T) {
			fsys := newLackingFS(t, map[string]error{"lock": syscall.ENOSYS})
			o := testOptions(Fetch)
			f, err := Open(context.Background(), fsys, o)
			if err != nil {
				t.Fatal(err)
			}
			put(t, f, 0, chunkOf(rightBytes(testHeader.Size), 0))
			if err := f.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			if c.first != nil {
				go func() {
					for sleep(ctx, 2*time.Second) == nil {
						if err := c.first(f); err != nil {
							t.Error(err)
						}
					}
				}()
			} else {
				f.handle.Close()
			}
			o.Action = Resume
			begun := time.Now()
			g, err := Open(context.Background(), fsys, o)
			waited := time.Since(begun)
			if c.held {
				if e := wantReason(t, err, Locked); e.Holder.PID != int64(os.Getpid()) {
					t.Errorf("holder %+v, want this process", e.Holder)
				}
			} else if err != nil {
				t.Fatal(err)
			} else {
				if !g.Claimed(0) {
					t.Error("the chunk of the first run is not claimed")
				}
				g.Close()
			}
			if waited < c.least || waited > 2*leaseWatch {
				t.Errorf("waited %v, want at least %v", waited, c.least)
			}
		})
	}
}

// Two runs find the part file of a dead one at the same moment, and both write
// their blocks into its journal, or both make one. Only one of them opens it.
func TestLeaseRace(t *testing.T) {
	for _, c := range []struct {
		name string
		meet string // the operation before which each waits for the other
		left func(t *testing.T, fsys *lackingFS)
	}{
		{"a journal is there", "write journal", func(t *testing.T, fsys *lackingFS) {
			f, err := Open(context.Background(), fsys, testOptions(Fetch))
			if err != nil {
				t.Fatal(err)
			}
			f.handle.Close() // it has died
		}},
		{"no journal", "create journal", func(t *testing.T, fsys *lackingFS) { fsys.put(t, "x.part", "left") }},
	} {
		runQuickly(t, c.name, func(t *testing.T) {
			fsys := newLackingFS(t, map[string]error{"lock": syscall.ENOLCK})
			c.left(t, fsys)
			var here atomic.Int32
			both, denied := make(chan struct{}), fsys.before
			fsys.before = func(op, name string) error {
				if op == c.meet {
					if here.Add(1) == 2 {
						close(both)
					}
					<-both
				}
				return denied(op, name)
			}
			type opened struct {
				*File
				err error
			}
			results := make(chan opened)
			for range 2 {
				go func() {
					f, err := Open(context.Background(), fsys, testOptions(Resume))
					results <- opened{f, err}
				}()
			}
			won, lost := <-results, <-results
			if won.err != nil {
				won, lost = lost, won
			}
			if won.err != nil || lost.err == nil {
				t.Fatalf("errors %v and %v, want one", won.err, lost.err)
			}
			wantReason(t, lost.err, Locked)
			time.Sleep(time.Minute)
			if err := errors.Join(won.Checkpoint(), won.Close()); err != nil {
				t.Errorf("the run that has it: %v", err)
			}
		})
	}
}

// A run was suspended and its part file taken by another. It stops at its next
// checkpoint or at the commit.
func TestLeaseLost(t *testing.T) {
	for name, use := range map[string]func(*File) error{
		"checkpoint": (*File).Checkpoint,
		"commit":     func(f *File) error { _, err := f.Commit(); return err },
	} {
		runQuickly(t, name, func(t *testing.T) {
			fsys := newLackingFS(t, map[string]error{"lock": syscall.ENOSYS})
			f := filled(t, fsys, Options{Name: "x"}, "new")
			other := openTest(t, fsys, Options{Name: "x", Size: 3, ChunkSize: testChunk, Action: Resume})
			wantReason(t, use(f), Locked)
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if err := other.Checkpoint(); err != nil {
				t.Errorf("the other run: %v", err)
			}
			if _, err := os.Lstat(filepath.Join(fsys.path, "x")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the final name: %v, want nothing", err)
			}
		})
	}
}

// The wait for another run ends with the run's context, and leaves the files as
// they were.
func TestLeaseWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newLackingFS(t, map[string]error{"lock": syscall.ENOSYS})
		fsys.put(t, "x.part", "left")
		for _, after := range []time.Duration{time.Second, leaseSettle + time.Second} {
			ctx, cancel := context.WithCancelCause(context.Background())
			ended := errors.New("ended")
			time.AfterFunc(after, func() { cancel(ended) })
			if _, err := Open(ctx, fsys, testOptions(Resume)); err != ended {
				t.Errorf("error %v, want %v", err, ended)
			}
			fsys.want(t, "x.part", "left")
			fsys.wantNames(t, "x.part")
		}
	})
}
