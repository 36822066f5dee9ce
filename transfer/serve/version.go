package serve

import (
	"io/fs"
	"sync/atomic"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

// A version is one state of the file, held open, and what is said of it. Of a
// tree it is the listing, the list of times, or one of the files.
type version struct {
	file   localfile.File
	info   fs.FileInfo // of file, before it was hashed
	offer  wire.Offer
	values wire.Values // nil of a tree's file
	sha256 *[32]byte   // nil: not asked for, or a listing or list of times

	tree   *treeVersion // nil: the file belongs to no tree
	entry  int          // of the tree
	proved atomic.Bool  // the values merge to the checksum

	// under index.mu
	users int       // the file is closed when nobody uses it
	asked time.Time // when somebody last asked for it by its checksum
}

// chunks returns the number of the version's values.
func (v *version) chunks() int {
	if v.tree == nil {
		return v.values.Len()
	}
	return manifest.Count(v.offer.Size)
}

// readValues returns count values from number first on. They may be in buf,
// which has room for them.
func (v *version) readValues(buf []byte, first, count int) ([]byte, error) {
	switch {
	case v.tree == nil:
		return v.values.Bytes()[first*wire.ValueLen : (first+count)*wire.ValueLen], nil
	case v.chunks() == 1:
		return append(buf[:0], v.offer.Checksum[:]...), nil
	}
	buf = buf[:count*wire.ValueLen]
	return buf, v.tree.snapshot.ReadValues(v.entry, buf, first)
}

// provesValues reports whether the values of a tree's file merge to its
// checksum.
func (v *version) provesValues() bool {
	if v.proved.Load() {
		return true
	}
	n, failed := v.chunks(), false
	buf, have := make([]byte, min(n*wire.ValueLen, wire.MaxFrameLen)), []byte(nil)
	sum := manifest.Merge(n, func(i int) (value [32]byte) {
		if len(have) == 0 && !failed {
			var err error
			have, err = v.readValues(buf, i, min(n-i, wire.MaxFrameLen/wire.ValueLen))
			failed = err != nil
		}
		if failed {
			return value
		}
		value, have = [32]byte(have), have[wire.ValueLen:]
		return value
	})
	if failed || sum != v.offer.Checksum {
		return false
	}
	v.proved.Store(true)
	return true
}

// isIntact reports whether the open file still holds what was hashed, as far as
// its size and modification time tell. Its name may belong to another file by
// now.
func (v *version) isIntact() bool {
	info, err := v.file.Stat()
	return err == nil && scan.SameContent(v.info, info)
}

// A difference is how a hashed file has changed since, as the system reports.
type difference int

const (
	// sameFile: nothing was done to it.
	sameFile difference = iota
	// otherNumber: another file number, with the same size and times. Some
	// file systems (FUSE) give a file a new number at each look.
	otherNumber
	// otherStatus: size and modification time are the same, but something
	// was done to it: a chmod, a new link, a backup program that puts times
	// back. Changed bytes can hide behind that.
	otherStatus
	// otherContent: another size or modification time.
	otherContent
)

// compare says how the file has changed since it was hashed; now is what the
// system says.
func (v *version) compare(now fs.FileInfo) difference {
	if !scan.SameContent(v.info, now) {
		return otherContent
	}
	hashed, ok1 := cache.KeyOf(v.info)
	key, ok2 := cache.KeyOf(now)
	switch {
	case !ok1 || !ok2 || hashed == key:
		return sameFile
	case hashed.ChangeTime == key.ChangeTime:
		return otherNumber
	}
	return otherStatus
}
