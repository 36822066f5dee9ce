//go:build unix

package partfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile/crashfs"
	"malcolm/transfer/tree/names"
	"malcolm/wire"
)

// interrupted leaves every second chunk of a sample under x.part.
func interrupted(t *testing.T, fsys FS, s *sample) {
	t.Helper()
	f := openTree(t, fsys, s.options(Fetch))
	for chunk := 0; chunk < f.Chunks(); chunk += 2 {
		must(t, s.fetch(f, chunk))
	}
	must(t, f.Checkpoint())
	must(t, f.Close())
}

// finishTree fetches what is missing and commits.
func finishTree(t *testing.T, fsys FS, s *sample, a Action) {
	t.Helper()
	f := openTree(t, fsys, s.options(a))
	must(t, f.Survey(t.Context(), 0, nil, func(int, bool) {}))
	must(t, s.fetchAll(f))
	_, err := f.Commit(t.Context())
	must(t, err)
	must(t, f.Close())
}

// A directory that nothing says malcolm made is never taken, whatever the
// flags.
func TestTreeForeignPart(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	must(t, os.Mkdir(filepath.Join(fsys.path, "x.part"), 0o777))
	fsys.put(t, "x.part/mine", "mine")
	found, err := LookTree(Dir(fsys.root), "x")
	must(t, err)
	h := TreeHeader(s.tree, s.listing)
	if got := found.PartState(h); got != PartForeign {
		t.Fatalf("part state %d", got)
	}
	for flags := range 4 {
		d := DecideTree(found.FinalState(h), PartForeign, None, flags&1 != 0, flags&2 != 0)
		if d.Action != Refuse || d.Hint != HintMoveAway {
			t.Errorf("decided %+v", d)
		}
	}
	for _, a := range []Action{Resume, StartOver} {
		_, err := OpenTree(t.Context(), Dir(fsys.root), s.options(a))
		wantReason(t, err, Foreign)
	}
	_, err = OpenTree(t.Context(), Dir(fsys.root), s.options(Fetch))
	wantReason(t, err, Exists)
	fsys.wantNames(t, "x.part")
	fsys.want(t, "x.part/mine", "mine")
}

// An empty directory holds nothing that could be lost: a crash may have left
// it.
func TestTreeEmptyPart(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	must(t, os.Mkdir(filepath.Join(fsys.path, "x.part"), 0o777))
	finishTree(t, Dir(fsys.root), s, Resume)
	s.wantTree(t, filepath.Join(fsys.path, "x"))
}

// What is in NAME.part and not of the tree is never committed, and nothing is
// written through a link that somebody put there.
func TestTreeExtraNames(t *testing.T) {
	outside := t.TempDir()
	for _, test := range []struct {
		what  string
		plant func(part string) error
	}{
		{"a file", func(part string) error { return os.WriteFile(part+"/extra", nil, 0o666) }},
		{"a file in a directory", func(part string) error { return os.WriteFile(part+"/deep/a/extra", nil, 0o666) }},
		{"a directory", func(part string) error { return os.Mkdir(part+"/extra", 0o777) }},
		{"something in an empty directory", func(part string) error { return os.MkdirAll(part+"/deep/none/extra", 0o777) }},
		{"a link for a directory", func(part string) error { return os.Symlink(outside, part+"/bin") }},
		{"a link for a file", func(part string) error { return os.Symlink(outside, part+"/whole") }},
		{"a directory for a file", func(part string) error { return os.Mkdir(part+"/empty", 0o777) }},
		{"a FIFO", func(part string) error { return mkfifo(part + "/empty") }},
	} {
		t.Run(test.what, func(t *testing.T) {
			fsys := newTestFS(t)
			s := newSample(t, variedLeaves()...)
			f := openTree(t, Dir(fsys.root), s.options(Fetch))
			must(t, s.fetch(f, 1)) // deep/a/b/c/file
			must(t, f.Close())
			must(t, test.plant(filepath.Join(fsys.path, "x.part")))
			_, err := OpenTree(t.Context(), Dir(fsys.root), s.options(Resume))
			wantReason(t, err, Foreign)
			finishTree(t, Dir(fsys.root), s, StartOver)
			s.wantTree(t, filepath.Join(fsys.path, "x"))
			if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
				t.Errorf("outside: %v, %v", left, err)
			}
		})
	}
}

