package fetch

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/tree"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// A mender works in a local directory. It runs beside the loop.
type mender struct {
	root   *os.Root
	dir    string
	split  bool
	chosen *filter.Filter // nil: everything is
	result *RepairTreeResult
	dirs   map[string]bool // directories that were changed
}

func (m *mender) failure(op, at string, err error) error {
	return &localfile.Error{Op: op, Path: path.Join(m.dir, at), Err: err}
}

// check refuses, before anything is fetched, what could not be finished.
func (m *mender) check(p *mendPlan, of int, how MendTree) error {
	if !how.Delete {
		if at, ok := p.blocker(); ok {
			return &InTheWayError{Path: path.Join(m.dir, at)}
		}
	} else if err := p.mayDelete(m.dir, of, how.MaxDelete); err != nil {
		return err
	}
	if err := m.places(p, how.Delete); err != nil {
		return err
	}
	if m.split {
		return nil
	}
	for i := range p.fetch {
		if err := m.hasOneName(p.fetch[i].Path); err != nil {
			return err
		}
	}
	return nil
}

// places refuses what a scan leaves out and an entry would replace, or be
// written through: a link that leads out or through another one, a socket, a
// device. remove: what is extra will be gone.
func (m *mender) places(p *mendPlan, remove bool) error {
	passed := make(map[string]bool) // paths that are looked at no more
	for i := range p.extra {
		passed[p.extra[i].Path] = remove
	}
	for i := range p.fetch {
		at := p.fetch[i].Path
		above := slices.Collect(dirsOf(at))
		for _, dir := range slices.Backward(above) {
			if passed[dir] {
				continue
			}
			passed[dir] = true
			if info, err := m.root.Lstat(dir); err == nil && !info.IsDir() {
				return m.inTheWay(dir, wire.EntryFile)
			}
		}
		if err := m.place(&p.fetch[i], passed); err != nil {
			return err
		}
	}
	return nil
}

// hasOneName fails if a file has other names.
func (m *mender) hasOneName(at string) error {
	dir, name := path.Split(at)
	in, err := m.root.OpenRoot(path.Join(".", dir))
	if err != nil {
		return nil // it is missing
	}
	defer in.Close()
	info, err := partfile.Dir(in).Lstat(name)
	if err == nil && info.Kind == partfile.Regular && info.Links > 1 {
		return &LinksError{Path: path.Join(m.dir, at), Links: info.Links}
	}
	return nil
}

// unmoved parts what an earlier run has fetched and not moved from the rest of
// what lies in the directory. It fails for what no run has put there.
func (m *mender) unmoved(want, have []wire.Entry) (rest, moved []wire.Entry, err error) {
	var fetched []wire.Entry
	for _, e := range have {
		switch {
		case strings.HasPrefix(e.Path, partPrefix), e.Path == partPrefix[:len(partPrefix)-1]:
		case strings.HasPrefix(e.Path, mendPrefix):
			e.Path = e.Path[len(mendPrefix):]
			fetched = append(fetched, e)
		case e.Path == mendName, e.Path == mendName+partfile.PartSuffix+".journal":
		default:
			rest = append(rest, e)
		}
	}
	for d := range tree.Differences(want, fetched) {
		if d.Entries[1] != nil {
			return nil, nil, &InTheWayError{Path: path.Join(m.dir, mendName, d.Path)}
		}
	}
	for v := range tree.Paths(want, fetched) {
		if v.Entries[1] == nil {
			continue
		}
		moved = append(moved, *v.Entries[1])
	}
	return rest, moved, nil
}

// finishMoves moves what an earlier run has fetched and not moved, and returns
// what then lies in the directory, without what is only fetched.
func (m *mender) finishMoves(want, have []wire.Entry) ([]wire.Entry, error) {
	rest, moved, err := m.unmoved(want, have)
	if err != nil {
		return nil, err
	}
	for i := range moved {
		if err := m.move(&moved[i]); err != nil {
			return nil, err
		}
	}
	if err := m.clean(moved); err != nil {
		return nil, err
	}
	return merged(rest, moved), m.sync()
}

// merged returns the entries of two lists in order, of two with one path that
// of the second.
func merged(a, b []wire.Entry) (all []wire.Entry) {
	for v := range tree.Paths(a, b) {
		e := v.Entries[1]
		if e == nil {
			e = v.Entries[0]
		}
		all = append(all, *e)
	}
	return all
}

// apply does what a plan says, once what it fetches is there.
func (m *mender) apply(p *mendPlan, have []wire.Entry, remove bool) error {
	for i := range p.extra {
		if !remove {
			m.result.Extra = append(m.result.Extra, p.extra[i].Path)
			continue
		}
		if err := m.remove(p.extra[i].Path); err != nil {
			return err
		}
		m.result.Removed++
	}
	there := make(map[string]bool, len(have))
	for i := range have {
		there[have[i].Path] = true
	}
	for i := range p.fetch {
		if err := m.move(&p.fetch[i]); err != nil {
			return err
		}
		if there[p.fetch[i].Path] {
			m.result.Replaced++
		} else {
			m.result.Made++
		}
	}
	for i := range p.modes {
		if err := m.setMode(&p.modes[i]); err != nil {
			return err
		}
		m.result.Replaced++
	}
	if err := m.clean(p.fetch); err != nil {
		return err
	}
	return m.sync()
}

