package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// files makes a directory of files by their path: "-> x" is a link to x, a path
// that ends in "/" an empty directory.
func files(t *testing.T, dir string, of map[string]string) {
	t.Helper()
	for path, data := range of {
		full := filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		target, link := strings.CutPrefix(data, "-> ")
		switch {
		case err != nil:
		case strings.HasSuffix(path, "/"):
			err = os.MkdirAll(full, 0o755)
		case link:
			err = os.Symlink(target, full)
		default:
			err = os.WriteFile(full, []byte(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A watched is a directory whose opened files are counted, and whose answers a
// test may change.
type watched struct {
	*localfile.Beneath
	opened *atomic.Int64
	before func(path string) error // each open; nil: nothing
}

func (w watched) Open(path string) (localfile.File, error) {
	w.opened.Add(1)
	if w.before != nil {
		if err := w.before(path); err != nil {
			return nil, err
		}
	}
	return w.Beneath.Open(path)
}

// A tester is a test, of rapid too.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// A scanning is a scanner of one directory.
type scanning struct {
	*Scanner
	t      tester
	opened atomic.Int64
	before func(path string) error
	now    *Snapshot // the last one
}

func scanningOf(t tester, dir string, cfg Config) *scanning {
	s := &scanning{t: t}
	cfg.Parts = []Part{s.part("", dir)}
	s.Scanner = New(cfg)
	return s
}

func (s *scanning) part(name, dir string) Part {
	return Part{Name: name, Path: dir, Key: dir, Open: func() (Dir, error) {
		source, err := localfile.OfferDirectory(dir)
		if err != nil {
			return nil, err
		}
		beneath, err := source.Open()
		if err != nil {
			return nil, err
		}
		return watched{beneath, &s.opened, s.before}, nil
	}}
}

// scan scans anew, and returns how many files were opened.
func (s *scanning) scan() (opened int) {
	s.t.Helper()
	s.opened.Store(0)
	next, err := s.Scan(context.Background(), s.now, new(Progress))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.now != nil {
		s.now.Close()
	}
	s.now = next
	return int(s.opened.Load())
}

// paths returns the entries of the last snapshot, and checks them.
func (s *scanning) paths() (paths []string) {
	s.t.Helper()
	entries, err := wire.ParseListing(s.now.Listing().Bytes())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := wire.ParseTimes(s.now.Times(), len(entries)); err != nil {
		s.t.Error(err)
	}
	for i, e := range entries {
		if s.now.Entry(i) != e {
			s.t.Errorf("entry %d is %+v, in the listing %+v", i, s.now.Entry(i), e)
		}
		switch e.Kind {
		case wire.EntryFile:
			paths = append(paths, e.Path)
		case wire.EntryExecutable:
			paths = append(paths, e.Path+"*")
		case wire.EntryDirectory:
			paths = append(paths, e.Path+"/")
		case wire.EntryLink:
			paths = append(paths, e.Path+"->"+e.Target)
		}
		if e.IsFile() && !slices.Contains(slices.Collect(s.now.Find(e.Checksum)), i) {
			s.t.Errorf("%q is not found by its checksum", e.Path)
		}
	}
	return paths
}

func (s *scanning) left() (left []string) {
	for _, l := range s.now.LeftOut().First {
		left = append(left, fmt.Sprintf("%s %d %s", l.Path, l.Reason, l.Detail))
	}
	return left
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%q, want\n%q", what, got, want)
	}
}

// A file of each kind, and odd names, are in the tree as they are. What cannot
// be is left out.
func TestKinds(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("n", 255)
	files(t, dir, map[string]string{
		"a": "1", "a-b": "2", "a.d/x": "", "d/e/": "", "new\nline": "3", "bad\xff": "4", long: "5", ".hidden": "6", "run": "7",
		"d/in": "-> ../a", "d/dangles": "-> nothing", "out": "-> ../x", "abs": "-> /etc/passwd", "dirlink": "-> a.d",
		"through": "-> dirlink/x", "d/back": "-> ../../etc",
	})
	os.Chmod(filepath.Join(dir, "run"), 0o755)
	special(t, dir)
	s := scanningOf(t, dir, Config{})
	s.scan()
	equal(t, "entries", s.paths(), []string{
		".hidden", "a", "a-b", "a.d/x", "bad\xff", "d/dangles->nothing", "d/e/", "d/in->../a", "dirlink->a.d", "new\nline", long, "run*",
	})
	want := []string{
		fmt.Sprintf("abs %d its target is an absolute path", BadLink), fmt.Sprintf("d/back %d its target leads out of the directory", BadLink),
		fmt.Sprintf("out %d its target leads out of the directory", BadLink), fmt.Sprintf("through %d target leads through another link", BadLink),
	}
	for _, name := range specials {
		want = append(want, fmt.Sprintf("%s %d ", name, Special))
	}
	got := s.left()
	slices.Sort(got)
	slices.Sort(want)
	equal(t, "left out", got, want)
	if n := s.now.Totals(); n.Files != 8 || n.Links != 3 || n.Directories != 1 || n.Bytes != 7 {
		t.Errorf("totals %+v", n)
	}
	strict := scanningOf(t, dir, Config{Strict: true})
	if _, err := strict.Scan(t.Context(), nil, new(Progress)); !errors.As(err, new(*LeftOutError)) {
		t.Errorf("strict: %v, want that something is left out", err)
	}
}

// A name that a file has beside its first is a file of its own, and is counted.
func TestHardLinks(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"a": "1", "b": "1", "c": "2"})
	os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "z"))
	os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "y"))
	os.Link(filepath.Join(dir, "c"), filepath.Join(dir, "x"))
	info, err := os.Stat(filepath.Join(dir, "z"))
	if err != nil {
		t.Skipf("no hard links here: %v", err)
	}
	want := 3
	if cache.StampOf(info).File == 0 {
		want = 0
	}
	s := scanningOf(t, dir, Config{})
	s.scan()
	if got := s.now.HardLinks(); got != want {
		t.Errorf("%d hard links, want %d", got, want)
	}
	os.Remove(filepath.Join(dir, "x"))
	s.scan()
	if got := s.now.HardLinks(); got != max(want-1, 0) {
		t.Errorf("%d hard links once one is gone, want %d", got, max(want-1, 0))
	}
}

