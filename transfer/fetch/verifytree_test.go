package fetch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"malcolm/transfer/localfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transfer/tree"
)

// write makes a sample in a directory.
func (m sample) write(t *testing.T, dir string) {
	t.Helper()
	for path, what := range m {
		full := filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		switch what := what.(type) {
		case string:
			err = errors.Join(err, os.Symlink(what, full))
		case []byte:
			mode := os.FileMode(0o644)
			if filepath.Ext(path) == ".sh" {
				mode = 0o755
			}
			if what == nil {
				err = errors.Join(err, os.Mkdir(full, 0o755))
			} else {
				err = errors.Join(err, os.WriteFile(full, what, mode))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// treeServers returns a session over two holders of a sample.
func treeServers(t *testing.T, m sample) *Session {
	t.Helper()
	listing, files := m.listing(t)
	var sources []source.Source
	for i := range 2 {
		sources = append(sources, sourcetest.HolderOfTree(place(i), listing, files, nil))
	}
	s := Open(t.Context(), Servers{Sources: sources}, Watch{})
	t.Cleanup(s.Close)
	return s
}

// A directory is compared entry by entry.
func TestVerifyTree(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(dir string) error
		want   string // of the differences
		counts TreeMismatchError
	}{
		{"right", func(string) error { return nil }, "", TreeMismatchError{}},
		{"missing", func(dir string) error { return os.Remove(dir + "/a/small") }, "a/small 2", TreeMismatchError{Missing: 1}},
		{"other bytes", func(dir string) error { return os.WriteFile(dir+"/a/small", file(100, 77), 0o644) }, "a/small 32", TreeMismatchError{Wrong: 1}},
		{"another size", func(dir string) error { return os.Truncate(dir+"/a/big", 5) }, "a/big 48", TreeMismatchError{Wrong: 1}},
		{"another mode", func(dir string) error { return os.Chmod(dir+"/a/run.sh", 0o644) }, "a/run.sh 8", TreeMismatchError{Wrong: 1}},
		{"extra", func(dir string) error { return os.WriteFile(dir+"/b/x", nil, 0o644) }, "b/x 1", TreeMismatchError{Extra: 1}},
		{"a link", func(dir string) error {
			return errors.Join(os.Remove(dir+"/b/link"), os.Symlink("../same", dir+"/b/link"))
		}, "b/link 64", TreeMismatchError{Wrong: 1}},
		{"a directory without its files", func(dir string) error {
			return errors.Join(os.Remove(dir+"/b/deep/below"), os.Remove(dir+"/b/deep/again"))
		}, "b/deep/again 2, b/deep/below 2", TreeMismatchError{Missing: 2}},
		{"a file in an empty directory", func(dir string) error { return os.WriteFile(dir+"/b/hollow/x", nil, 0o644) }, "b/hollow/x 1", TreeMismatchError{Extra: 1}},
		{"another kind", func(dir string) error {
			return errors.Join(os.Remove(dir+"/same"), os.Mkdir(dir+"/same", 0o755))
		}, "same 4", TreeMismatchError{Wrong: 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			varied().write(t, dir)
			if err := test.change(dir); err != nil {
				t.Fatal(err)
			}
			r, err := treeServers(t, varied()).VerifyTree(Ballot{}, dir)
			if r == nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			var got []string
			for _, d := range r.Differences {
				got = append(got, fmt.Sprintf("%s %d", d.Path, d.Change))
			}
			var want []string
			if test.want != "" {
				want = strings.Split(test.want, ", ")
				test.counts.Path = dir
				if e, ok := errors.AsType[*TreeMismatchError](err); !ok || *e != test.counts || KindOf(err) != KindIntegrity {
					t.Errorf("%s: error = %v, want %v", test.name, err, &test.counts)
				}
			} else if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			if !slices.Equal(got, want) || r.Want.Files != 7 || r.Listing != sumOfListing(t, varied()) {
				t.Errorf("%s: differences %q, want %q; %+v", test.name, got, want, r.Want)
			}
		})
	}
}

func sumOfListing(t *testing.T, m sample) [32]byte {
	listing, _ := m.listing(t)
	return sumOf(t, listing)
}

// The numbers that the test before names.
func TestChangesAreNumbered(t *testing.T) {
	if tree.Added != 1 || tree.Removed != 2 || tree.Kind != 4 || tree.Executable != 8 || tree.Size != 16 || tree.Checksum != 32 || tree.Target != 64 {
		t.Error("other numbers")
	}
}

// A file is no directory, on neither side.
func TestVerifyTreeOfFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := treeServers(t, varied()).VerifyTree(Ballot{}, path); !errors.Is(err, localfile.ErrNotDirectory) {
			t.Errorf("a local file: %v", err)
		}
		s := Open(t.Context(), Servers{Sources: []source.Source{sourcetest.Holder(place(0), file(10, 1), nil)}}, Watch{})
		defer s.Close()
		if _, err := s.VerifyTree(Ballot{}, dir); !as[*FileOfferedError](err) || KindOf(err) != KindVote {
			t.Errorf("a file offered: %v", err)
		}
	})
}

// The error counts each kind of difference in words.
func TestTreeMismatchInWords(t *testing.T) {
	e := &TreeMismatchError{Path: "copy/photos", Missing: 1, Wrong: 3, Extra: 2, Unread: 1}
	want := `"copy/photos" is not right: among its entries 1 is missing, 3 differ, 2 are extra, 1 cannot be compared`
	if got := e.Error(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
