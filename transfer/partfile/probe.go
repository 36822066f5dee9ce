package partfile

import (
	"errors"
	"io/fs"
)

// Scratch names, on which a run tries what its commit will need. Both files are
// always empty. An empty regular file of such a name was left by a run that was
// killed, and is removed. Anything else belongs to somebody, and stays.
const (
	probeSuffix = PartSuffix + ".probe"
	triedSuffix = PartSuffix + ".tried"
)

// naming is a way to give the finished file a name that nothing has.
type naming int

// The ways, the best first. The last one is not exclusive: it replaces another
// program's file that appears between the look and the rename. Creating the
// final name with O_EXCL first, and renaming over it, would not be exclusive
// either: a program that opens the name without O_EXCL then writes into a file
// that goes. Readers would also find an empty file under the final name and
// take it for the finished one, after a power failure until the next run.
const (
	byRename naming = iota // a rename that does not replace
	byLink                 // a second link; the first goes once the second is durable
	byLook                 // a look, then a rename
)

// probe finds out how the finished file can get its name, and fails if it
// cannot. exclusive says that the name must be free. The part's lock is held.
func (f *output) probe(exclusive bool) error {
	free, err := clearScratch(f.fs, f.name)
	if err != nil || !free { // another program's scratch file does not prevent fetching
		return err
	}
	from, to := f.name+probeSuffix, f.name+triedSuffix
	h, err := f.fs.Create(from)
	if err != nil {
		return failure(f.fs, "create", from, err)
	}
	h.Close() // nothing was written
	err = f.probeNames(from, to, exclusive)
	if err == nil {
		if err = f.fs.Remove(to); err != nil {
			err = failure(f.fs, "remove", to, err)
		}
	}
	if err != nil {
		f.fs.Remove(from)
		f.fs.Remove(to)
	}
	return err
}

// probeNames renames from to to as the commit will.
func (f *output) probeNames(from, to string, exclusive bool) error {
	if !exclusive {
		if err := f.fs.Rename(from, to); err != nil {
			return failure(f.fs, "rename", to, err)
		}
		return nil
	}
	var first error
	for way := byRename; ; way++ {
		err := way.give(f.fs, from, to)
		if err == nil {
			f.naming = way
			if way == byLook {
				f.lack(ExclusiveNames, first)
			}
			if way == byLink {
				return f.removeScratch(from)
			}
			return nil
		}
		if first == nil {
			first = err
		}
		if way == byLook || !lacksNaming(err) {
			return failure(f.fs, "rename", to, err)
		}
	}
}

func (f *output) removeScratch(name string) error {
	if err := f.fs.Remove(name); err != nil {
		return failure(f.fs, "remove", name, err)
	}
	return nil
}

// give gives a file the name to; fs.ErrExist if something has it. With byLink
// the name from stays.
func (n naming) give(fsys FS, from, to string) error {
	switch n {
	case byRename:
		return fsys.RenameNoReplace(from, to)
	case byLink:
		return fsys.Link(from, to)
	}
	there, err := lstat(fsys, to)
	if err != nil {
		return err
	}
	if there.Kind != None {
		return fs.ErrExist
	}
	return fsys.Rename(from, to)
}

// clearScratch removes what a killed run has left under the scratch names of
// name. It is false if something else lies there.
func clearScratch(fsys FS, name string) (free bool, err error) {
	free = true
	for _, scratch := range []string{name + probeSuffix, name + triedSuffix} {
		ours, err := clearScratchFile(fsys, scratch)
		if err != nil {
			return false, err
		}
		free = free && ours
	}
	return free, nil
}

// clearScratchFile is clearScratch of one name.
func clearScratchFile(fsys FS, scratch string) (free bool, err error) {
	info, err := lstat(fsys, scratch)
	switch {
	case err != nil:
		return false, err
	case info.Kind == None:
		return true, nil
	case info.Kind != Regular || info.Size != 0:
		return false, nil
	}
	if err := fsys.Remove(scratch); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, failure(fsys, "remove", scratch, err)
	}
	return true, nil
}