// An empty directory may be a forgotten mount.
func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	if _, err := scanningOf(t, dir, Config{}).Scan(t.Context(), nil, new(Progress)); !errors.Is(err, ErrEmpty) {
		t.Errorf("%v, want %v", err, ErrEmpty)
	}
	s := scanningOf(t, dir, Config{AllowEmpty: true})
	s.scan()
	equal(t, "entries", s.paths(), nil)
}

// A filter keeps a directory out that it made empty, and does not look into one
// that it keeps out.
func TestFilter(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"a/x.o": "1", "a/b/y.o": "1", "c/z": "2", "c/w.o": "", "e/": "", "out/s": "3", "d/sock/": ""})
	var rules []filter.Rule
	for _, pattern := range []string{"*.o", "out/"} {
		rule, err := filter.Exclude(pattern)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, rule)
	}
	s := scanningOf(t, dir, Config{Filter: filter.New(rules, nil)})
	open := s.cfg.Parts[0].Open
	s.cfg.Parts[0].Open = func() (Dir, error) {
		d, err := open()
		return closedDir{d, "out"}, err
	}
	s.scan()
	equal(t, "entries", s.paths(), []string{"c/z", "d/sock/", "e/"})
	equal(t, "left out", s.left(), nil)
}

// A closedDir is a directory in which one cannot be read.
type closedDir struct {
	Dir
	closed string
}

func (d closedDir) List(dir string, each func(fs.FileInfo)) error {
	if dir == d.closed {
		return fs.ErrPermission
	}
	return d.Dir.List(dir, each)
}