func TestTreeOtherListing(t *testing.T) {
	fsys := newTestFS(t)
	s, other := newSample(t, variedLeaves()...), newSample(t, leaf{path: "whole", size: 9, seed: 9})
	interrupted(t, Dir(fsys.root), other)
	found, err := LookTree(Dir(fsys.root), "x")
	must(t, err)
	if got := found.PartState(TreeHeader(s.tree, s.listing)); got != PartOtherChecksum {
		t.Errorf("part state %d", got)
	}
	_, err = OpenTree(t.Context(), Dir(fsys.root), s.options(Resume))
	wantReason(t, err, OtherFile)
	finishTree(t, Dir(fsys.root), s, StartOver)
	s.wantTree(t, filepath.Join(fsys.path, "x"))
}

func TestTreeLocked(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	_, err := OpenTree(t.Context(), Dir(fsys.root), s.options(Resume))
	if e := wantReason(t, err, Locked); e.Holder.PID != int64(os.Getpid()) {
		t.Errorf("holder %+v", e.Holder)
	}
	wantReason(t, InUse(Dir(fsys.root), "x"), Locked)
	must(t, f.Close())
	fsys.wantNames(t) // nothing was written
	must(t, InUse(Dir(fsys.root), "x"))
}

// A small file that an earlier run left is kept if its bytes are right; what is
// damaged is fetched again.
func TestTreeDamage(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	must(t, s.fetchAll(f))
	must(t, f.Checkpoint())
	must(t, f.Close())
	wrong := map[int]bool{}
	for file := range s.tree.Content().Files() {
		path := filepath.Join(fsys.path, "x.part", f.pathOf(file))
		b, err := os.ReadFile(path)
		must(t, err)
		b[len(b)-1] ^= 1
		must(t, os.WriteFile(path, b, 0o666))
		wrong[s.tree.Content().FirstChunk(file+1)-1] = true
	}
	f = openTree(t, Dir(fsys.root), s.options(Resume))
	must(t, f.Survey(t.Context(), 1, nil, func(chunk int, ok bool) {
		if ok == wrong[chunk] {
			t.Errorf("chunk %d: %t", chunk, ok)
		}
	}))
	must(t, s.fetchAll(f))
	path, err := f.Commit(t.Context())
	must(t, err)
	s.wantTree(t, path)
}

// A disk that is full, or has no place for another file, in the middle: nothing
// is lost, and the next run goes on.
func TestTreeFullDisk(t *testing.T) {
	for _, files := range []bool{false, true} {
		s := crashSample(t)
		d := newTreeDownload(s, 1, func(*treeDownload) {})
		limit := func(bytes int64, n int) {
			if files {
				d.fs.Files = n
			} else {
				d.fs.Capacity = bytes
			}
		}
		limit(400<<10, 6)
		_, err := OpenTree(t.Context(), d.fs, s.options(Fetch))
		want := NoSpace
		if files {
			want = NoFiles
		}
		if e := wantReason(t, err, want); e.Need <= e.Have {
			t.Errorf("needs %d, has %d", e.Need, e.Have)
		}
		if d.fs.Exists("x.part") || d.fs.Exists("x.part.journal") {
			t.Error("something is left")
		}
		o := s.options(Fetch)
		o.SkipSpaceCheck = true
		f := openTree(t, d.fs, o)
		err = s.fetchAll(f)
		if DiskFaultOf(err) != Full || ReasonOf(err) != want {
			t.Fatalf("files %t: %v", files, err)
		}
		kept := f.MarkedCount()
		must(t, f.Checkpoint())
		must(t, f.Close())
		limit(0, 0)
		f = openTree(t, d.fs, s.options(Resume))
		must(t, f.Survey(t.Context(), 1, nil, func(int, bool) {}))
		if f.MarkedCount() != kept || kept == 0 {
			t.Errorf("%d chunks were kept, want %d", f.MarkedCount(), kept)
		}
		must(t, s.fetchAll(f))
		_, err = f.Commit(t.Context())
		must(t, err)
		if got := d.lies("x"); got != "tree" {
			t.Error(got)
		}
	}
}

