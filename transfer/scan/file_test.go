package scan

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest/cache"
)

// hashedFile hashes a file by its path, and says how many bytes were read.
func hashedFile(t *testing.T, path string, cfg FileConfig) (h *HashedFile, read int64) {
	t.Helper()
	f, err := localfile.Named(path).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p Progress
	h, err = HashFile(t.Context(), f, cfg, &p)
	if err != nil {
		t.Fatal(err)
	}
	return h, p.Bytes.Load()
}

// The cache's entry of a file from before it was asked for a SHA-256 has none:
// the file is hashed once more, and then never again.
func TestFileSHA256Kept(t *testing.T) {
	home, path := t.TempDir(), filepath.Join(t.TempDir(), "data")
	os.Chmod(home, 0o700)
	data := bytes.Repeat([]byte("0123456789abcdef"), cacheLeast/16)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := cache.KeyOf(info); !ok {
		t.Skip("this system does not tell versions of a file apart")
	}
	keep := func(h *HashedFile) { // as if its times were settled
		h.keep(FileConfig{Cache: &cache.Cache{Dir: home}}, time.Now().Add(time.Hour))
		if h.Unkept != nil {
			t.Fatal(h.Unkept)
		}
	}
	want := sha256.Sum256(data)
	cfg := FileConfig{Cache: &cache.Cache{Dir: home}}
	var first *HashedFile
	for i, test := range []struct {
		ask, rehash, reads bool
	}{{reads: true}, {}, {ask: true, reads: true}, {ask: true}, {}, {ask: true, rehash: true, reads: true}} {
		cfg.SHA256, cfg.Rehash = test.ask, test.rehash
		h, read := hashedFile(t, path, cfg)
		if (read > 0) != test.reads || test.reads && read != int64(len(data)) {
			t.Errorf("%d: %d bytes were read", i, read)
		}
		if (h.SHA256 != nil) != test.ask || test.ask && *h.SHA256 != want {
			t.Errorf("%d: SHA-256 %v", i, h.SHA256)
		}
		if first == nil {
			first = h
		}
		if h.Checksum != first.Checksum || !bytes.Equal(h.Values.Bytes(), first.Values.Bytes()) {
			t.Errorf("%d: other values", i)
		}
		if test.reads {
			keep(h)
		}
	}
}

// Each file of a directory has a SHA-256 if it was asked for: the first time,
// from the snapshot before, and from the cache, but for a cache without.
func TestTreeSHA256(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	os.Chmod(home, 0o700)
	texts := map[string]string{"a": "1", "b/c": "2", "empty": "", "large": string(bytes.Repeat([]byte{7}, 600_000))}
	files(t, dir, texts)
	os.Symlink("a", filepath.Join(dir, "link"))
	check := func(what string, s *scanning, ask bool) {
		t.Helper()
		for i := range s.now.Len() {
			e := s.now.Entry(i)
			if !e.IsFile() {
				continue
			}
			sum, ok := s.now.SHA256(i)
			if ok != ask || ask && sum != sha256.Sum256([]byte(texts[e.Path])) {
				t.Errorf("%s: %s: %x, %t", what, e.Path, sum, ok)
			}
		}
	}
	c := &cache.Cache{Dir: home}
	for i, test := range []struct {
		ask    bool
		opened int
	}{{false, 4}, {false, 0}, {true, 4}, {true, 0}, {false, 0}, {true, 0}} {
		what := fmt.Sprintf("run %d", i)
		s := scanningOf(t, dir, Config{Cache: c, SHA256: test.ask})
		if n := s.scan(); n != test.opened {
			t.Errorf("%s: %d files were opened, want %d", what, n, test.opened)
		}
		check(what, s, test.ask)
		settleAll(s)
		if err := s.Keep(s.now); err != nil {
			t.Fatal(err)
		}
		if n := s.scan(); n != 0 {
			t.Errorf("%s: %d files were opened again", what, n)
		}
		check(what+", again", s, test.ask)
		s.now.Close()
	}
}