// Parts lie side by side, links out of a part lead out of the tree.
func TestParts(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	files(t, one, map[string]string{"x": "1", "l": "-> ../b/x"})
	files(t, two, map[string]string{"x": "2", "file": "3"})
	file, err := localfile.Offer(filepath.Join(two, "file"))
	if err != nil {
		t.Fatal(err)
	}
	s := scanningOf(t, one, Config{})
	s.Scanner = New(Config{Parts: []Part{s.part("b", two), s.part("a", one), {Name: "a-file", Path: "file", File: file}}})
	s.scan()
	equal(t, "entries", s.paths(), []string{"a/x", "a-file", "b/file", "b/x"})
	equal(t, "left out", s.left(), []string{fmt.Sprintf("a/l %d its target leads out of the directory", BadLink)})
	for i := range 4 {
		f, _, _, err := s.now.Open(i)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		f.ReadAt(b, 0)
		f.Close()
		if e := s.now.Entry(i); manifest.Sum(b) != e.Checksum {
			t.Errorf("%s has other bytes", e.Path)
		}
	}
}

// settleAll takes the files for older than they are: their stamps settle when
// their change times are two seconds ago.
func settleAll(s *scanning) {
	for i := range s.now.Len() {
		s.now.settled.set(i)
	}
}

// What has not changed is not read again: neither by the next scan nor by the
// next run. A cache that is damaged is as none.
func TestUnchanged(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	os.Chmod(home, 0o700)
	large := bytes.Repeat([]byte("0123456789abcdef"), 3*manifest.MinChunkSize/16)
	files(t, dir, map[string]string{"a": "1", "b/c": "2", "large": string(large), "d/e": "4"})
	c := &cache.Cache{Dir: home}
	s := scanningOf(t, dir, Config{Cache: c})
	if n := s.scan(); n != 4 {
		t.Errorf("%d files were opened, want 4", n)
	}
	settleAll(s)
	listing := s.now.Listing().Bytes()
	if err := s.Keep(s.now); err != nil {
		t.Fatal(err)
	}
	if look, err := s.Look(t.Context(), s.now); err != nil || !look.Same() || look.Lost() {
		t.Errorf("the same tree is not the same: %v", err)
	} else {
		look.Close()
	}
	if n := s.scan(); n != 0 {
		t.Errorf("%d files were opened by another scan", n)
	}
	again := func(what string, want int) {
		t.Helper()
		next := scanningOf(t, dir, Config{Cache: c})
		if n := next.scan(); n != want || !bytes.Equal(next.now.Listing().Bytes(), listing) {
			t.Errorf("%s: %d files were opened, want %d; same listing: %t", what, n, want, bytes.Equal(next.now.Listing().Bytes(), listing))
		}
		checkValues(t, next.now, large)
		next.now.Close()
	}
	again("another run", 0)
	names, _ := filepath.Glob(filepath.Join(home, "*.tree"))
	if len(names) != 1 {
		t.Fatalf("the cache has %q", names)
	}
	kept, _ := os.ReadFile(names[0])
	for _, at := range []int{3, 50, 44 + 40, len(kept) / 2, len(kept) - 40, len(kept) - 1} {
		damaged := slices.Clone(kept)
		damaged[at] ^= 1
		os.WriteFile(names[0], damaged, 0o600)
		again(fmt.Sprintf("byte %d is wrong", at), 4)
	}
	for _, n := range []int{0, 10, 60, len(kept) - 1} {
		os.WriteFile(names[0], kept[:n], 0o600)
		again(fmt.Sprintf("%d bytes are left", n), 4)
	}
	os.WriteFile(names[0], kept, 0o600)
	again("whole again", 0)
	os.WriteFile(filepath.Join(dir, "a"), []byte("other"), 0o644)
	listing = nil
	next := scanningOf(t, dir, Config{Cache: c})
	if n := next.scan(); n != 1 {
		t.Errorf("%d files were opened after one changed", n)
	}
}