// remove removes an entry, and the directories that it leaves empty.
func (m *mender) remove(at string) error {
	if err := m.root.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m.failure("remove", at, err)
	}
	for dir := range dirsOf(at) {
		if m.root.Remove(dir) != nil { // it is not empty
			m.dirs[dir] = true
			return nil
		}
	}
	m.dirs["."] = true
	return nil
}

// move puts a fetched entry in its place.
func (m *mender) move(e *wire.Entry) error {
	from := mendPrefix + e.Path
	dir := path.Dir(e.Path)
	if err := m.root.MkdirAll(dir, 0o777); err != nil {
		return m.failure("make the directory of", e.Path, err)
	}
	for up := range dirsOf(e.Path) {
		m.dirs[up] = true
	}
	m.dirs["."] = true
	there, err := m.root.Lstat(e.Path)
	if e.Kind == wire.EntryDirectory {
		return m.makeDirectory(e.Path, there)
	}
	if e.IsFile() {
		if err := m.likeTheOld(e, from); err != nil {
			return err
		}
	}
	if err == nil && there.IsDir() { // empty, or it would be refused
		if err := m.root.Remove(e.Path); err != nil {
			return m.failure("replace", e.Path, err)
		}
	}
	if err := m.root.Rename(from, e.Path); err != nil {
		return m.failure("replace", e.Path, err)
	}
	return nil
}

// makeDirectory makes an empty directory; there is what has its path, or nil.
func (m *mender) makeDirectory(at string, there fs.FileInfo) error {
	if there != nil && there.IsDir() {
		return nil
	}
	if there != nil {
		if err := m.root.Remove(at); err != nil {
			return m.failure("replace", at, err)
		}
	}
	if err := m.root.Mkdir(at, 0o777); err != nil {
		return m.failure("make", at, err)
	}
	return nil
}

// likeTheOld gives a fetched file the access of the file that it replaces.
func (m *mender) likeTheOld(e *wire.Entry, from string) error {
	info, err := m.root.Lstat(e.Path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	old, err := m.root.Open(e.Path)
	if err != nil {
		return m.failure("open", e.Path, err)
	}
	defer old.Close()
	fresh, err := m.root.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return m.failure("open", from, err)
	}
	defer fresh.Close()
	if err := partfile.GiveAccessOf(old, fresh); err != nil {
		return m.failure("set permissions of", e.Path, err)
	}
	if err := setExecutable(fresh, info.Mode().Perm(), e.Kind == wire.EntryExecutable); err != nil {
		return m.failure("set permissions of", e.Path, err)
	}
	return nil
}

// setMode lets a file be executed, or not.
func (m *mender) setMode(e *wire.Entry) error {
	info, err := m.root.Lstat(e.Path)
	if err == nil && !info.Mode().IsRegular() {
		err = localfile.ErrNotRegular
	}
	var f *os.File
	if err == nil {
		f, err = m.root.Open(e.Path)
	}
	if err != nil {
		return m.failure("set permissions of", e.Path, err)
	}
	defer f.Close()
	if err := setExecutable(f, info.Mode().Perm(), e.Kind == wire.EntryExecutable); err != nil {
		return m.failure("set permissions of", e.Path, err)
	}
	m.dirs[path.Dir(e.Path)] = true
	return nil
}

// setExecutable lets those execute a file who may read it, or nobody.
func setExecutable(f *os.File, mode fs.FileMode, may bool) error {
	const read, execute = 0o444, 0o111
	mode &^= execute
	if may {
		mode |= mode & read >> 2
	}
	return f.Chmod(mode)
}

// clean removes the directories of the tree whose entries were moved. What is
// in them of others stays, with them.
func (m *mender) clean(moved []wire.Entry) error {
	if len(moved) == 0 {
		return nil
	}
	dirs := make(map[string]bool)
	for i := range moved {
		if moved[i].Kind == wire.EntryDirectory {
			dirs[moved[i].Path] = true
		}
		for dir := range dirsOf(moved[i].Path) {
			dirs[dir] = true
		}
	}
	order := make([]string, 0, len(dirs))
	for dir := range dirs {
		order = append(order, dir)
	}
	slices.SortFunc(order, func(a, b string) int { return strings.Compare(b, a) }) // what lies in one comes before it
	for _, dir := range append(order, "") {
		if err := m.root.Remove(path.Join(mendName, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m.failure("remove", path.Join(mendName, dir), err)
		}
	}
	return nil
}

// sync makes the changes of directories durable.
func (m *mender) sync() error {
	for dir := range m.dirs {
		if info, err := m.root.Lstat(dir); err != nil || !info.IsDir() {
			continue // it was removed or replaced
		}
		d, err := m.root.OpenRoot(dir)
		if err != nil {
			return m.failure("sync directory", dir, err)
		}
		err = partfile.Dir(d).SyncDir()
		d.Close()
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return m.failure("sync directory", dir, err)
		}
	}
	clear(m.dirs)
	return nil
}
