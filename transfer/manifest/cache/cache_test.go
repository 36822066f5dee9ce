package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// madeUp returns values for a file of size bytes, which depend on seed.
func madeUp(size int64, seed byte) wire.Values {
	values := wire.NewValues(manifest.Count(size))
	for i := range values.Len() {
		values.Set(i, blake3.Sum256([]byte{seed, byte(i), byte(i >> 8), byte(i >> 16)}))
	}
	return values
}

// keyFor returns a made-up key.
func keyFor(size int64) Key {
	return Key{Device: 0x0102030405060708, Inode: 0x1112131415161718, Size: size, ModTime: 0x2122232425262728, ChangeTime: -2}
}

// newCache returns a cache in a directory that does not exist yet.
func newCache(t testing.TB) *Cache { return &Cache{Dir: filepath.Join(t.TempDir(), "a", "cache")} }

func (c *Cache) path(k Key) string { return filepath.Join(c.Dir, entryName(k)) }

func wantMiss(t testing.TB, c *Cache, k Key, what string) {
	t.Helper()
	m, checksum, ok := c.Load(k)
	if ok || m.Bytes() != nil || checksum != [32]byte{} {
		t.Errorf("%s: Load = %d bytes, %x, %v, want a miss", what, len(m.Bytes()), checksum, ok)
	}
}

func wantHit(t testing.TB, c *Cache, k Key, want wire.Values, what string) {
	t.Helper()
	m, checksum, ok := c.Load(k)
	if !ok || !bytes.Equal(m.Bytes(), want.Bytes()) || checksum != manifest.Checksum(want) {
		t.Errorf("%s: Load = %d bytes, %x, %v, want %d bytes, %x", what, len(m.Bytes()), checksum, ok, len(want.Bytes()), manifest.Checksum(want))
	}
}

// names returns what is in the cache's directory, sorted.
func (c *Cache) names(t testing.TB) []string {
	t.Helper()
	list, err := os.ReadDir(c.Dir)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func wantGone(t testing.TB, path, what string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s: the entry is still there (%v)", what, err)
	}
}

