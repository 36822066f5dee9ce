package partfile

import (
	"errors"
	"io/fs"
	"runtime"
	"unicode/utf8"

	"malcolm/transfer/tree/names"
	"malcolm/wire"
)

// More scratch names, on which a run tries what the file system does with the
// names and links of a tree. See probeSuffix.
const (
	// foldSuffix has a letter that has a case, one that has two Unicode
	// forms, and one that some systems fold to two others.
	foldSuffix  = PartSuffix + ".tell\u00e9\u00df"
	straySuffix = PartSuffix + ".stray\xff"
	linkSuffix  = PartSuffix + ".link"

	linkTarget = "." // of the scratch link
)

// What foldSuffix becomes where cases, Unicode forms or full foldings are not
// told apart.
const (
	foldedCase  = PartSuffix + ".TELL\u00e9\u00df"
	foldedForm  = PartSuffix + ".telle\u0301\u00df"
	foldedFully = PartSuffix + ".tell\u00e9ss"
)

var errNoLinks = errors.New("has symbolic links, which cannot be made here")

// probeTree finds out how the finished tree can get its name, and whether the
// system can hold what the tree has. It fails if it cannot. Only what the tree
// needs is tried.
func (t *Tree) probeTree() error {
	if err := t.probe(true); err != nil {
		return err
	}
	if t.naming == byLink { // directories have no second names
		t.naming = byLook
		t.lack(ExclusiveNames, errors.ErrUnsupported)
	}
	if err := t.fitNames(); err != nil {
		return err
	}
	for i := range t.tree.Entries() {
		if t.entry(i).Kind == wire.EntryLink {
			return t.probeLink()
		}
	}
	return nil
}

// fitNames fails if the file system cannot hold a name, or takes two for one.
func (t *Tree) fitNames() error {
	system := names.System{Windows: runtime.GOOS == "windows"}
	if n, err := t.parent.LongestName(); err == nil {
		system.MaxPart = n
	}
	var err error
	if t.has(names.System{Case: names.FoldsFully, Form: true}) {
		if err = t.probeFolding(&system); err != nil {
			return err
		}
	}
	if t.hasStray() {
		if system.UTF8, err = t.probeStray(); err != nil {
			return err
		}
	}
	if found := names.Problems(t.tree.Entries(), system, 1); len(found) > 0 {
		return reasoned(t.fs, "make", t.part, Unfit, &found[0])
	}
	return nil
}

// has reports whether a system of that kind could not hold the tree.
func (t *Tree) has(s names.System) bool { return len(names.Problems(t.tree.Entries(), s, 1)) > 0 }

// hasStray reports whether a path is no UTF-8.
func (t *Tree) hasStray() bool {
	for i := range t.tree.Entries() {
		if !utf8.ValidString(t.entry(i).Path) {
			return true
		}
	}
	return false
}

// probeFolding finds out which names the file system takes for one.
func (t *Tree) probeFolding(s *names.System) error {
	free, err := t.scratch(foldSuffix)
	if err != nil || !free {
		return err
	}
	same := func(suffix string) bool {
		info, looked := lstat(t.fs, t.name+suffix)
		return looked == nil && info.Kind == Regular && info.Size == 0
	}
	if same(foldedCase) {
		s.Case = names.FoldsCases
		if same(foldedFully) {
			s.Case = names.FoldsFully
		}
	}
	s.Form = same(foldedForm)
	return t.removeScratch(t.name + foldSuffix)
}

// probeStray finds out whether names must be UTF-8.
func (t *Tree) probeStray() (refused bool, err error) {
	free, err := t.scratch(straySuffix)
	switch {
	case err != nil && (IsDiskError(err) || errors.Is(err, fs.ErrPermission)):
		return false, err
	case err != nil:
		return true, nil
	case !free:
		return false, nil
	}
	return false, t.removeScratch(t.name + straySuffix)
}

// scratch makes an empty scratch file. It is false if another program has the
// name.
func (t *Tree) scratch(suffix string) (made bool, err error) {
	name := t.name + suffix
	if free, err := clearScratchFile(t.fs, name); err != nil || !free {
		return false, err
	}
	h, err := t.fs.Create(name)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, failure(t.fs, "create", name, err)
	}
	h.Close() // nothing was written
	return true, nil
}

// probeLink fails if the file system has no symbolic links.
func (t *Tree) probeLink() error {
	name := t.name + linkSuffix
	if free, err := clearScratchLink(t.parent, name); err != nil || !free {
		return err
	}
	err := t.parent.Symlink(linkTarget, name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case IsDiskError(err):
		return failure(t.fs, "link", name, err)
	case err != nil:
		return reasoned(t.fs, "make", t.part, Unfit, errNoLinks)
	}
	return t.removeScratch(name)
}

// clearScratchLink removes the link that a killed run has left. It is false if
// something else has the name.
func clearScratchLink(fsys TreeFS, name string) (free bool, err error) {
	info, err := lstat(fsys, name)
	if err != nil || info.Kind == None {
		return err == nil, err
	}
	target := ""
	if info.Kind == Link {
		if target, err = fsys.Readlink(name); err != nil {
			return false, failure(fsys, "read", name, err)
		}
	}
	if target != linkTarget {
		return false, nil
	}
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, failure(fsys, "remove", name, err)
	}
	return true, nil
}

// clearTreeScratch removes what a killed run has left under all scratch names.
func clearTreeScratch(fsys FS, name string) error {
	if _, err := clearScratch(fsys, name); err != nil {
		return err
	}
	for _, suffix := range []string{foldSuffix, straySuffix} {
		if _, err := clearScratchFile(fsys, name+suffix); err != nil && IsDiskError(err) {
			return err
		}
	}
	if trees, ok := fsys.(TreeFS); ok {
		_, err := clearScratchLink(trees, name+linkSuffix)
		return err
	}
	return nil
}