func checkValues(t *testing.T, s *Snapshot, large []byte) {
	t.Helper()
	for i := range s.Len() {
		e := s.Entry(i)
		if valuesKept(e.Size) == 0 {
			continue
		}
		b := make([]byte, manifest.Count(e.Size)*wire.ValueLen)
		if err := s.ReadValues(i, b, 0); err != nil {
			t.Fatal(err)
		}
		v, err := wire.ParseValues(b)
		if err != nil || manifest.Check(v, e.Size, e.Checksum) != nil {
			t.Errorf("the values of %q are wrong", e.Path)
		}
	}
}

// A file that takes the place of one that was hashed is not opened, whatever it
// is, and no link is followed.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"d/x": "1", "other": "1", "e/x": "1"})
	at := filepath.Join(dir, "d/x")
	for name, replace := range map[string]func(){
		"link to the same bytes": func() { os.Remove(at); os.Symlink("../other", at) },
		"link out":               func() { os.Remove(at); os.Symlink("/etc/passwd", at) },
		"directory":              func() { os.Remove(at); os.Mkdir(at, 0o755) },
		"longer":                 func() { os.WriteFile(at, []byte("12"), 0o644) },
		"touched":                func() { os.Chtimes(at, time.Time{}, time.Now().Add(time.Hour)) },
		"gone":                   func() { os.Remove(at) },
		"link on the way":        func() { os.RemoveAll(filepath.Dir(at)); os.Symlink("e", filepath.Dir(at)) },
	} {
		t.Run(name, func(t *testing.T) {
			os.RemoveAll(filepath.Dir(at))
			files(t, dir, map[string]string{"d/x": "1"})
			s := scanningOf(t, dir, Config{})
			s.scan()
			i := slices.Index(s.paths(), "d/x")
			f, _, _, err := s.now.Open(i)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			s.now.Close()
			s.scan() // with no directory open
			replace()
			if f, _, _, err := s.now.Open(slices.Index(s.paths(), "d/x")); err == nil {
				f.Close()
				t.Error("it was opened")
			}
		})
	}
}

// A directory that cannot be read is left out with all that is in it.
func TestClosedDirectory(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"a": "1", "d/x": "2", "d/y/z": "3"})
	s := scanningOf(t, dir, Config{})
	open := s.cfg.Parts[0].Open
	s.cfg.Parts[0].Open = func() (Dir, error) {
		d, err := open()
		return closedDir{d, "d"}, err
	}
	s.scan()
	equal(t, "entries", s.paths(), []string{"a"})
	equal(t, "left out", s.left(), []string{fmt.Sprintf("d %d ", Unreadable)})
}

// A file that cannot be read, or changes all the time, is left out, and is not
// tried again at each scan.
func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"a": "1", "closed": "2", "busy": "3"})
	s := scanningOf(t, dir, Config{})
	s.before = func(path string) error {
		if path == "closed" {
			return fs.ErrPermission
		}
		return nil
	}
	s.Scanner.cfg.Parts[0].Open = changing(s, dir)
	s.scan()
	equal(t, "entries", s.paths(), []string{"a"})
	got := s.left()
	slices.Sort(got)
	equal(t, "left out", got, []string{fmt.Sprintf("busy %d ", Changing), fmt.Sprintf("closed %d ", Unreadable)})
	if n := s.scan(); n != 0 {
		t.Errorf("%d files were opened by the next scan", n)
	}
	if s.now.LeftOut().Count != 2 {
		t.Errorf("left out by the next scan: %q", s.left())
	}
}

// changing opens a directory in which "busy" changes at each read.
func changing(s *scanning, dir string) func() (Dir, error) {
	open := s.part("", dir).Open
	return func() (Dir, error) {
		d, err := open()
		return changingDir{d}, err
	}
}

type changingDir struct{ Dir }

func (d changingDir) Open(path string) (localfile.File, error) {
	f, err := d.Dir.Open(path)
	if err == nil && path == "busy" {
		f = changingFile{f, new(int64)}
	}
	return f, err
}

