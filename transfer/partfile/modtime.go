package partfile

import "time"

// timer is an FS that can set the modification time of a file.
type timer interface {
	SetModTime(name string, t time.Time) error
}

// setModTime gives the part file the finished file's modification time. It does
// nothing if no time is to be set. Nothing may write afterwards.
func (f *File) setModTime() error {
	fsys, ok := f.fs.(timer)
	if f.modTime == nil || !ok {
		return nil
	}
	return fsys.SetModTime(f.part, *f.modTime)
}
