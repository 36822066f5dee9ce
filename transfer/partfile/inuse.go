package partfile

import "io"

// InUse is the error Locked, with the holder, if another run is writing the
// part file of name right now. It is nil if nobody does, or if that cannot be
// told. Use it for a refusal that has another reason too. It keeps nothing: its
// lock is shared, and a run that begins at that instant tries again.
func InUse(fsys FS, name string) error {
	part, err := lstat(fsys, name+PartSuffix)
	if err != nil {
		return nil
	}
	var h interface {
		io.Closer
		LockShared() (bool, error)
	}
	switch trees, ok := fsys.(TreeFS); {
	case part.Kind == Regular:
		h, err = fsys.Open(name + PartSuffix)
	case part.Kind == Directory && ok:
		h, err = trees.OpenDir(name + PartSuffix)
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	defer h.Close()
	if free, err := h.LockShared(); err != nil || free {
		return nil
	}
	return locked(fsys, name)
}