func TestCacheRoundTrip(t *testing.T) {
	c := newCache(t)
	sizes := []int64{0, 1, manifest.MinChunkSize, manifest.MinChunkSize + 1, 1 << 30, 1<<30 + 1}
	for _, size := range sizes {
		wantMiss(t, c, keyFor(size), "empty cache")
		must(t, c.Store(keyFor(size), madeUp(size, 1)))
	}
	for _, size := range sizes {
		wantHit(t, &Cache{Dir: c.Dir}, keyFor(size), madeUp(size, 1), fmt.Sprintf("size %d", size))
	}
	must(t, c.Store(keyFor(1), madeUp(1, 2)))
	wantHit(t, c, keyFor(1), madeUp(1, 2), "stored again")
	if got := len(c.names(t)); got != len(sizes) {
		t.Errorf("%d files for %d entries", got, len(sizes))
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, want := range map[string]os.FileMode{c.Dir: os.ModeDir | 0o700, c.path(keyFor(1)): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode(); got != want {
			t.Errorf("%q has mode %v, want %v", path, got, want)
		}
	}
}

// TestCacheRealFile does what a server does: hash, store; later, load.
func TestCacheRealFile(t *testing.T) {
	needKeys(t)
	c := newCache(t)
	path := filepath.Join(t.TempDir(), "file")
	data := bytes.Repeat([]byte("malcolm"), 3*manifest.MinChunkSize/7+1)
	must(t, os.WriteFile(path, data, 0o600))
	m, checksum, err := manifest.Build(t.Context(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
	must(t, err)
	k := keyOf(t, path)
	if k.Settled(time.Unix(0, k.ChangeTime).Add(time.Second)) {
		t.Error("settled a second after the change")
	}
	must(t, c.Store(k, m))
	if got, sum, ok := c.Load(keyOf(t, path)); !ok || sum != checksum || !bytes.Equal(got.Bytes(), m.Bytes()) {
		t.Errorf("Load = %x, %v, want %x", sum, ok, checksum)
	}
	nextTick(t, t.TempDir())
	must(t, os.WriteFile(path, data, 0o600))
	wantMiss(t, c, keyOf(t, path), "after a write")
	wantHit(t, c, k, m, "the old version")
}

func TestCacheOtherKey(t *testing.T) {
	c := newCache(t)
	k := keyFor(5)
	must(t, c.Store(k, madeUp(5, 1)))
	others := map[string]Key{"device": k, "inode": k, "size": k, "mtime": k, "ctime": k}
	for field, change := range map[string]func(k *Key){
		"device": func(k *Key) { k.Device++ },
		"inode":  func(k *Key) { k.Inode++ },
		"size":   func(k *Key) { k.Size++ },
		"mtime":  func(k *Key) { k.ModTime++ },
		"ctime":  func(k *Key) { k.ChangeTime++ },
	} {
		other := others[field]
		change(&other)
		wantMiss(t, c, other, field)
		// An entry under another key's name is no hit either.
		content, err := os.ReadFile(c.path(k))
		must(t, err)
		must(t, os.WriteFile(c.path(other), content, 0o600))
		wantMiss(t, c, other, field+", by name")
		wantGone(t, c.path(other), field)
	}
	wantHit(t, c, k, madeUp(5, 1), "the key itself")
	for _, size := range []int64{-1, wire.MaxFileSize + 1} {
		wantMiss(t, c, keyFor(size), "size out of range")
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return b
}

// TestCacheEntryFrozen pins the format: an entry that an older malcolm wrote
// must be read or refused, never misread.
func TestCacheEntryFrozen(t *testing.T) {
	c := newCache(t)
	k := keyFor(5)
	must(t, c.Store(k, madeUp(5, 1)))
	content, err := os.ReadFile(c.path(k))
	must(t, err)
	value := blake3.Sum256([]byte{1, 0, 0, 0})
	want := hex.EncodeToString([]byte("mlcindex")) + "00000002" +
		"0102030405060708" + "1112131415161718" + "0000000000000005" + "2122232425262728" + "fffffffffffffffe" +
		hex.EncodeToString(value[:]) + // one chunk: its value is the checksum
		hex.EncodeToString(value[:])
	body := unhex(t, want)
	sum := blake3.Sum256(body)
	want += hex.EncodeToString(sum[:])
	if got := hex.EncodeToString(content); got != want {
		t.Errorf("entry\n got %s\nwant %s", got, want)
	}
	name := blake3.Sum256(body[:52])
	if got, want := c.names(t), []string{hex.EncodeToString(name[:16]) + ".index"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

// TestCacheOldVersion has an entry of the first version, which held xxh3 sums
// and the sizes too. It is ignored, and goes when its time has come.
func TestCacheOldVersion(t *testing.T) {
	c := newCache(t)
	c.MaxBytes = blockSize
	k := keyFor(5)
	prefix := append([]byte("mlcindex"), 0, 0, 0, 1)
	prefix = k.append(prefix)
	sum := madeUp(5, 1).At(0)
	old := slices.Concat(prefix, sum[:], unhex(t, "0000000000000005"+"00040000"+"00000001"), sum[:], sum[:16])
	name := manifest.Sum(prefix)
	path := filepath.Join(c.Dir, hex.EncodeToString(name[:16])+".index")
	must(t, os.MkdirAll(c.Dir, 0o700))
	must(t, os.WriteFile(path, sealed(old), 0o600))
	wantMiss(t, c, k, "of the first version")
	must(t, os.WriteFile(c.path(k), sealed(old), 0o600))
	wantMiss(t, c, k, "of the first version, by name")
	must(t, c.Store(k, madeUp(5, 1)))
	wantHit(t, c, k, madeUp(5, 1), "stored anew")
	wantGone(t, path, "there is room for one")
}

// TestCacheDamage puts every damaged form of an entry in its place.
func TestCacheDamage(t *testing.T) {
	c := newCache(t)
	k := keyFor(manifest.MinChunkSize + 1)
	m := madeUp(k.Size, 1)
	must(t, c.Store(k, m))
	good, err := os.ReadFile(c.path(k))
	must(t, err)
	try := func(b []byte, format string, args ...any) {
		t.Helper()
		must(t, os.WriteFile(c.path(k), b, 0o600))
		what := fmt.Sprintf(format, args...)
		wantMiss(t, c, k, what)
		wantGone(t, c.path(k), what)
	}
	for bit := range 8 * len(good) {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		try(b, "bit %d", bit)
	}
	for n := range len(good) {
		try(good[:n], "cut to %d bytes", n)
		try(append(bytes.Clone(good[:n]), make([]byte, len(good)-n)...), "zeros from %d", n)
	}
	try(append(bytes.Clone(good), 0), "a byte too many")
	try(append(bytes.Clone(good), good...), "twice")
	try(bytes.Repeat([]byte{0xa5}, len(good)), "garbage")

	// Whole and with a right hash, but not the entry.
	body := good[:len(good)-entrySumLen]
	for _, at := range []int{0, len(entryMagic) + 3, entryHeadLen - 1, entryHeadLen} {
		b := bytes.Clone(body)
		b[at] ^= 1
		try(sealed(b), "byte %d, with a right hash", at)
	}
	must(t, os.WriteFile(c.path(k), sealed(bytes.Clone(body)), 0o600))
	wantHit(t, c, k, m, "undamaged")
}

// sealed appends the hash of body to it.
func sealed(body []byte) []byte {
	sum := manifest.Sum(body)
	return append(body, sum[:]...)
}

func TestCacheOtherThings(t *testing.T) {
	k := keyFor(5)
	for _, c := range []struct {
		name string
		make func(cache *Cache, good string) error
	}{
		{"a link to the entry itself", func(c *Cache, good string) error { return os.Symlink(good, c.path(k)) }},
		{"a link inside the directory", func(c *Cache, good string) error {
			must(t, os.Rename(good, filepath.Join(c.Dir, "good")))
			return os.Symlink("good", c.path(k))
		}},
		{"a link as long as an entry", func(c *Cache, good string) error {
			must(t, os.Rename(good, filepath.Join(c.Dir, "good")))
			return os.Symlink(strings.Repeat("./", entryLen(5)/2-2)+"good", c.path(k))
		}},
		{"a dangling link", func(c *Cache, good string) error { return os.Symlink("nowhere", c.path(k)) }},
		{"a directory", func(c *Cache, good string) error { return os.Mkdir(c.path(k), 0o700) }},
	} {
		cache := newCache(t)
		must(t, cache.Store(k, madeUp(5, 1)))
		good := filepath.Join(t.TempDir(), "good")
		must(t, os.Rename(cache.path(k), good))
		if err := c.make(cache, good); err != nil {
			if runtime.GOOS == "windows" && strings.Contains(c.name, "link") {
				continue // links need a privilege there
			}
			t.Fatal(err)
		}
		wantMiss(t, cache, k, c.name)
		wantGone(t, cache.path(k), c.name)
		for _, path := range []string{good, filepath.Join(cache.Dir, "good")} {
			if content, err := os.ReadFile(path); err == nil && len(content) != entryLen(5) {
				t.Errorf("%s: what the link led to has %d bytes", c.name, len(content))
			}
		}
		must(t, cache.Store(k, madeUp(5, 2)))
		wantHit(t, cache, k, madeUp(5, 2), c.name+", stored again")
	}
}

// TestCacheFullDirectory has something in the entry's place that cannot be
// removed.
func TestCacheFullDirectory(t *testing.T) {
	c := newCache(t)
	k := keyFor(5)
	must(t, os.MkdirAll(filepath.Join(c.path(k), "inside"), 0o700))
	wantMiss(t, c, k, "a directory that is not empty")
	if err := c.Store(k, madeUp(5, 1)); err == nil {
		t.Error("stored in place of a directory")
	}
	if got, want := c.names(t), []string{entryName(k)}; !slices.Equal(got, want) {
		t.Errorf("left behind %q, want %q", got, want)
	}
}

func TestCacheNoDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("mine"), 0o600))
	for name, c := range map[string]*Cache{
		"a file":            {Dir: file},
		"below a file":      {Dir: filepath.Join(file, "cache")},
		"no name":           {},
		"a name with a NUL": {Dir: filepath.Join(dir, "a\x00b")},
	} {
		wantMiss(t, c, keyFor(5), name)
		err := c.Store(keyFor(5), madeUp(5, 1))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.Dir)) {
			t.Errorf("%s: Store = %v, want an error that names the directory", name, err)
		}
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "mine" {
		t.Errorf("the file is now %q, %v", content, err)
	}
}

func TestCacheStoreRefuses(t *testing.T) {
	c := newCache(t)
	for name, m := range map[string]wire.Values{
		"no values":      {},
		"chunk too many": wire.NewValues(2),
	} {
		if err := c.Store(keyFor(5), m); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	for _, size := range []int64{-1, wire.MaxFileSize + 1} {
		if err := c.Store(keyFor(size), madeUp(5, 1)); err == nil {
			t.Errorf("size %d: stored", size)
		}
	}
	if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory was made for nothing (%v)", err)
	}
}

// use sets when the entry of k was last used, in minutes of an early day.
func (c *Cache) use(t *testing.T, k Key, minute int) {
	t.Helper()
	must(t, os.Chtimes(c.path(k), time.Time{}, time.Unix(1_600_000_000+60*int64(minute), 0)))
}

func TestCacheEviction(t *testing.T) {
	c := newCache(t)
	c.MaxBytes = 4 * blockSize // four small entries
	keys := make([]Key, 6)
	for i := range keys {
		keys[i] = keyFor(5)
		keys[i].Inode = uint64(i)
	}
	left := func(want ...int) {
		t.Helper()
		var got []int
		for i, k := range keys {
			if _, err := os.Stat(c.path(k)); err == nil {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("entries left: %v, want %v", got, want)
		}
	}
	for i, minute := range []int{30, 10, 20, 40} {
		must(t, c.Store(keys[i], madeUp(5, byte(i))))
		c.use(t, keys[i], minute)
	}
	left(0, 1, 2, 3)
	must(t, c.Store(keys[3], madeUp(5, 9))) // again: nothing is in the way
	c.use(t, keys[3], 40)
	left(0, 1, 2, 3)
	must(t, c.Store(keys[4], madeUp(5, 4)))
	left(0, 2, 3, 4)
	wantHit(t, c, keys[2], madeUp(5, 2), "the oldest") // and now the newest
	must(t, c.Store(keys[5], madeUp(5, 5)))
	left(2, 3, 4, 5)

	// A larger one replaces several.
	for i, minute := range []int{0, 0, 7, 6, 5, 8} {
		if i >= 2 {
			c.use(t, keys[i], minute)
		}
	}
	large := keyFor(40 << 20) // 160 chunks: two blocks
	must(t, c.Store(large, madeUp(large.Size, 1)))
	left(2, 5)
	wantHit(t, c, large, madeUp(large.Size, 1), "the larger one")

	// The one just stored stays, even if the clock was set back.
	for i, k := range []Key{keys[2], keys[5], large} {
		c.use(t, k, 50_000_000+i) // in the year 2115
	}
	must(t, c.Store(keys[0], madeUp(5, 0)))
	wantHit(t, c, keys[0], madeUp(5, 0), "stored after the clock was set back")
	left(0, 5)

	// Two blocks fit, three do not.
	c.MaxBytes = 2 * blockSize
	must(t, c.Store(large, madeUp(large.Size, 1)))
	left()
	wantHit(t, c, large, madeUp(large.Size, 1), "alone")
	c.MaxBytes--
	if err := c.Store(large, madeUp(large.Size, 2)); err == nil {
		t.Error("stored an entry that is larger than the bound")
	}
	wantHit(t, c, large, madeUp(large.Size, 1), "after the refusal")
}

// TestCacheEvictionSparesOthers has files in the directory that are not the
// cache's.
func TestCacheEvictionSparesOthers(t *testing.T) {
	c := newCache(t)
	c.MaxBytes = blockSize
	must(t, os.MkdirAll(c.Dir, 0o700))
	entry := entryName(keyFor(1))
	spared := []string{
		"notes.txt", "identity.pem", ".index", entry[1:], "g" + entry[1:], strings.ToUpper(entry[:32]) + ".index",
		entry + "x", entry + ".bak", entry + ".new.tmp", "x.tmp",
		entry + "x.tmp", strings.Repeat("f", 50) + ".tmp",
	}
	removed := []string{entry, entry + ".OLD.tmp", entry + ".AHEAD.tmp"}
	slices.Sort(spared)
	for _, name := range slices.Concat(spared, removed) {
		path := filepath.Join(c.Dir, name)
		must(t, os.WriteFile(path, []byte("text"), 0o600))
		at := time.Unix(1_600_000_000, 0)
		switch name {
		case entry + ".new.tmp":
			at = time.Now().Add(-staleTemp / 2)
		case entry + ".AHEAD.tmp":
			at = time.Now().Add(2 * staleTemp)
		}
		must(t, os.Chtimes(path, at, at))
	}
	must(t, c.Store(keyFor(5), madeUp(5, 1)))
	want := append(slices.Clone(spared), entryName(keyFor(5)))
	slices.Sort(want)
	if got := c.names(t); !slices.Equal(got, want) {
		t.Errorf("left\n got %q\nwant %q", got, want)
	}
}

// TestCacheConcurrently stores and loads through caches that share nothing but
// the directory, as processes do, with more entries than there is room for.
func TestCacheConcurrently(t *testing.T) {
	const goroutines, rounds, room = 8, 12, 5
	dir := filepath.Join(t.TempDir(), "cache")
	sizes := []int64{0, 5, manifest.MinChunkSize + 1, 30 << 20}
	var hits sync.Map
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			c := &Cache{Dir: dir, MaxBytes: room * blockSize}
			for round := range rounds {
				size := sizes[(g+round)%len(sizes)]
				k := keyFor(size)
				k.Inode = uint64(round % 2)
				if err := c.Store(k, madeUp(size, byte(k.Inode))); err != nil {
					t.Errorf("store: %v", err)
				}
				for _, size := range sizes {
					k.Size = size
					m, _, ok := c.Load(k)
					if ok && !bytes.Equal(m.Bytes(), madeUp(size, byte(k.Inode)).Bytes()) {
						t.Errorf("size %d: loaded other values", size)
					}
					if ok {
						hits.Store(k, true)
					}
				}
			}
		})
	}
	wg.Wait()
	found := 0
	hits.Range(func(any, any) bool { found++; return true })
	if found < len(sizes) {
		t.Errorf("only %d keys were ever found", found)
	}
	c := &Cache{Dir: dir, MaxBytes: room * blockSize}
	must(t, c.Store(keyFor(5), madeUp(5, 1)))
	var total int64
	for _, name := range c.names(t) {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		total += onDisk(info.Size())
		if !isEntryName(name) {
			t.Errorf("left behind: %q", name)
		}
	}
	if total > c.MaxBytes {
		t.Errorf("%d bytes are left, at most %d are allowed", total, c.MaxBytes)
	}
}