type changingFile struct {
	localfile.File
	looks *int64
}

func (f changingFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	*f.looks++
	return later{info, time.Duration(*f.looks)}, err
}

type later struct {
	fs.FileInfo
	by time.Duration
}

func (l later) ModTime() time.Time { return l.FileInfo.ModTime().Add(l.by * time.Second) }

// A thousand directories in each other, and 255 bytes each time up to the
// longest path.
func TestDeep(t *testing.T) {
	dir := t.TempDir()
	deep := strings.Repeat("d/", 999) + "f"
	files(t, dir, map[string]string{deep: "1"})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Repeat("p", 255)
	for n, r := 0, root; n < 17; n++ { // beyond 4,096 bytes
		if err := r.Mkdir(part, 0o755); err != nil {
			t.Fatal(err)
		}
		if r, err = r.OpenRoot(part); err != nil {
			t.Fatal(err)
		}
		f, err := r.Create("f")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	s := scanningOf(t, dir, Config{})
	s.scan()
	paths := s.paths()
	if len(paths) != 17 || paths[0] != deep || s.now.LeftOut().Count != 2 || s.now.LeftOut().First[0].Reason != BadPath {
		t.Errorf("%d entries, left out %d", len(paths), s.now.LeftOut().Count)
	}
	f, _, _, err := s.now.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// Any changes between two scans lead to the snapshot that a new scan makes.
func TestChanges(t *testing.T) {
	content := rapid.SampledFrom([]string{"", "a", "b", strings.Repeat("c", manifest.MinChunkSize), strings.Repeat("d", manifest.MinChunkSize+1), "-> x", "-> ../y"})
	path := rapid.SampledFrom([]string{"x", "y", "d/x", "d/y", "d/d/z", "e/x", "e-f", "e/"})
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "malcolm-scan-test-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s := scanningOf(t, dir, Config{AllowEmpty: true})
		for range rapid.IntRange(1, 6).Draw(t, "scans") {
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				change(dir, path.Draw(t, "path"), content.Draw(t, "content"))
			}
			s.scan()
			fresh := scanningOf(t, dir, Config{AllowEmpty: true})
			fresh.scan()
			if !bytes.Equal(s.now.Listing().Bytes(), fresh.now.Listing().Bytes()) || !bytes.Equal(s.now.Times(), fresh.now.Times()) {
				t.Fatalf("%q, a new scan says %q", s.paths(), fresh.paths())
			}
			fresh.now.Close()
			checkAll(t, s.now)
		}
		s.now.Close()
	})
}

// change puts something in the place of what has a path; "": removes it.
func change(dir, path, data string) {
	full := filepath.Join(dir, path)
	os.RemoveAll(full)
	if data == "" {
		return
	}
	os.MkdirAll(filepath.Dir(full), 0o755)
	if target, ok := strings.CutPrefix(data, "-> "); ok {
		os.Symlink(target, full)
		return
	}
	os.WriteFile(full, []byte(data), 0o644)
}

// checkAll reads every file of a snapshot.
func checkAll(t *rapid.T, s *Snapshot) {
	for i := range s.Len() {
		e := s.Entry(i)
		if !e.IsFile() {
			continue
		}
		f, _, _, err := s.Open(i)
		if err != nil {
			t.Fatal(err)
		}
		values, sum, err := manifest.Build(context.Background(), f, e.Size, manifest.BuildOptions{Workers: 1})
		f.Close()
		if err != nil || sum != e.Checksum {
			t.Fatalf("%q has other bytes: %v", e.Path, err)
		}
		if n := valuesKept(e.Size); n > 0 {
			b := make([]byte, n*wire.ValueLen)
			if err := s.ReadValues(i, b, 0); err != nil || !bytes.Equal(b, values.Bytes()) {
				t.Fatalf("%q has other values: %v", e.Path, err)
			}
		}
	}
}
