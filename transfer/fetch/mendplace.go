package fetch

import (
	"io/fs"
	"path"
	"time"

	"malcolm/wire"
)

// inTheWay is the error about something that has an entry's place.
func (m *mender) inTheWay(at string, kind wire.EntryKind) error {
	return &InTheWayError{Path: path.Join(m.dir, at), Unchosen: !m.chosen.Chooses(at, kind)}
}

// place refuses what has the place of an entry that is fetched, and is not to
// be removed: what no tree can have, and what was not chosen. extra says of the
// extra entries whether they are removed before.
func (m *mender) place(e *wire.Entry, extra map[string]bool) error {
	info, err := m.root.Lstat(e.Path)
	if err != nil {
		return nil // nothing is there, or the move will say it
	}
	const ours = fs.ModeDir | fs.ModeSymlink
	switch {
	case info.Mode().Type()&^ours != 0:
		return m.inTheWay(e.Path, wire.EntryFile)
	case !info.IsDir() && !m.chosen.Chooses(e.Path, wire.EntryFile):
		return m.inTheWay(e.Path, wire.EntryFile)
	case info.IsDir() && e.Kind != wire.EntryDirectory:
		return m.replaceable(e.Path, extra)
	}
	return nil
}

// replaceable refuses a directory of which something would stay, so that
// nothing else can have its place.
func (m *mender) replaceable(dir string, extra map[string]bool) error {
	list, err := fs.ReadDir(m.root.FS(), dir)
	if err != nil {
		return m.failure("read the directory", dir, err)
	}
	if len(list) == 0 && !m.chosen.Chooses(dir, wire.EntryDirectory) {
		return m.inTheWay(dir, wire.EntryDirectory)
	}
	for _, d := range list {
		at := path.Join(dir, d.Name())
		if d.IsDir() {
			if err := m.replaceable(at, extra); err != nil {
				return err
			}
		} else if !extra[at] {
			return m.inTheWay(at, wire.EntryFile)
		}
	}
	return nil
}

// setTimes sets the times of the directories that some entries lie in, when
// nothing in them changes any more. times are in the order of
// [wire.Directories]. The error is why one could not be set.
func (m *mender) setTimes(entries []wire.Entry, times []time.Time) (late error) {
	for dir := range directories(entries) {
		if len(times) == 0 {
			break
		}
		at := times[0]
		times = times[1:]
		dir = path.Join(".", dir)
		if info, err := m.root.Lstat(dir); at.IsZero() || err != nil || !info.IsDir() || info.ModTime().Equal(at) {
			continue // what is no directory has been replaced meanwhile
		}
		if err := m.root.Chtimes(dir, time.Time{}, at); err != nil && late == nil {
			late = m.failure("set time", dir, err)
		}
	}
	return late
}
