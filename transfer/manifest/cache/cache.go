// Package cache keeps the values of local files on the disk between runs, so
// that a file that has not changed is not hashed again.
//
// A [Cache] is a directory, a [Key] names one version of one file by what the
// system says of it. Any goroutine, and any process, may use one directory at
// the same time; the package holds nothing open and starts no goroutine. Its
// calls wait for the disk: an entry has up to 32 MiB.
package cache

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// An entry of the cache is one file. Integers are big-endian.
//
//	offset  bytes  field
//	0       8      magic, "mlcindex"
//	8       4      version, 2
//	12      40     key: device, inode, size, mtime, ctime, 8 bytes each
//	52      32     checksum of the file
//	84      n      values, as on the wire
//	84+n    32     BLAKE3-256 of all that is before it
//
// The size in the key decides n. The entry's name is made of its version and
// key, so that programs with different versions do not touch each other's
// entries. Those of older versions are evicted in their turn.
const (
	entryMagic   = "mlcindex"
	entryVersion = 2
	entryHeadLen = len(entryMagic) + 4 + keyLen + 32
	entrySumLen  = 32

	entryDigits = 2 * 16 // of a name
	entrySuffix = ".index"
	tempSuffix  = ".tmp"

	// blockSize is the unit in which files count against MaxBytes, in
	// bytes: the usual block of a file system.
	blockSize = 4 << 10

	// defaultMaxBytes holds 15 of the largest entries and some 3,900 of
	// files of 1 to 64 GiB.
	defaultMaxBytes = 512 << 20

	// staleTemp is the age from which an unfinished entry counts as left
	// behind by a dead process.
	staleTemp = time.Hour
)

// errDamaged says that the file under an entry's name is not that entry.
var errDamaged = errors.New("damaged entry")

// A Cache keeps the values of local files between runs, so that an unchanged
// file need not be hashed again. It holds nothing open. Several goroutines and
// processes may use one directory at the same time. It touches nothing outside
// the directory, and in it only files with names of entries.
//
// The cache is as reliable as [Key] and as the directory's owner: on Unix,
// directory and entries must belong to the user of the process and must not be
// open to others for writing. Store values only if the file's key was the same
// before and after it was hashed, and was [Key.Settled] when that began.
type Cache struct {
	// Dir is the directory, see certs.CacheDir. Store makes it, with mode
	// 0700.
	Dir string
	// MaxBytes bounds the total of the entries, each rounded up to 4 KiB; 0
	// or less: 512 MiB. It holds whenever no Store is under way.
	MaxBytes int64
}

// Load returns the values that were stored for k, and their checksum. Anything
// wrong is a miss: no entry, no directory, one that others may write to,
// something other than a regular file, an entry that cannot be read or has a
// wrong bit. A file that is not the entry under its name is removed, without
// following links. A hit makes the entry the most recently used one.
func (c *Cache) Load(k Key) (values wire.Values, checksum [32]byte, ok bool) {
	if !validSize(k.Size) {
		return wire.Values{}, [32]byte{}, false
	}
	root, err := openCache(c.Dir)
	if err != nil {
		return wire.Values{}, [32]byte{}, false
	}
	defer root.Close()
	name := entryName(k)
	b, err := readEntry(root, name, entryLen(k.Size))
	if err == nil {
		values, checksum, err = decodeEntry(b, k)
	}
	if err != nil {
		if errors.Is(err, errDamaged) {
			// If another process has put a good entry there since,
			// the file is hashed once more than needed.
			_ = root.Remove(name)
		}
		return wire.Values{}, [32]byte{}, false
	}
	_ = root.Chtimes(name, time.Time{}, time.Now()) // if that fails, the entry is only evicted earlier
	return values, checksum, true
}

// Drop forgets what was stored for k, as the file no longer holds it. It does
// not report failure: an entry that cannot be removed cannot be written either,
// and the next Store replaces it.
func (c *Cache) Drop(k Key) {
	root, err := openCache(c.Dir)
	if err != nil {
		return
	}
	defer root.Close()
	_ = root.Remove(entryName(k))
	_ = root.Remove(shaName(k))
}

// Store keeps the values of the file with key k, and replaces those stored
// before. It removes the least recently used entries beyond MaxBytes. An entry
// appears as a whole or not at all.
//
// An error says why the next run may have to hash again; nothing else depends
// on it. It comes from the system, or says that a file of k.Size bytes has
// another number of chunks, that the entry alone is larger than MaxBytes, or
// that others may write to the directory.
func (c *Cache) Store(k Key, values wire.Values) error {
	if err := c.store(k, values); err != nil {
		return fmt.Errorf("store index in %q: %w", c.Dir, err)
	}
	return nil
}