// foldingFS takes names for one that differ by case.
type foldingFS struct{ TreeFS }

func (f foldingFS) Lstat(name string) (Info, error) {
	return f.TreeFS.Lstat(strings.ReplaceAll(name, ".TELL", ".tell"))
}

func (f foldingFS) Symlink(string, string) error { return errors.ErrUnsupported }

func TestTreeThatDoesNotFit(t *testing.T) {
	for _, test := range []struct {
		leaves []leaf
		fault  names.Fault
	}{
		{[]leaf{{path: "A", size: 1}, {path: "a", size: 2}}, names.SameCase},
		{[]leaf{{path: "README/x", size: 1}, {path: "readme", size: 2}}, names.SameCase},
		{[]leaf{{path: "l", kind: wire.EntryLink, target: "a"}}, 0},
	} {
		s := newSample(t, test.leaves...)
		fsys := newTestFS(t)
		_, err := OpenTree(t.Context(), foldingFS{Dir(fsys.root)}, s.options(Fetch))
		wantReason(t, err, Unfit)
		if p, ok := errors.AsType[*names.Problem](err); ok != (test.fault != 0) || ok && p.Fault != test.fault {
			t.Errorf("%v", err)
		}
		fsys.wantNames(t)
		finishTree(t, Dir(fsys.root), s, Fetch) // this system can
		s.wantTree(t, filepath.Join(fsys.path, "x"))
		fsys.wantNames(t, "x")
	}
}

// One writer a chunk, also where the bytes stay in memory.
func TestTreeClaims(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, leaf{path: "a", size: 10, seed: 1})
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	first, ok := f.Claim(0)
	if _, again := f.Claim(0); !ok || again {
		t.Fatal("two owners")
	}
	must(t, first.WriteAt([]byte("wrong"), 0))
	wantReason(t, first.Mark([16]byte{}), Internal) // bytes are missing
	wantReason(t, first.WriteAt([]byte("x"), 7), Internal)
	wantReason(t, first.WriteAt([]byte("xx"), 9), Internal)
	second, ok := f.TakeOver(0)
	if !ok {
		t.Fatal("not taken over")
	}
	if err := first.WriteAt([]byte("x"), 5); err != ErrNotOwner {
		t.Errorf("a write without ownership: %v", err)
	}
	if err := first.Mark([16]byte{}); err != ErrNotOwner {
		t.Errorf("a mark without ownership: %v", err)
	}
	first.Release()
	if _, err := os.Lstat(filepath.Join(fsys.path, "x.part", "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written before the mark: %v", err)
	}
	must(t, second.WriteAt(s.chunk(0), 0))
	must(t, second.Mark([16]byte{}))
	second.Release()
	if _, ok := f.TakeOver(0); ok || !f.Marked(0) {
		t.Error("a marked chunk has an owner")
	}
	fsys.want(t, "x.part/a", string(s.chunk(0)))
	got := make([]byte, 20)
	if n, _ := f.ReadChunk(0, got, 4); string(got[:n]) != string(s.chunk(0)[4:]) {
		t.Errorf("read %q", got[:n])
	}
}

