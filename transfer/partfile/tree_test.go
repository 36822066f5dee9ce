package partfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"malcolm/transfer/manifest"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// A sample is a tree to write: its entries, and the bytes of its files.
type sample struct {
	tree    *tree.Tree
	listing [32]byte
	bytes   [][]byte // by number in the content
}

// A leaf is an entry of a sample. Files have a seed for their bytes.
type leaf struct {
	path   string
	kind   wire.EntryKind
	size   int
	seed   uint64
	target string
}

func seeded(seed uint64, size int) []byte {
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	rng.Read(b)
	return b
}

// newSample makes a tree of leaves, which are in order.
func newSample(t interface{ Fatal(...any) }, leaves ...leaf) *sample {
	s := &sample{}
	var entries []wire.Entry
	content := map[[32]byte][]byte{}
	for _, l := range leaves {
		e := wire.Entry{Path: l.path, Kind: l.kind, Target: l.target}
		if e.IsFile() {
			b := seeded(l.seed, l.size)
			e.Size, e.Checksum = int64(l.size), checksumOf(b)
			content[e.Checksum] = b
		}
		entries = append(entries, e)
	}
	listing, err := wire.AppendListing(nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	s.listing = checksumOf(listing)
	if s.tree, err = tree.New(entries); err != nil {
		t.Fatal(err)
	}
	for file := range s.tree.Content().Files() {
		s.bytes = append(s.bytes, content[s.tree.Content().File(file).Checksum])
	}
	return s
}

func checksumOf(b []byte) [32]byte {
	_, sum, err := manifest.Build(context.Background(), bytes.NewReader(b), int64(len(b)), manifest.BuildOptions{})
	if err != nil {
		panic(err)
	}
	return sum
}

const largeSize = 3*manifest.MinChunkSize - 5

// variedLeaves have something of everything.
func variedLeaves() []leaf {
	return []leaf{
		{path: "bin/run", kind: wire.EntryExecutable, size: 100, seed: 1},
		{path: "deep/a/b/c/file", size: 7, seed: 2},
		{path: "deep/a/b/c/same", size: 100, seed: 1},
		{path: "deep/none", kind: wire.EntryDirectory},
		{path: "empty"},
		{path: "large", size: largeSize, seed: 3},
		{path: "large.twice", kind: wire.EntryExecutable, size: largeSize, seed: 3},
		{path: "link", kind: wire.EntryLink, target: "deep/a"},
		{path: "other large", size: largeSize, seed: 4},
		{path: "whole", size: manifest.MinChunkSize, seed: 5},
	}
}

func (s *sample) options(a Action) TreeOptions {
	return TreeOptions{Name: "x", Tree: s.tree, Listing: s.listing, Action: a}
}

// chunk returns the bytes of a chunk.
func (s *sample) chunk(i int) []byte {
	p := s.tree.Content().Place(i)
	return s.bytes[p.File][p.Offset:][:p.Length]
}

// fetch writes and marks a chunk, in pieces.
func (s *sample) fetch(f *Tree, chunk int) error {
	claim, ok := f.Claim(chunk)
	if !ok {
		return fmt.Errorf("chunk %d is claimed or marked", chunk)
	}
	defer claim.Release()
	b := s.chunk(chunk)
	for off := 0; off < len(b); {
		n := min(len(b)-off, 100_000)
		if err := claim.WriteAt(b[off:off+n], int64(off)); err != nil {
			return err
		}
		off += n
	}
	sum := xxh3.Hash128(b)
	return claim.Mark(sum.Bytes())
}

func (s *sample) fetchAll(f *Tree) error {
	for chunk := range f.Chunks() {
		if !f.Marked(chunk) {
			if err := s.fetch(f, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// wantTree fails the test unless a directory holds exactly the sample.
func (s *sample) wantTree(t *testing.T, root string) {
	t.Helper()
	if err := s.compare(root); err != nil {
		t.Fatal(err)
	}
}

// compare says in what a directory differs from the sample.
func (s *sample) compare(root string) error {
	want := map[string]wire.Entry{}
	for _, e := range s.tree.Entries() {
		want[e.Path] = e
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel := strings.TrimPrefix(path, root+"/")
		e, ok := want[rel]
		switch {
		case !ok && d.IsDir():
			for p := range want {
				if strings.HasPrefix(p, rel+"/") {
					return nil
				}
			}
			return fmt.Errorf("%s is a directory of nothing", rel)
		case !ok:
			return fmt.Errorf("%s is not of the tree", rel)
		}
		delete(want, rel)
		return s.compareEntry(path, e)
	})
	if err == nil && len(want) > 0 {
		err = fmt.Errorf("%d entries are missing", len(want))
	}
	return err
}

func (s *sample) compareEntry(path string, e wire.Entry) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	switch e.Kind {
	case wire.EntryDirectory:
		if !info.IsDir() {
			return fmt.Errorf("%s is no directory", path)
		}
	case wire.EntryLink:
		if target, err := os.Readlink(path); err != nil || target != e.Target {
			return fmt.Errorf("%s leads to %q, %v", path, target, err)
		}
	default:
		b, err := os.ReadFile(path)
		if err != nil || int64(len(b)) != e.Size || checksumOf(b) != e.Checksum {
			return fmt.Errorf("%s holds other bytes, %d of them: %v", path, len(b), err)
		}
		if got := info.Mode()&0o100 != 0; got != (e.Kind == wire.EntryExecutable) {
			return fmt.Errorf("%s has the mode %v", path, info.Mode())
		}
	}
	return nil
}

func openTree(t *testing.T, fsys FS, o TreeOptions) *Tree {
	t.Helper()
	f, err := OpenTree(t.Context(), fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTree(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	fsys.wantNames(t, "x.part", "x.part.journal")
	must(t, s.fetchAll(f))
	must(t, f.Checkpoint())
	path, err := f.Commit(t.Context())
	must(t, err)
	if want := filepath.Join(fsys.path, "x"); path != want {
		t.Errorf("it lies at %q, want %q", path, want)
	}
	must(t, f.Close())
	fsys.wantNames(t, "x")
	s.wantTree(t, path)
}

// A tree without any bytes.
func TestTreeWithoutChunks(t *testing.T) {
	for _, leaves := range [][]leaf{{}, {{path: "a"}, {path: "b/c", kind: wire.EntryDirectory}, {path: "d", kind: wire.EntryLink, target: "."}}} {
		fsys := newTestFS(t)
		s := newSample(t, leaves...)
		f := openTree(t, Dir(fsys.root), s.options(Fetch))
		path, err := f.Commit(t.Context())
		must(t, err)
		s.wantTree(t, path)
		must(t, f.Close())
		fsys.wantNames(t, "x")
	}
}

func TestTreeResumes(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	var done []int
	for chunk := 0; chunk < f.Chunks(); chunk += 2 {
		must(t, s.fetch(f, chunk))
		done = append(done, chunk)
	}
	must(t, f.Checkpoint())
	must(t, f.Close())
	fsys.wantNames(t, "x.part", "x.part.journal")

	found, err := LookTree(Dir(fsys.root), "x")
	must(t, err)
	header := TreeHeader(s.tree, s.listing)
	if final, part := found.FinalState(header), found.PartState(header); final != FinalNone || part != PartSame {
		t.Fatalf("found final %d, part %d", final, part)
	}
	f = openTree(t, Dir(fsys.root), s.options(Resume))
	for chunk := range f.Chunks() {
		if got, want := f.Found(chunk), slices.Contains(done, chunk); got != want {
			t.Errorf("chunk %d: found %t, want %t", chunk, got, want)
		}
	}
	must(t, f.Survey(t.Context(), 1, nil, func(chunk int, ok bool) {
		if !ok || !slices.Contains(done, chunk) {
			t.Errorf("chunk %d: %t", chunk, ok)
		}
	}))
	if f.MarkedCount() != len(done) {
		t.Fatalf("%d chunks are marked, want %d", f.MarkedCount(), len(done))
	}
	must(t, s.fetchAll(f))
	path, err := f.Commit(t.Context())
	must(t, err)
	must(t, f.Close())
	s.wantTree(t, path)
	fsys.wantNames(t, "x")
}

func TestTreeCommitDoesNotReplace(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	must(t, s.fetchAll(f))
	must(t, os.Mkdir(filepath.Join(fsys.path, "x"), 0o777))
	_, err := f.Commit(t.Context())
	wantReason(t, err, Exists)
	must(t, f.Close())
	fsys.wantNames(t, "x", "x.part", "x.part.journal")
}

func TestTreeReplaces(t *testing.T) {
	fsys := newTestFS(t)
	s := newSample(t, variedLeaves()...)
	must(t, os.Mkdir(filepath.Join(fsys.path, "x"), 0o777))
	fsys.put(t, "x/old", "old")
	o := s.options(Fetch)
	o.Replace = true
	f := openTree(t, Dir(fsys.root), o)
	must(t, s.fetchAll(f))
	path, err := f.Commit(t.Context())
	must(t, err)
	must(t, f.Close())
	s.wantTree(t, path)
	fsys.want(t, "x.replaced/old", "old")
	if got, want := f.Replaced(), filepath.Join(fsys.path, "x.replaced"); got != want {
		t.Errorf("replaced is at %q, want %q", got, want)
	}
	_, err = OpenTree(t.Context(), Dir(fsys.root), o)
	if wantReason(t, err, Exists); errors.Is(err, errReplaced) {
		t.Error(err)
	}
	fsys.wantNames(t, "x", "x.replaced")
}

// Many write at once: some of them lie, some take over, and checkpoints go on
// meanwhile. One of them marks each chunk, with the right bytes.
func TestTreeManyWriters(t *testing.T) {
	fsys := newTestFS(t)
	leaves := variedLeaves()
	for i := range 60 {
		leaves = append(leaves, leaf{path: fmt.Sprintf("z/%02d/file", i), size: 1 + 5000*i, seed: uint64(10 + i)})
	}
	s := newSample(t, leaves...)
	f := openTree(t, Dir(fsys.root), s.options(Fetch))
	var g errgroup.Group
	for writer := range 8 {
		rng := rand.New(rand.NewPCG(uint64(writer), 3))
		g.Go(func() error {
			for _, chunk := range rng.Perm(f.Chunks()) {
				if claim, ok := f.Claim(chunk); ok {
					err := claim.WriteAt(bytes.Repeat([]byte{'!'}, int(s.tree.Content().Length(chunk, 1))/2), 0)
					if claim.Release(); err != nil && err != ErrNotOwner {
						return err
					}
				}
				if err := s.takeOver(f, chunk); err != nil && err != ErrNotOwner {
					return err
				}
				if rng.IntN(20) == 0 {
					if err := f.Checkpoint(); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	must(t, g.Wait())
	for chunk := range f.Chunks() { // its last marker may have lost it to another
		if !f.Marked(chunk) {
			must(t, s.fetch(f, chunk))
		}
	}
	path, err := f.Commit(t.Context())
	must(t, err)
	s.wantTree(t, path)
}

// takeOver writes and marks a chunk of which all bytes are here.
func (s *sample) takeOver(f *Tree, chunk int) error {
	claim, ok := f.TakeOver(chunk)
	if !ok {
		return nil
	}
	defer claim.Release()
	if err := claim.WriteAt(s.chunk(chunk), 0); err != nil {
		return err
	}
	sum := xxh3.Hash128(s.chunk(chunk))
	return claim.Mark(sum.Bytes())
}