func (c *Cache) store(k Key, values wire.Values) error {
	if err := manifest.CheckLen(values, k.Size); err != nil {
		return err
	}
	if n := onDisk(int64(entryLen(k.Size))); n > c.maxBytes() {
		return fmt.Errorf("%d bytes are needed, %d allowed", n, c.maxBytes())
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	root, err := openCache(c.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name := entryName(k)
	if err := replaceEntry(root, name, func(w io.Writer) error { return writeEntry(w, k, values) }); err != nil {
		return err
	}
	return evict(root, name, c.maxBytes())
}

func (c *Cache) maxBytes() int64 {
	if c.MaxBytes <= 0 {
		return defaultMaxBytes
	}
	return c.MaxBytes
}

// openCache opens the directory if nobody else may write to it.
func openCache(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil && !ours(info) {
		err = fmt.Errorf("the directory is another user's or open to others (mode %#o)", info.Mode().Perm())
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// entryName returns the name of k's entry in the directory. 128 bits of a hash
// suffice, since the entry itself holds the key.
func entryName(k Key) string {
	sum := manifest.Sum(entryPrefix(k))
	return hex.EncodeToString(sum[:16]) + entrySuffix
}

// isEntryName reports whether name may come from entryName, shaName or
// treeName.
func isEntryName(name string) bool {
	digits, ending, _ := strings.Cut(name, ".")
	return len(digits) == entryDigits && strings.Trim(digits, "0123456789abcdef") == "" &&
		slices.Contains([]string{entrySuffix, shaSuffix, treeSuffix}, "."+ending)
}

// isTempName reports whether name is that of an unfinished entry.
func isTempName(name string) bool {
	entry, found := strings.CutSuffix(name, tempSuffix)
	end := strings.LastIndexByte(entry, '.')
	return found && end > 0 && isEntryName(entry[:end])
}

// entryLen returns the length in bytes of the entry for a file of size bytes.
func entryLen(size int64) int {
	return entryHeadLen + wire.ValuesLen(manifest.Count(size)) + entrySumLen
}

// entryPrefix returns the fields of an entry that are known before it is read.
func entryPrefix(k Key) []byte {
	b := append(make([]byte, 0, entryHeadLen), entryMagic...)
	return k.append(binary.BigEndian.AppendUint32(b, entryVersion))
}

// readEntry reads a file of n bytes in root. errDamaged says that the name has
// no such file, or not ours.
func readEntry(root *os.Root, name string, n int) ([]byte, error) {
	// Root.OpenFile follows links and may wait for FIFOs, so Lstat decides
	// what is opened and Stat confirms that it was.
	seen, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !seen.Mode().IsRegular() || seen.Size() != int64(n) || !ours(seen) {
		return nil, errDamaged
	}
	f, err := root.OpenFile(name, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(seen, opened) {
		return nil, fs.ErrNotExist // replaced meanwhile
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	return b, nil
}

// decodeEntry checks an entry for k, of any length, and returns its values,
// which keep b. The only error is errDamaged.
func decodeEntry(b []byte, k Key) (values wire.Values, checksum [32]byte, err error) {
	prefix := entryPrefix(k)
	if len(b) < entryHeadLen+entrySumLen || !bytes.HasPrefix(b, prefix) {
		return wire.Values{}, [32]byte{}, errDamaged
	}
	body, sum := b[:len(b)-entrySumLen], b[len(b)-entrySumLen:]
	if manifest.Sum(body) != [32]byte(sum) {
		return wire.Values{}, [32]byte{}, errDamaged
	}
	checksum = [32]byte(body[len(prefix):])
	values, err = wire.ParseValues(body[entryHeadLen:])
	if err != nil || manifest.Check(values, k.Size, checksum) != nil {
		return wire.Values{}, [32]byte{}, errDamaged
	}
	return values, checksum, nil
}

// replaceEntry writes the entry under another name and renames it once it is on
// the disk.
func replaceEntry(root *os.Root, name string, write func(io.Writer) error) error {
	temp := name + "." + rand.Text() + tempSuffix
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}

// writeEntry does not copy values, which may have 32 MiB.
func writeEntry(w io.Writer, k Key, values wire.Values) error {
	checksum := manifest.Checksum(values)
	head := append(entryPrefix(k), checksum[:]...)
	sum := manifest.Sum(head, values.Bytes())
	for _, part := range [][]byte{head, values.Bytes(), sum[:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// onDisk returns the bytes that a file of n bytes counts for.
func onDisk(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// evict removes what dead processes left unfinished, and the least recently
// used entries until the total is at most limit bytes. It never removes the one
// called keep. What others remove meanwhile counts as removed.
func evict(root *os.Root, keep string, limit int64) error {
	entries, err := listEntries(root)
	if err != nil {
		return err
	}
	var total int64
	for _, e := range entries {
		total += onDisk(e.Size())
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	var failed error
	for _, e := range entries {
		if total <= limit {
			return nil
		}
		if e.Name() == keep {
			continue
		}
		if err := root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
			continue
		}
		total -= onDisk(e.Size())
	}
	return failed
}

// listEntries returns all files with an entry's name. It removes unfinished
// entries that are too old to be in work.
func listEntries(root *os.Root) ([]fs.FileInfo, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var entries []fs.FileInfo
	for _, name := range names {
		temp := isTempName(name)
		if !temp && !isEntryName(name) {
			continue
		}
		info, err := root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // another process removed it
		case err != nil:
			return nil, err
		case !temp:
			entries = append(entries, info)
		case time.Since(info.ModTime()).Abs() > staleTemp:
			_ = root.Remove(name) // the next Store tries again
		}
	}
	return entries, nil
}
