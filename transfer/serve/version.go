package serve

import (
	"io/fs"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// A version is one state of the file, held open, and what is said of it.
type version struct {
	file   localfile.File
	info   fs.FileInfo // of file, before it was hashed
	offer  wire.Offer
	values wire.Values

	// under index.mu
	users int       // the file is closed when nobody uses it
	asked time.Time // when somebody last asked for it by its checksum
}

// isIntact reports whether the open file still holds what was hashed, as far as
// its size and modification time tell. Its name may belong to another file by
// now.
func (v *version) isIntact() bool {
	info, err := v.file.Stat()
	return err == nil && sameContent(v.info, info)
}

func sameContent(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
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
	if !sameContent(v.info, now) {
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
