package partfile

import "time"

// timer is an FS that can set the modification time of a file.
type timer interface {
	SetModTime(name string, t time.Time) error
}

// setModTime gives the part file the modification time that the finished one is
// to have. Where there are none it does nothing. What follows must not write.
func (f *File) setModTime() error {
	fsys, ok := f.fs.(timer)
	if f.modTime == nil || !ok {
		return nil
	}
	return fsys.SetModTime(f.part, *f.modTime)
}
