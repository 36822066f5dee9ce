package fetch

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

// A sample is a tree: what lies at each path. A string is a link's target, a
// nil slice an empty directory.
type sample map[string]any

func (m sample) listing(t *testing.T) (listing []byte, files [][]byte) {
	t.Helper()
	var entries []wire.Entry
	for path, what := range m {
		e := wire.Entry{Path: path}
		switch what := what.(type) {
		case string:
			e.Kind, e.Target = wire.EntryLink, what
		case []byte:
			if what == nil {
				e.Kind = wire.EntryDirectory
				break
			}
			e.Size, e.Checksum = int64(len(what)), sumOf(t, what)
			if strings.HasSuffix(path, ".sh") {
				e.Kind = wire.EntryExecutable
			}
			files = append(files, what)
		}
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return wire.PathLess(entries[i].Path, entries[j].Path) })
	listing, err := wire.AppendListing(nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	return listing, files
}

// varied has files of none, one and several chunks, some of them the same, and
// everything else that a tree may have.
func varied() sample {
	big := file(5*chunk+77, 1)
	return sample{
		"a/empty":      []byte{},
		"a/small":      file(100, 2),
		"a/run.sh":     file(200, 3),
		"a/big":        big,
		"b/deep/below": file(chunk, 4),
		"b/deep/again": big,
		"b/hollow":     []byte(nil),
		"b/link":       "../a/small",
		"same":         file(100, 2),
	}
}

// has fails the test unless exactly this lies in a directory.
func (m sample) has(t *testing.T, dir string) {
	t.Helper()
	found := make(map[string]bool)
	for path, what := range m {
		full := filepath.Join(dir, path)
		info, err := os.Lstat(full)
		if err != nil {
			t.Error(err)
			continue
		}
		found[path] = true
		switch what := what.(type) {
		case string:
			if to, err := os.Readlink(full); to != what {
				t.Errorf("%s leads to %q, %v, want %q", path, to, err, what)
			}
		case []byte:
			if what == nil {
				if !info.IsDir() {
					t.Errorf("%s is no directory", path)
				}
				break
			}
			if data, err := os.ReadFile(full); !bytes.Equal(data, what) {
				t.Errorf("%s has %d bytes, %v, want %d others", path, len(data), err, len(what))
			}
			if runs := info.Mode()&0o100 != 0; runs != strings.HasSuffix(path, ".sh") {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
		}
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err == nil && !d.IsDir() && !found[filepath.ToSlash(rel)] {
			t.Errorf("%s is not of the tree", rel)
		}
		return err
	})
}

// getTree copies a tree from holders of it into a directory.
func getTree(t *testing.T, m sample, out Output, change ...func(*sourcetest.Conn)) (*Result, []Event, error) {
	t.Helper()
	listing, files := m.listing(t)
	var sources []source.Source
	for i, change := range change {
		sources = append(sources, sourcetest.HolderOfTree(place(i), listing, files, change))
	}
	var events []Event
	s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) { events = append(events, e) }})
	defer s.Close()
	r, err := s.Get(Ballot{}, out)
	return r, events, err
}

// A directory is copied with everything in it, and what is the same is fetched
// once.
func TestGetTree(t *testing.T) {
	for name, change := range map[string]func(*Output){
		"plain":     func(*Output) {},
		"read back": func(o *Output) { o.Recheck = true },
		"named":     func(o *Output) { o.Name = "other" },
	} {
		synctest.Test(t, func(t *testing.T) {
			out := Output{Dir: t.TempDir()}
			change(&out)
			r, _, err := getTree(t, varied(), out, nil, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := filepath.Join(out.Dir, "tree")
			if out.Name != "" {
				want = filepath.Join(out.Dir, out.Name)
			}
			if r.Path != want || r.Fetched != 5*chunk+77+100+200+chunk || r.Part != "" {
				t.Errorf("%s: %+v, want %s", name, r, want)
			}
			varied().has(t, want)
			if left, _ := os.ReadDir(out.Dir); len(left) != 1 {
				t.Errorf("%s: %v is left, want the tree alone", name, left)
			}
		})
	}
}

// A tree without bytes is made too.
func TestGetTreeWithoutBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sample{"a/empty": []byte{}, "b": []byte(nil), "c": "a"}
		dir := t.TempDir()
		if _, _, err := getTree(t, m, Output{Dir: dir}, nil); err != nil {
			t.Fatal(err)
		}
		m.has(t, filepath.Join(dir, "tree"))
	})
}

