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

// A fact is what is known of an entry beside what the listing says.
type fact struct {
	stamp   cache.Stamp
	first   uint32 // of its values, in the store; of a file of one chunk without meaning
	part    uint16
	hashed  bool // the entry's checksum is known
	settled bool // a later change changes the stamp
	gone    bool // it is left out
}

// A walker collects the entries of a tree in the order of a listing.
type walker struct {
	scanner *Scanner
	ctx     context.Context
	parts   []openPart
	entries []wire.Entry
	facts   []fact
	left    LeftOut
	newest  time.Time // modification of a part
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
		if err := w.part(p, dir); err != nil {
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
		w.entry(p.Name, seenOf(info))
	}
	return nil
}

func (w *walker) note(modified time.Time) {
	if modified.After(w.newest) {
		w.newest = modified
	}
}

// part visits a part that is a directory.
func (w *walker) part(p Part, dir Dir) error {
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
	before := len(w.entries)
	filtered, err := w.all(p.Name, within, found)
	if err == nil && len(w.entries) == before && !filtered && root.Chooses(p.Name, true) {
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
			w.entry(path, f)
		}
		if len(w.entries) > wire.MaxEntries {
			return false, &localfile.Error{Op: "serve", Path: w.scanner.cfg.Parts[0].Path, Err: ErrTooMany}
		}
	}
	return filtered, nil
}

// directory visits a directory of the tree. It is an entry if it is empty in
// the tree, chosen, and not empty because of the filter; filtered: the filter
// has left nothing of it.
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
	before := len(w.entries)
	gone, err := w.all(path, within, found)
	if err != nil || len(w.entries) > before {
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

// entry visits something that is no directory.
func (w *walker) entry(path string, f seen) {
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

func (w *walker) add(e wire.Entry, f seen) {
	w.entries = append(w.entries, e)
	w.facts = append(w.facts, fact{stamp: f.stamp, part: uint16(len(w.parts) - 1)})
}

func (w *walker) leave(l Left) { w.left.add(l) }

// judge leaves out what the listing cannot have. It looks at all entries that
// were found, so that the order does not matter.
func (w *walker) judge() {
	for i := range w.entries {
		e := &w.entries[i]
		if problem := wire.EntryProblem(w.entries, i); problem != "" {
			reason := BadPath
			if e.Kind == wire.EntryLink {
				reason = BadLink
			}
			w.leave(Left{Path: e.Path, Reason: reason, Detail: problem})
			w.facts[i].gone = true
		}
	}
	w.entries, w.facts = withoutGone(w.entries, w.facts)
}

// withoutGone returns the entries that are not gone, in place.
func withoutGone(entries []wire.Entry, facts []fact) ([]wire.Entry, []fact) {
	n := 0
	for i := range facts {
		if !facts[i].gone {
			entries[n], facts[n] = entries[i], facts[i]
			n++
		}
	}
	clear(entries[n:])
	return entries[:n], facts[:n]
}
