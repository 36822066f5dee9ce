package cache

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"time"

	"crypto/rand"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// What is kept of a tree is one file. Integers are big-endian, varints those of
// encoding/binary.
//
//	bytes   field
//	8       magic, "mlctree\n"
//	4       version: 1, or 2 = the files have a SHA-256
//	32      name: which tree
//	32 × n  values
//	        files, each: varint length of the path, path, varint size, 8 bytes
//	        file number, 8 mtime, 8 ctime, 32 checksum, varint number of its
//	        first value; in version 2 then 32 SHA-256
//	8       n
//	8       number of files
//	32      BLAKE3-256 of all that is before it
const (
	treeMagic   = "mlctree\n"
	treeVersion = 1
	treeWithSHA = 2
	treeHeadLen = len(treeMagic) + 4 + 32
	treeTailLen = 8 + 8 + 32
	treeSuffix  = ".tree"
)

// A TreeFile is what is kept of one file of a tree.
type TreeFile struct {
	Path     string // in the tree
	Size     int64
	Stamp    Stamp
	Checksum [32]byte
	First    uint32   // number of its first value in the tree; without meaning if it has one chunk
	SHA256   [32]byte // zero in a tree that has none
}

// A Tree is what is kept of the files of one tree: it holds one file open, and
// nothing a file in memory. Values may be read from any goroutine; [Tree.Next]
// belongs to one.
type Tree struct {
	f      *os.File
	values int64 // in number
	files  uint64
	sha256 bool // each file has one
	next   *bufio.Reader
}