// A run that was cut off is continued, and fetches only what is missing.
func TestGetTreeResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var served atomic.Int32
		dies := func(c *sourcetest.Conn) {
			serve := c.OnRange
			c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
				if served.Add(1) > 4 {
					return nil, &source.Fault{What: source.Wrong, Words: "breaks the protocol"}
				}
				return serve(ctx, spans)
			}
		}
		r, _, err := getTree(t, varied(), Output{Dir: dir}, dies)
		if err == nil || r.Part != filepath.Join(dir, "tree.part") || r.Fetched == 0 {
			t.Fatalf("%+v, %v, want that it was cut off", r, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "tree")); err == nil {
			t.Error("it has its name before it is complete")
		}
		before := r.Fetched
		_, _, err = getTree(t, varied(), Output{Dir: dir}, nil)
		if e, ok := errors.AsType[*TargetError](err); !ok || e.Hint != partfile.HintResume || !e.Tree {
			t.Errorf("without -r: %v, want a hint at it", err)
		}
		p, err := treeServers(t, varied()).Plan(Ballot{}, Output{Dir: dir, Resume: true})
		if err != nil || p.Kept != before || p.Missing != p.Size-before || p.MissingChunks == 0 || p.MissingChunks >= p.Chunks {
			t.Errorf("dry run: %+v, %v, want that %d bytes are kept", p, err, before)
		}
		damaged := filepath.Join(dir, "tree.part", "a/big")
		if b, err := os.ReadFile(damaged); err == nil {
			whole := bytes.Clone(b)
			b[0] ^= 1
			os.WriteFile(damaged, b, 0o644)
			p, err := treeServers(t, varied()).Plan(Ballot{}, Output{Dir: dir, Resume: true})
			if err != nil || p.Kept != before-chunk {
				t.Errorf("dry run: %+v, %v, want that damage is not kept", p, err)
			}
			os.WriteFile(damaged, whole, 0o644)
		} else {
			t.Error(err)
		}
		// A run that was cut off between two renames says where the
		// directory is that it was to replace.
		aside := filepath.Join(dir, "tree.replaced")
		if err := os.Mkdir(aside, 0o755); err != nil {
			t.Fatal(err)
		}
		r, events, err := getTree(t, varied(), Output{Dir: dir, Resume: true}, nil)
		if !slices.Contains(events, Event(SetAside{Path: aside, CutOff: true})) {
			t.Errorf("nothing says where the old one is: %v", events)
		}
		if err != nil || r.Resumed != before || r.Fetched != r.Size-before {
			t.Fatalf("%+v, %v, want that %d bytes are kept", r, err, before)
		}
		varied().has(t, filepath.Join(dir, "tree"))
	})
}

// A target that exists is left alone, but with --force it gets another name.
func TestGetTreeOverAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old := filepath.Join(dir, "tree")
		os.MkdirAll(filepath.Join(old, "mine"), 0o755)
		_, _, err := getTree(t, varied(), Output{Dir: dir}, nil)
		if e, ok := errors.AsType[*TargetError](err); !ok || e.Path != old || KindOf(err) != KindLocal {
			t.Fatalf("error = %v, want that it exists", err)
		}
		_, events, err := getTree(t, varied(), Output{Dir: dir, Force: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(events, Event(SetAside{Path: old + partfile.ReplacedSuffix})) {
			t.Errorf("nothing says where the old one is: %v", events)
		}
		varied().has(t, old)
		if _, err := os.Lstat(filepath.Join(dir, "tree.replaced", "mine")); err != nil {
			t.Errorf("what was replaced is gone: %v", err)
		}
		_, _, err = getTree(t, varied(), Output{Dir: dir, Force: true}, nil)
		if e, ok := errors.AsType[*TargetError](err); !ok || e.Hint != partfile.HintReplaced {
			t.Errorf("a second time: %v, want that tree.replaced is in the way", err)
		}
	})
}

// A server whose bytes are wrong is named with what it lied about, and others
// send that.
func TestGetTreeFromLiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := varied()
		listing, _ := m.listing(t)
		lies := func(c *sourcetest.Conn) {
			serve := c.OnRange
			c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
				if spans[0].Checksum == sumOf(t, listing) {
					return serve(ctx, spans)
				}
				return sourcetest.NewBody(bytes.NewReader(slices.Repeat([]byte{7}, 8*chunk))), nil
			}
		}
		dir := t.TempDir()
		r, events, err := getTree(t, m, Output{Dir: dir}, lies, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.has(t, filepath.Join(dir, "tree"))
		var bad []string
		for _, e := range events {
			if e, ok := e.(ChunkRefused); ok {
				bad = append(bad, e.Path)
			}
		}
		if len(bad) != 1 || m[bad[0]] == nil || r.Servers[0].State != StateWrong {
			t.Errorf("refused: %q, want the file that came wrong from the first server; it is %v", bad, r.Servers[0].State)
		}
	})
}
