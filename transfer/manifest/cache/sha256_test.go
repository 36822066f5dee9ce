package cache

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lukechampine.com/blake3"
)

// A SHA-256 comes back for the key and the checksum it was stored with, whole
// or not at all.
func TestSHA256(t *testing.T) {
	c := newCache(t)
	k, other := keyFor(5), keyFor(6)
	checksum, sum := [32]byte{1}, [32]byte{2}
	want := func(what string, k Key, checksum [32]byte, hit bool) {
		t.Helper()
		got, ok := c.LoadSHA256(k, checksum)
		if ok != hit || hit && got != sum {
			t.Errorf("%s: %x, %t", what, got, ok)
		}
	}
	want("no directory", k, checksum, false)
	must(t, c.StoreSHA256(k, checksum, sum))
	want("stored", k, checksum, true)
	want("another file", other, checksum, false)
	path := filepath.Join(c.Dir, shaName(k))
	good, err := os.ReadFile(path)
	must(t, err)
	for bit := range 8 * len(good) {
		b := append([]byte(nil), good...)
		b[bit/8] ^= 1 << (bit % 8)
		must(t, os.WriteFile(path, b, 0o600))
		want("a wrong bit", k, checksum, false)
		wantGone(t, path, "a wrong bit")
	}
	must(t, os.WriteFile(path, good[:len(good)-1], 0o600))
	want("cut", k, checksum, false)
	must(t, os.WriteFile(path, good, 0o600))
	want("with another checksum", k, [32]byte{9}, false)
	wantGone(t, path, "with another checksum")
	must(t, c.StoreSHA256(k, checksum, sum))
	must(t, c.Store(k, madeUp(5, 1)))
	c.Drop(k)
	want("dropped", k, checksum, false)
	c.MaxBytes = blockSize - 1
	if err := c.StoreSHA256(k, checksum, sum); err == nil {
		t.Error("stored what is larger than the bound")
	}
}

// TestSHA256Frozen pins the format, as TestCacheEntryFrozen does.
func TestSHA256Frozen(t *testing.T) {
	c := newCache(t)
	k := keyFor(5)
	must(t, c.StoreSHA256(k, [32]byte{31: 1}, [32]byte{31: 2}))
	content, err := os.ReadFile(filepath.Join(c.Dir, shaName(k)))
	must(t, err)
	zeros := "00000000000000000000000000000000000000000000000000000000000000"
	want := hex.EncodeToString([]byte("mlcsha2\n")) + "00000001" +
		"0102030405060708" + "1112131415161718" + "0000000000000005" + "2122232425262728" + "fffffffffffffffe" + zeros + "01" + zeros + "02"
	sum := blake3.Sum256(unhex(t, want))
	want += hex.EncodeToString(sum[:])
	if got := hex.EncodeToString(content); got != want {
		t.Errorf("entry\n got %s\nwant %s", got, want)
	}
}

// SHA-256s count and go like the other entries.
func TestSHA256Eviction(t *testing.T) {
	c := newCache(t)
	c.MaxBytes = 2 * blockSize
	a, b := keyFor(5), keyFor(6)
	must(t, c.StoreSHA256(a, [32]byte{1}, [32]byte{}))
	past := c.path(a)
	must(t, c.Store(a, madeUp(5, 1)))
	old := time.Unix(1_600_000_000, 0)
	must(t, os.Chtimes(filepath.Join(c.Dir, shaName(a)), old, old))
	must(t, c.StoreSHA256(b, [32]byte{1}, [32]byte{}))
	if _, err := os.Stat(past); err != nil {
		t.Error("the values went, not the SHA-256 that was used before them")
	}
	wantGone(t, filepath.Join(c.Dir, shaName(a)), "evicted")
}