// LoadTree returns what is kept under a name, to be closed; nil: nothing is.
// It reads all of it. What is damaged is removed.
func (c *Cache) LoadTree(name [32]byte) *Tree {
	root, err := openCache(c.Dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	file := treeName(name)
	seen, err := root.Lstat(file)
	if err != nil {
		return nil
	}
	t, err := openTree(root, file, seen, name)
	if err != nil {
		if errors.Is(err, errDamaged) {
			_ = root.Remove(file)
		}
		return nil
	}
	_ = root.Chtimes(file, time.Time{}, time.Now()) // if that fails, it is only evicted earlier
	return t
}

// DropTree forgets what is kept under a name.
func (c *Cache) DropTree(name [32]byte) {
	root, err := openCache(c.Dir)
	if err != nil {
		return
	}
	defer root.Close()
	_ = root.Remove(treeName(name))
}

func openTree(root *os.Root, file string, seen os.FileInfo, name [32]byte) (*Tree, error) {
	if !seen.Mode().IsRegular() || !ours(seen) || seen.Size() < int64(treeHeadLen+treeTailLen) {
		return nil, errDamaged
	}
	f, err := root.OpenFile(file, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, err
	}
	opened, err := f.Stat()
	t := &Tree{f: f}
	switch {
	case err != nil:
	case !os.SameFile(seen, opened):
		err = errors.New("replaced meanwhile")
	default:
		err = t.check(opened.Size(), name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// check reads all of a tree's file of size bytes.
func (t *Tree) check(size int64, name [32]byte) error {
	body := size - 32
	sum, err := sumOf(io.NewSectionReader(t.f, 0, body), body)
	if err != nil {
		return err
	}
	head, tail := make([]byte, treeHeadLen), make([]byte, treeTailLen)
	if _, err := t.f.ReadAt(head, 0); err != nil {
		return err
	}
	if _, err := t.f.ReadAt(tail, size-int64(treeTailLen)); err != nil {
		return err
	}
	t.sha256 = bytes.Equal(head, treeHead(name, treeWithSHA))
	if !t.sha256 && !bytes.Equal(head, treeHead(name, treeVersion)) || sum != [32]byte(tail[16:]) {
		return errDamaged
	}
	values := binary.BigEndian.Uint64(tail)
	space := size - int64(treeHeadLen+treeTailLen)
	if values > uint64(space)/wire.ValueLen || values > math.MaxUint32 {
		return errDamaged
	}
	t.values, t.files = int64(values), binary.BigEndian.Uint64(tail[8:])
	start := t.values * wire.ValueLen
	t.next = bufio.NewReaderSize(io.NewSectionReader(t.f, int64(treeHeadLen)+start, space-start), 128<<10)
	return nil
}

// sumOf returns the BLAKE3 of n bytes, at least one.
func sumOf(r io.Reader, n int64) ([32]byte, error) {
	h := manifest.NewSum(n)
	if _, err := io.CopyBuffer(onlyWriter{h}, r, make([]byte, 128<<10)); err != nil {
		return [32]byte{}, err
	}
	sum, _ := h.Sum()
	return sum, nil
}

// An onlyWriter hides what else a writer can do.
type onlyWriter struct{ io.Writer }

// Next returns the next file, in the order in which they were stored; false:
// there is no other, or none that can be read.
func (t *Tree) Next() (TreeFile, bool) {
	if t.files == 0 {
		return TreeFile{}, false
	}
	t.files--
	f, err := readTreeFile(t.next)
	if err == nil && t.sha256 {
		_, err = io.ReadFull(t.next, f.SHA256[:])
	}
	if err != nil {
		t.files = 0
	}
	return f, err == nil
}

// HasSHA256 reports whether each file has a SHA-256.
func (t *Tree) HasSHA256() bool { return t.sha256 }

func readTreeFile(r *bufio.Reader) (f TreeFile, err error) {
	length, err := binary.ReadUvarint(r)
	if err != nil || length > wire.MaxPathLen {
		return f, errDamaged
	}
	path := make([]byte, length)
	if _, err := io.ReadFull(r, path); err != nil {
		return f, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > wire.MaxFileSize {
		return f, errDamaged
	}
	var b [3*8 + 32]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return f, err
	}
	first, err := binary.ReadUvarint(r)
	if err != nil || first > math.MaxUint32 {
		return f, errDamaged
	}
	return TreeFile{
		Path: string(path), Size: int64(size), Checksum: [32]byte(b[24:]), First: uint32(first),
		Stamp: Stamp{binary.BigEndian.Uint64(b[:]), int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b[16:]))},
	}, nil
}

// Values returns the number of all values.
func (t *Tree) Values() uint32 { return uint32(t.values) }

// ReadValues fills p, whose length is a multiple of [wire.ValueLen], with the
// values from number first on.
func (t *Tree) ReadValues(p []byte, first uint32) error {
	if int64(first)+int64(len(p)/wire.ValueLen) > t.values {
		return io.ErrUnexpectedEOF
	}
	_, err := t.f.ReadAt(p, int64(treeHeadLen)+int64(first)*wire.ValueLen)
	return err
}

// Close ends the use of the file.
func (t *Tree) Close() error { return t.f.Close() }

func treeName(name [32]byte) string { return hex.EncodeToString(name[:16]) + treeSuffix }

func treeHead(name [32]byte, version uint32) []byte {
	b := append(make([]byte, 0, treeHeadLen), treeMagic...)
	b = binary.BigEndian.AppendUint32(b, version)
	return append(b, name[:]...)
}

// A TreeContent is what [Cache.StoreTree] keeps.
type TreeContent struct {
	// Values calls its argument with all values, one piece after another;
	// Count is their number.
	Values func(func([]byte) error) error
	Count  uint32
	// Files yields the files of the tree, in the order of its paths.
	Files iter.Seq[TreeFile]
	// SHA256 says that each file has one.
	SHA256 bool
}

// StoreTree keeps the files of a tree under a name, and replaces what was kept
// before. Like [Cache.Store] it removes what was used least recently, and
// nothing changes after an error.
func (c *Cache) StoreTree(name [32]byte, content TreeContent) error {
	if err := c.storeTree(name, content); err != nil {
		return fmt.Errorf("store index in %q: %w", c.Dir, err)
	}
	return nil
}

func (c *Cache) storeTree(name [32]byte, content TreeContent) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	root, err := openCache(c.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	file := treeName(name)
	temp := file + "." + rand.Text() + tempSuffix
	f, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := &treeWriter{w: bufio.NewWriterSize(f, 128<<10), left: c.maxBytes()}
	err = w.write(name, content)
	if err == nil {
		err = appendSum(f, w.n)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, file)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return evict(root, file, c.maxBytes())
}

// appendSum ends a tree's file of n bytes by their BLAKE3.
func appendSum(f *os.File, n int64) error {
	sum, err := sumOf(io.NewSectionReader(f, 0, n), n)
	if err == nil {
		_, err = f.WriteAt(sum[:], n)
	}
	return err
}

// errTooMuch says that a tree needs more than the cache may have.
var errTooMuch = errors.New("the index of the tree is larger than all that may be kept")

// A treeWriter writes a tree's file but for its last field.
type treeWriter struct {
	w    *bufio.Writer
	n    int64 // bytes written
	left int64 // that may be written
}

func (w *treeWriter) put(b []byte) error {
	if w.left -= int64(len(b)); w.left < 0 {
		return errTooMuch
	}
	w.n += int64(len(b))
	_, err := w.w.Write(b)
	return err
}

func (w *treeWriter) write(name [32]byte, content TreeContent) error {
	version := uint32(treeVersion)
	if content.SHA256 {
		version = treeWithSHA
	}
	if err := w.put(treeHead(name, version)); err != nil {
		return err
	}
	if err := content.Values(w.put); err != nil {
		return err
	}
	if w.n != int64(treeHeadLen)+int64(content.Count)*wire.ValueLen {
		return fmt.Errorf("%d bytes of values, not %d values", w.n-int64(treeHeadLen), content.Count)
	}
	var b []byte
	var n uint64
	for f := range content.Files {
		b = binary.AppendUvarint(b[:0], uint64(len(f.Path)))
		b = append(b, f.Path...)
		b = binary.AppendUvarint(b, uint64(f.Size))
		b = binary.BigEndian.AppendUint64(b, f.Stamp.File)
		b = binary.BigEndian.AppendUint64(b, uint64(f.Stamp.ModTime))
		b = binary.BigEndian.AppendUint64(b, uint64(f.Stamp.ChangeTime))
		b = append(b, f.Checksum[:]...)
		b = binary.AppendUvarint(b, uint64(f.First))
		if content.SHA256 {
			b = append(b, f.SHA256[:]...)
		}
		n++
		if err := w.put(b); err != nil {
			return err
		}
	}
	b = binary.BigEndian.AppendUint64(b[:0], uint64(content.Count))
	if err := w.put(binary.BigEndian.AppendUint64(b, n)); err != nil {
		return err
	}
	return w.w.Flush()
}