func TestDefaultMaxBytes(t *testing.T) {
	for given, want := range map[int64]int64{-1: 512 << 20, 0: 512 << 20, 1: 1, 4096: 4096} {
		if got := (&Cache{MaxBytes: given}).maxBytes(); got != want {
			t.Errorf("MaxBytes %d holds %d bytes, want %d", given, got, want)
		}
	}
	if got := onDisk(int64(entryLen(wire.MaxFileSize))); 10*got > defaultMaxBytes {
		t.Errorf("the largest entry has %d bytes: ten do not fit", got)
	}
}

// BenchmarkCacheLoad measures the wait of a server before it offers a file that
// it has hashed before.
func BenchmarkCacheLoad(b *testing.B) {
	for _, chunks := range []int64{1 << 12, 1 << 16, 1 << 20} {
		b.Run(fmt.Sprintf("chunks=%d", chunks), func(b *testing.B) {
			c := newCache(b)
			k := keyFor(chunks * manifest.MaxChunkSize)
			must(b, c.Store(k, madeUp(k.Size, 1)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := c.Load(k); !ok {
					b.Fatal("miss")
				}
			}
		})
	}
}

// keyIn returns the key that an entry has in its head, if it has one.
func keyIn(b []byte) Key {
	if len(b) < entryHeadLen {
		return Key{}
	}
	field := func(i int) uint64 { return binary.BigEndian.Uint64(b[12+8*i:]) }
	return Key{field(0), field(1), int64(field(2)), int64(field(3)), int64(field(4))}
}

// A fullDisk takes that number of writes, then fails.
type fullDisk int

func (d *fullDisk) Write(p []byte) (int, error) {
	if *d == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	*d--
	return len(p), nil
}

func TestWriteEntryFails(t *testing.T) {
	for writes := range 3 {
		disk := fullDisk(writes)
		if err := writeEntry(&disk, keyFor(5), madeUp(5, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %d writes: %v, want the disk's error", writes, err)
		}
	}
}
