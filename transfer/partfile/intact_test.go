package partfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What another program does to the part file is found at the next checkpoint or
// at the commit, whichever comes first, and named in the error. Then nothing
// gets the final name, and nothing more is recorded.
func TestChangedBehindOurBack(t *testing.T) {
	part := func(fsys *testFS) string { return filepath.Join(fsys.path, "x.part") }
	for name, c := range map[string]struct {
		change func(t *testing.T, fsys *testFS)
		words  string
	}{
		"emptied":                  {func(t *testing.T, fsys *testFS) { os.Truncate(part(fsys), 0) }, "changed its size to 0 bytes"},
		"cut":                      {func(t *testing.T, fsys *testFS) { os.Truncate(part(fsys), 1) }, "changed its size to 1 bytes"},
		"cut to the finished size": {func(t *testing.T, fsys *testFS) { os.Truncate(part(fsys), 3) }, "changed its size to 3 bytes"},
		"grown":                    {func(t *testing.T, fsys *testFS) { os.Truncate(part(fsys), 100) }, "changed its size to 100 bytes"},
		"removed":                  {func(t *testing.T, fsys *testFS) { os.Remove(part(fsys)) }, "removed by another program"},
		"renamed":                  {func(t *testing.T, fsys *testFS) { os.Rename(part(fsys), part(fsys)+"2") }, "renamed by another program"},
		"replaced": {func(t *testing.T, fsys *testFS) {
			os.Remove(part(fsys))
			fsys.put(t, "x.part", "bad\x00")
		}, "replaced by another file"},
		"replaced by a link": {func(t *testing.T, fsys *testFS) {
			os.Rename(part(fsys), part(fsys)+"2")
			os.Symlink("x.part2", part(fsys))
		}, "replaced by another file"},
	} {
		for _, use := range []string{"checkpoint", "commit"} {
			runQuickly(t, name+", "+use, func(t *testing.T) {
				fsys := newTestFS(t)
				f := filled(t, fsys, Options{Name: "x"}, "new")
				c.change(t, fsys)
				fsys.forget()
				if use == "checkpoint" {
					if e := wantReason(t, f.Checkpoint(), Changed); !strings.Contains(e.Error(), c.words) {
						t.Errorf("error %v, want %q", e, c.words)
					}
				}
				_, err := f.Commit()
				if e := wantReason(t, err, Changed); !strings.Contains(e.Error(), c.words) {
					t.Errorf("error %v, want %q", e, c.words)
				}
				wantReason(t, f.Checkpoint(), Changed)
				if n := fsys.called("write journal"); n != 0 {
					t.Errorf("%d records were written", n)
				}
				if _, err := os.Lstat(filepath.Join(fsys.path, "x")); !errors.Is(err, fs.ErrNotExist) {
					t.Error("the final name is there")
				}
			})
		}
	}
}

// A file that was emptied, and then written to its very end, does not look
// whole.
func TestEmptiedAndWrittenAgain(t *testing.T) {
	for _, sparse := range []bool{false, true} {
		fsys := newTestFS(t)
		content := string(rightBytes(3 * testChunk))
		f := openTest(t, fsys, Options{Name: "x", Size: int64(len(content)), ChunkSize: testChunk, SkipPreallocate: sparse})
		for chunk := range f.Chunks() {
			if chunk == f.Chunks()-1 {
				if err := os.Truncate(filepath.Join(fsys.path, "x.part"), 0); err != nil {
					t.Fatal(err)
				}
			}
			put(t, f, chunk, chunkOf([]byte(content), chunk))
		}
		_, err := f.Commit()
		wantReason(t, err, Changed)
		f.Close()
		fsys.wantNames(t, "x.part", "x.part.journal")

		// The next run finds what is left, and ends with the right
		// file.
		f = openTest(t, fsys, Options{Name: "x", Size: int64(len(content)), ChunkSize: testChunk, Action: Resume})
		if err := fill(f, content); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		fsys.want(t, "x", content)
	}
}

// A second link that somebody makes, such as a backup, does no harm.
func TestSecondLinkMeanwhile(t *testing.T) {
	fsys := newTestFS(t)
	f := filled(t, fsys, Options{Name: "x"}, "new")
	if err := os.Link(filepath.Join(fsys.path, "x.part"), filepath.Join(fsys.path, "backup")); err != nil {
		t.Skip(err)
	}
	if err := f.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	fsys.want(t, "x", "new")
}
