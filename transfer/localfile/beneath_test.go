package localfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// beneath opens a directory of files, each of which holds its path.
func beneath(t *testing.T, paths ...string) (*Beneath, string) {
	t.Helper()
	dir := t.TempDir()
	for _, path := range paths {
		full := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(path), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	source, err := OfferDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := source.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, dir
}

// Many directories, opened by several goroutines, are open at most 32 at a
// time, and each file is the one of its path.
func TestOpenDirectoriesAreBounded(t *testing.T) {
	var paths []string
	for i := range 100 {
		paths = append(paths, fmt.Sprintf("a/%d/f", i))
	}
	b, _ := beneath(t, paths...)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, path := range paths {
				f, err := b.Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				p := make([]byte, 20)
				if n, _ := f.ReadAt(p, 0); string(p[:n]) != path {
					t.Errorf("%s holds %q", path, p[:n])
				}
				f.Close()
			}
		})
	}
	wg.Wait()
	if len(b.handles) != maxHandles || b.order.Len() != maxHandles {
		t.Errorf("%d directories are open, want %d", len(b.handles), maxHandles)
	}
	names := 0
	if err := b.List("a", func(fs.FileInfo) { names++ }); err != nil || names != 100 {
		t.Errorf("%d names, %v", names, err)
	}
}

// No link is followed, neither at the end nor on the way, not even within.
func TestNoLinkIsFollowed(t *testing.T) {
	b, dir := beneath(t, "d/f")
	os.Symlink("d", filepath.Join(dir, "l"))
	os.Symlink("d/f", filepath.Join(dir, "g"))
	for _, path := range []string{"l/f", "g", "d", "d/f/x", "../x", "none"} {
		if f, err := b.Open(path); err == nil {
			f.Close()
			t.Errorf("%s was opened", path)
		}
	}
	if err := b.List("l", func(fs.FileInfo) {}); err == nil {
		t.Error("a link to a directory was listed")
	}
	if to, err := b.Readlink("g"); to != "d/f" || err != nil {
		t.Errorf("link to %q, %v", to, err)
	}
}

// A name that becomes a link, or another user's, is not opened again.
func TestDirectoryTakenOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	os.Mkdir(dir, 0o755)
	source, err := OfferDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	os.Rename(dir, dir+"2")
	os.Symlink("/", dir)
	if _, err := source.Open(); !errors.As(err, new(*TakeoverError)) {
		t.Errorf("%v, want that it became a link", err)
	}
	linked, err := OfferDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := linked.Open()
	if err != nil {
		t.Fatalf("a link from the beginning: %v", err)
	}
	b.Close()
	if _, err := OfferDirectory(os.Args[0]); !errors.Is(err, ErrNotDirectory) {
		t.Errorf("a file: %v", err)
	}
}