// Directories and files that are open at once are bounded, whatever the tree.
func TestTreeOpensFewFiles(t *testing.T) {
	var leaves []leaf
	for i := range 200 {
		leaves = append(leaves, leaf{path: fmt.Sprintf("%03d/large", i), size: manifest.MinChunkSize + 1, seed: uint64(i)})
	}
	leaves = append(leaves, leaf{path: strings.Repeat("d/", 1000) + "small", size: 3, seed: 1})
	s := newSample(t, leaves...)
	disk := crashfs.New(512, func(int) int { return 0 })
	var mu sync.Mutex
	open, most := 0, 0
	disk.After = func(o crashfs.Operation) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case o.Err != nil:
		case o.Op == "close":
			open--
		case strings.HasPrefix(o.Op, "open") || o.Op == "create":
			open++
			most = max(most, open)
		}
	}
	f := openTree(t, &crashFS{disk}, s.options(Fetch))
	for _, place := range []int{0, 1} { // all files are begun, then all are finished
		for file := range s.tree.Content().Files() {
			if chunk := s.tree.Content().FirstChunk(file) + place; chunk < s.tree.Content().FirstChunk(file+1) {
				must(t, s.fetch(f, chunk))
			}
		}
	}
	must(t, f.Checkpoint())
	_, err := f.Commit(t.Context())
	must(t, err)
	must(t, f.Close())
	if most > openFolders+openLarge+2*syncsAtOnce+5 || most < openFolders || open != 0 {
		t.Errorf("%d were open at once, and %d at the end", most, open)
	}
}

// Times are set when all is written: of the entries, and of the directories
// that hold them, also those that a resumed run has found there.
func TestTreeTimes(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		fsys := newTestFS(t)
		s := newSample(t, variedLeaves()...)
		o := s.options(Fetch)
		entry := func(i int) *wire.Entry { return &s.tree.Entries()[i] }
		var paths []string
		for path := range wire.Directories(len(s.tree.Entries()), entry) {
			o.Times.Directories = append(o.Times.Directories, time.Unix(int64(2e9+len(paths)), 0))
			paths = append(paths, path)
		}
		if len(paths) < 3 {
			t.Fatalf("the tree has few directories: %q", paths)
		}
		for i, e := range s.tree.Entries() {
			o.Times.Entries = append(o.Times.Entries, time.Unix(int64(1e9+i), 5000))
			paths = append(paths, e.Path)
		}
		if resumed {
			f := openTree(t, Dir(fsys.root), o)
			must(t, s.fetchAll(f))
			must(t, f.Close())
			o.Action = Resume
		}
		f := openTree(t, Dir(fsys.root), o)
		must(t, s.fetchAll(f))
		path, err := f.Commit(t.Context())
		must(t, err)
		for i, want := range slices.Concat(o.Times.Directories, o.Times.Entries) {
			info, err := os.Lstat(filepath.Join(path, paths[i]))
			must(t, err)
			if got := info.ModTime(); !got.Equal(want) {
				t.Errorf("resumed: %t: %q has the time %v, want %v", resumed, paths[i], got, want)
			}
		}
	}
}

func TestDecideTree(t *testing.T) {
	type row struct {
		final FinalState
		part  PartState
		want  [4]Decision // no flag, -r, --force, both
	}
	refuse := func(h Hint) Decision { return Decision{Action: Refuse, Hint: h} }
	all := func(d Decision) [4]Decision { return [4]Decision{d, d, d, d} }
	over, forced := Decision{Action: StartOver, Replace: true}, Decision{Action: Fetch, Replace: true}
	resumed, right := Decision{Action: Resume, Replace: true}, Decision{Action: AlreadyRight}
	repair := refuse(HintRepair)
	for _, r := range []row{
		{FinalNone, PartNone, [4]Decision{{Action: Fetch}, {Action: Fetch}, forced, forced}},
		{FinalNone, PartSame, [4]Decision{refuse(HintResume), {Action: Resume}, over, resumed}},
		{FinalNone, PartOtherChecksum, [4]Decision{refuse(HintForce), refuse(HintForce), over, over}},
		{FinalNone, PartForeign, all(refuse(HintMoveAway))},
		{FinalNone, PartOther, all(refuse(HintElsewhere))},
		{FinalRight, PartNone, [4]Decision{repair, right, forced, right}},
		{FinalWrong, PartNone, [4]Decision{repair, repair, forced, forced}},
		{FinalWrong, PartSame, [4]Decision{repair, repair, over, resumed}},
		{FinalWrong, PartForeign, [4]Decision{repair, repair, refuse(HintMoveAway), refuse(HintMoveAway)}},
		{FinalOther, PartNone, all(refuse(HintElsewhere))},
	} {
		for flags, want := range r.want {
			if got := DecideTree(r.final, r.part, None, flags&1 != 0, flags&2 != 0); got != want {
				t.Errorf("final %d, part %d, flags %d: %+v, want %+v", r.final, r.part, flags, got, want)
			}
		}
	}
	if got := DecideTree(FinalWrong, PartNone, Directory, false, true); got != refuse(HintReplaced) {
		t.Errorf("with NAME.replaced: %+v", got)
	}
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o666) }

