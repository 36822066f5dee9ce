package cache

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"malcolm/transfer/manifest"
)

// cacheSeeds returns valid entries.
func cacheSeeds(t testing.TB) [][]byte {
	var seeds [][]byte
	for _, size := range []int64{0, 5, manifest.MinChunkSize + 1} {
		var b bytes.Buffer
		must(t, writeEntry(&b, keyFor(size), madeUp(size, 1)))
		seeds = append(seeds, b.Bytes())
	}
	return seeds
}

// FuzzCacheEntry takes the input as an entry, once as it is and once with the
// right hash appended, since nobody guesses one.
func FuzzCacheEntry(f *testing.F) {
	for _, b := range cacheSeeds(f) {
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(b[:len(b)-entrySumLen])
		f.Add(append(bytes.Clone(b), 0))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkEntry(t, b)
		if len(b) > 0 {
			checkEntry(t, sealed(bytes.Clone(b)))
		}
	})
}

// checkEntry reports whether b is accepted as the entry of the key in its head.
// An accepted entry must be the values of that key, come out of the encoder
// again, and be no other key's entry.
func checkEntry(t testing.TB, b []byte) (accepted bool) {
	k := keyIn(b)
	m, checksum, err := decodeEntry(b, k)
	if err != nil {
		if !errors.Is(err, errDamaged) {
			t.Errorf("got %v, want errDamaged", err)
		}
		return false
	}
	if err := manifest.Check(m, k.Size, checksum); err != nil {
		t.Error(err)
	}
	var encoded bytes.Buffer
	must(t, writeEntry(&encoded, k, m))
	if !bytes.Equal(encoded.Bytes(), b) {
		t.Errorf("another encoding of one entry\n got %x\nwant %x", encoded.Bytes(), b)
	}
	if len(b) != entryLen(k.Size) {
		t.Errorf("accepted %d bytes, want %d", len(b), entryLen(k.Size))
	}
	other := k
	other.Inode++
	if _, _, err := decodeEntry(b, other); err == nil {
		t.Error("accepted for another key")
	}
	return true
}

// TestCacheSeeds proves that the fuzz target's seeds are still where go test
// looks for them, and that some are accepted and some refused, with a right
// hash too.
func TestCacheSeeds(t *testing.T) {
	for i, b := range cacheSeeds(t) {
		if !checkEntry(t, b) {
			t.Errorf("seed %d is not accepted", i)
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzCacheEntry", "*"))
	must(t, err)
	accepted, whenSealed := 0, 0
	for _, file := range files {
		b := seed(t, file)
		if checkEntry(t, b) {
			accepted++
		}
		if len(b) > 0 && checkEntry(t, sealed(b)) {
			whenSealed++
		}
	}
	if accepted == 0 || whenSealed == 0 || accepted+whenSealed >= len(files) {
		t.Errorf("of %d seed files %d are accepted and %d with a right hash, want some of each and not all", len(files), accepted, whenSealed)
	}
}

// seed reads a seed file with one []byte.
func seed(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	version, rest, _ := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	literal, opened := strings.CutPrefix(strings.TrimSpace(rest), "[]byte(")
	literal, closed := strings.CutSuffix(literal, ")")
	b, err := strconv.Unquote(literal)
	if version != "go test fuzz v1" || !opened || !closed || err != nil {
		t.Fatalf("%s is no seed file of one []byte", file)
	}
	return []byte(b)
}
