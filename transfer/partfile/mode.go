package partfile

import "io/fs"

// moder is a Handle that has permission bits.
type moder interface{ Chmod(mode fs.FileMode) error }

// ownerMode is what a part file's mode has besides, so that a later run can open it.
const ownerMode fs.FileMode = 0o600

// setMode gives the part file permission bits. Where there are none it does nothing.
func (f *File) setMode(mode fs.FileMode) error {
	h, ok := f.handle.(moder)
	if !ok {
		return nil
	}
	return h.Chmod(mode)
}

// beginMode gives an unfinished file the mode of the finished one, as far as it can be worked with: nobody can read
// of it who may not read the finished one. Where that cannot be, finishMode says so.
func (f *File) beginMode() {
	if f.mode != nil {
		f.modeErr = f.setMode(f.mode.Perm() | ownerMode)
	}
}

// finishMode is for the file that has its final name.
func (f *File) finishMode() error {
	if f.mode == nil || f.modeErr != nil || f.mode.Perm() == f.mode.Perm()|ownerMode {
		return f.modeErr
	}
	if err := f.setMode(f.mode.Perm()); err != nil {
		return err
	}
	return f.handle.Sync()
}