// A link that another program puts in the place of a directory is not followed,
// though it stays beneath NAME.part.
func TestTreePlantedLink(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	must(t, s.fetch(f, 1)) // deep/a/b/c/file
	must(t, os.Symlink("deep/a", filepath.Join(fsys.path, "x.part", "bin")))
	if err := s.fetch(f, 0); err == nil { // bin/run
		t.Error("written through a link")
	}
	if _, err := os.Lstat(filepath.Join(fsys.path, "x.part", "deep", "a", "run")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is where the link leads to: %v", err)
	}
}

// A run that ended before it removed its journal is known to have finished its
// directory, and no other directory is taken for that.
func TestTreeFinished(t *testing.T) {
	s := crashSample(t)
	d := newTreeDownload(s, 1, func(*treeDownload) {})
	d.fs.Fail = func(op, name string) error {
		if op == "remove" && name == "x"+JournalSuffix {
			return syscall.EIO
		}
		return nil
	}
	f := openTree(t, d.fs, s.options(Fetch))
	must(t, s.fetchAll(f))
	path, err := f.Commit(t.Context())
	if path == "" || err == nil {
		t.Fatalf("%q, %v", path, err)
	}
	must(t, f.Close())
	d.fs.Kill()
	finished := func() bool {
		found, err := LookTree(d.fs, "x")
		must(t, err)
		return found.FinalState(TreeHeader(s.tree, s.listing)) == FinalRight
	}
	if !finished() {
		t.Error("nothing tells that it is finished")
	}
	must(t, d.fs.Rename("x", "y"))
	must(t, d.fs.Mkdir("x"))
	if finished() {
		t.Error("another directory is taken for the finished one")
	}
	must(t, FinishTree(d.fs, "x"))
	if !d.fs.Exists("x" + JournalSuffix) {
		t.Error("the journal is gone")
	}
	must(t, d.fs.Remove("x"))
	must(t, d.fs.Rename("y", "x"))
	must(t, FinishTree(d.fs, "x"))
	if d.fs.Exists("x" + JournalSuffix) {
		t.Error("the journal is left")
	}
}

// What other programs do to NAME.part while it is written is found at the
// latest before it gets its name.
func TestTreeChangedBehindOurBack(t *testing.T) {
	for _, test := range []struct {
		what   string
		change func(part string) error
	}{
		{"a small file is removed", func(part string) error { return os.Remove(part + "/whole") }},
		{"a large file is cut", func(part string) error { return os.Truncate(part+"/large", 5) }},
		{"a file is a link", func(part string) error {
			return errors.Join(os.Remove(part+"/large"), os.Symlink("other large", part+"/large"))
		}},
		{"it is renamed", func(part string) error { return os.Rename(part, part+"2") }},
		{"it is another directory", func(part string) error { return errors.Join(os.Rename(part, part+"2"), os.Mkdir(part, 0o777)) }},
	} {
		t.Run(test.what, func(t *testing.T) {
			fsys := newTestFS(t)
			s := newSample(t, variedLeaves()...)
			f := openTree(t, Dir(fsys.root), s.options(Fetch))
			must(t, s.fetchAll(f))
			must(t, f.Checkpoint())
			must(t, test.change(filepath.Join(fsys.path, "x.part")))
			_, err := f.Commit(t.Context())
			wantReason(t, err, Changed)
			if _, err := os.Lstat(filepath.Join(fsys.path, "x")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the final name: %v", err)
			}
			if strings.HasPrefix(test.what, "it is") {
				wantReason(t, f.Checkpoint(), Changed)
			}
		})
	}
}
