package scan

import (
	"cmp"
	"context"
	"io/fs"
	"slices"
	"strings"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// A walker collects the entries of a tree in the order of a listing.
type walker struct {
	scanner *Scanner
	ctx     context.Context
	parts   []openPart
	repeated
	table
	levels
	left   LeftOut
	newest time.Time // modification of a part
}

// A repeated says that the entries found so far are the first ones of a
// snapshot. The walker makes a table only at the first entry that differs. So a
// scan that finds no change needs no memory.
type repeated struct {
	of               *Snapshot // nil: the entries are in the table
	again, dirsAgain int       // entries, and directories but the tree's own
}

// An openPart is a part in use.
type openPart struct {
	dir  Dir              // nil: a file
	file localfile.Source // nil: a directory
	name string
}

// inPart returns where an entry lies in its part.
func (p *openPart) inPart(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, p.name), "/")
}

// open opens a file of the tree.
func (p *openPart) open(path string) (localfile.File, error) {
	if p.dir == nil {
		return p.file.Open()
	}
	return p.dir.Open(p.inPart(path))
}

func closeParts(parts []openPart) {
	for _, p := range parts {
		if p.dir != nil {
			p.dir.Close()
		}
	}
}

// walk visits all parts. The parts that were opened are the walker's even after
// an error.
func (w *walker) walk() error {
	order := slices.Clone(w.scanner.cfg.Parts)
	slices.SortFunc(order, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range order {
		w.parts = append(w.parts, openPart{file: p.File, name: p.Name})
		if p.Open == nil {
			if err := w.file(p); err != nil {
				return err
			}
			continue
		}
		dir, err := p.Open()
		if err != nil {
			return err
		}
		w.parts[len(w.parts)-1].dir = dir
		if err := w.beneath(p, dir); err != nil {
			return err
		}
	}
	w.judge()
	return nil
}

// file visits a part that is a file.
func (w *walker) file(p Part) error {
	info, err := p.File.Stat()
	if err != nil {
		return err
	}
	w.note(info.ModTime())
	if w.scanner.cfg.Filter.Root().Chooses(p.Name, false) {
		w.visit(p.Name, seenOf(info))
	}
	return nil
}

func (w *walker) note(modified time.Time) {
	if modified.After(w.newest) {
		w.newest = modified
	}
}

// beneath visits a part that is a directory.
func (w *walker) beneath(p Part, dir Dir) error {
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	w.note(info.ModTime())
	found, err := w.list("")
	if err != nil {
		return &localfile.Error{Op: "read the directory", Path: p.Path, Err: err}
	}
	if len(found) == 0 && !w.scanner.cfg.AllowEmpty {
		return &localfile.Error{Op: "serve", Path: p.Path, Err: ErrEmpty}
	}
	root := w.scanner.cfg.Filter.Root()
	if p.Name == "" {
		_, err = w.all("", root, found)
		return err
	}
	within, some := root.Sub(p.Name)
	if !some {
		return nil
	}
	before := w.count()
	w.push(info.ModTime().UnixNano())
	filtered, err := w.all(p.Name, within, found)
	w.pop()
	if err == nil && w.count() == before && !filtered && root.Chooses(p.Name, true) {
		w.add(wire.Entry{Kind: wire.EntryDirectory, Path: p.Name}, seenOf(info))
	}
	return err
}

// A seen is what the system says of something in a directory.
type seen struct {
	name  string
	mode  fs.FileMode
	size  int64
	stamp cache.Stamp
}

func seenOf(info fs.FileInfo) seen {
	return seen{info.Name(), info.Mode(), info.Size(), cache.StampOf(info)}
}

// list returns what lies in a directory of the last part, in order.
func (w *walker) list(dir string) (found []seen, err error) {
	err = w.parts[len(w.parts)-1].dir.List(dir, func(info fs.FileInfo) { found = append(found, seenOf(info)) })
	slices.SortFunc(found, func(a, b seen) int { return strings.Compare(a.name, b.name) })
	return found, err
}

// all visits what lies in a directory of the tree, as the filter sees it, and
// reports whether something was filtered.
func (w *walker) all(dir string, chosen filter.Dir, found []seen) (filtered bool, err error) {
	for _, f := range found {
		path := f.name
		if dir != "" {
			path = dir + "/" + f.name
		}
		switch within, some := chosen, f.mode.IsDir(); {
		case some:
			if within, some = chosen.Sub(f.name); !some {
				filtered = true
				break
			}
			gone, err := w.directory(path, within, chosen.Chooses(f.name, true), f)
			if err != nil {
				return false, err
			}
			filtered = filtered || gone
		case !chosen.Chooses(f.name, false):
			filtered = true
		default:
			w.visit(path, f)
		}
		if w.count() > wire.MaxEntries {
			return false, &localfile.Error{Op: "serve", Path: w.scanner.cfg.Parts[0].Path, Err: ErrTooMany}
		}
	}
	return filtered, nil
}

// directory visits a directory of the tree. It is an entry if it is chosen and
// empty by itself, and not only because of the filter. filtered says that the
// filter has left nothing of it.
func (w *walker) directory(path string, within filter.Dir, chosen bool, f seen) (filtered bool, err error) {
	if err := w.ctx.Err(); err != nil {
		return false, err
	}
	if w.tooLong(path) {
		return false, nil
	}
	found, err := w.list(w.parts[len(w.parts)-1].inPart(path))
	if err != nil {
		w.leave(Left{Path: path, Reason: Unreadable, Err: err})
		return false, nil
	}
	before := w.count()
	w.push(f.stamp.ModTime)
	gone, err := w.all(path, within, found)
	w.pop()
	if err != nil || w.count() > before {
		return false, err
	}
	if gone || !chosen {
		return true, nil
	}
	w.add(wire.Entry{Kind: wire.EntryDirectory, Path: path}, f)
	return false, nil
}

// tooLong leaves out a path that no listing has.
func (w *walker) tooLong(path string) bool {
	if len(path) <= wire.MaxPathLen {
		return false
	}
	w.leave(Left{Path: path, Reason: BadPath, Detail: "its path is too long"})
	return true
}

// visit visits something that is no directory.
func (w *walker) visit(path string, f seen) {
	switch {
	case w.tooLong(path):
	case f.mode&fs.ModeSymlink != 0:
		w.link(path, f)
	case !f.mode.IsRegular():
		w.leave(Left{Path: path, Reason: Special})
	case f.size > wire.MaxFileSize:
		w.leave(Left{Path: path, Reason: TooLarge})
	case w.isPaused(path, f.stamp):
		w.leave(w.scanner.paused[path].left)
	case f.mode&0o100 != 0:
		w.add(wire.Entry{Kind: wire.EntryExecutable, Path: path, Size: f.size}, f)
	default:
		w.add(wire.Entry{Kind: wire.EntryFile, Path: path, Size: f.size}, f)
	}
}

// isPaused reports whether a file that could not be hashed is not tried again
// yet. One that cannot be read may be readable after a change.
func (w *walker) isPaused(path string, now cache.Stamp) bool {
	p, ok := w.scanner.paused[path]
	return ok && time.Now().Before(p.until) && (p.left.Reason == Changing || p.stamp == now)
}

// link visits a link. What else can be wrong with it follows from the other
// entries: see judge.
func (w *walker) link(path string, f seen) {
	p := &w.parts[len(w.parts)-1]
	target, err := p.dir.Readlink(p.inPart(path))
	switch {
	case err != nil:
		w.leave(Left{Path: path, Reason: Unreadable, Err: err})
	case strings.HasPrefix(target, "/"):
		w.leave(Left{Path: path, Reason: BadLink, Detail: "its target is an absolute path"})
	case leadsOut(p.inPart(path), target):
		w.leave(Left{Path: path, Reason: BadLink, Detail: "its target leads out of the directory"})
	default:
		w.add(wire.Entry{Kind: wire.EntryLink, Path: path, Target: target}, f)
	}
}

// leadsOut reports whether the ".." in front of a target lead out of the part
// in which the link lies.
func leadsOut(link, target string) bool {
	up := 0
	for part := range strings.SplitSeq(target, "/") {
		if part == ".." {
			up++
		} else if part != "." {
			break
		}
	}
	return up > strings.Count(link, "/")
}

// count returns the number of entries found.
func (w *walker) count() int { return w.again + w.Len() }

func (w *walker) add(e wire.Entry, found seen) {
	f := fact{
		stamp: found.stamp, part: uint16(len(w.parts) - 1), dirs: w.begun(),
		parts: len(w.scanner.cfg.Parts) > 1, sha256: w.scanner.cfg.SHA256,
	}
	if w.of != nil {
		if w.repeats(&e, f) {
			return
		}
		w.unfold()
	}
	w.table.add(&e, f)
}

// repeats reports whether an entry is the next one of the snapshot, and then
// counts it.
func (w *walker) repeats(e *wire.Entry, f fact) bool {
	of := w.of
	if w.again == of.Len() || *of.stamps.at(w.again) != f.stamp || w.scanner.doubted[e.Path] || w.dirsAgain+len(f.dirs) > of.dirs.n {
		return false
	}
	for i, modified := range f.dirs {
		if *of.dirs.at(w.dirsAgain + i) != modified {
			return false
		}
	}
	old := of.entry(w.again)
	if old.Checksum = e.Checksum; old != *e {
		return false
	}
	w.again++
	w.dirsAgain += len(f.dirs)
	return true
}

// unfold fills the table with the entries that were repeated.
func (w *walker) unfold() {
	r := w.repeated
	if w.repeated = (repeated{}); r.of == nil {
		return
	}
	for i := range r.again {
		e := r.of.entry(i)
		w.table.add(&e, fact{stamp: *r.of.stamps.at(i), part: uint16(r.of.part(i)), parts: r.of.partOf.n > 0, sha256: w.scanner.cfg.SHA256})
	}
	for i := range r.dirsAgain {
		w.table.dirs.add(*r.of.dirs.at(i))
	}
}

func (w *walker) leave(l Left) { w.left.add(l) }

// judge leaves out what the listing cannot have. It looks at all entries that
// were found, so that the order does not matter.
func (w *walker) judge() {
	if w.of != nil && w.again == w.of.Len() { // these were judged
		return
	}
	w.unfold()
	changes := make(map[int]revision)
	for i := range w.Len() {
		problem := wire.EntryProblem(w.Len(), w.entryAt, i)
		if problem == "" {
			continue
		}
		e, reason := w.entry(i), BadPath
		if e.Kind == wire.EntryLink {
			reason = BadLink
		}
		w.leave(Left{Path: e.Path, Reason: reason, Detail: problem})
		changes[i] = revision{gone: true}
	}
	if len(changes) > 0 {
		w.table = w.changed(changes)
	}
}
