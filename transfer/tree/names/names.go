// Package names says which entries of a tree a file system cannot hold: names
// that it takes for one name, names that Windows has no place for, and names
// that are too long. It is pure; what the file system does is for the caller to
// find out.
//
// Two names are one name where cases or Unicode forms are not told apart. Both
// come from the Unicode standard: cases from the tables of package unicode, the
// canonical normal form and foldings to several characters from version 14 in
// the files beside this one. A file system may know another version, and may
// then join or tell apart names that these tables do not. So writing must never
// replace anything, whatever this package says.
package names

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"malcolm/wire"
)

// A System is what a file system does with names. The zero value holds every
// tree.
type System struct {
	Case    Folding
	Form    bool // names in several Unicode forms are one name
	UTF8    bool // a name must be UTF-8
	Windows bool // names are as on Windows: of at most 255 UTF-16 code units, some of them reserved
	MaxPart int  // the longest name in bytes; 0: that of a listing, 255
}

// A Folding says which cases a file system does not tell apart.
type Folding int

const (
	TellsCases Folding = iota // "a" and "A" are two names
	FoldsCases                // "a" and "A" are one name, "ß" and "SS" are two (NTFS, exFAT)
	FoldsFully                // "ß" and "SS" are one name too (APFS, ext4)
)

// A Fault is why an entry cannot be held.
type Fault int

const (
	SameCase     Fault = iota + 1 // another name differs only by case
	SameForm                      // another name differs only by its Unicode form, or by that and case
	TooLong                       // a name is longer than the system allows
	NotUTF8                       // a name is no UTF-8
	BadCharacter                  // a name has a character that Windows does not allow
	BadEnd                        // a name ends with a dot or a space, which Windows drops
	Reserved                      // a name is that of a device on Windows
	BadTarget                     // a link's target has a name with one of these faults
	lastFault    = BadTarget
)

// A Problem is an entry that a system cannot hold.
type Problem struct {
	Fault Fault
	Path  string // of the entry, or of a directory above it
	Other string // with SameCase and SameForm: the path that comes first, in the same directory
}

// Error says the problem with paths quoted, and of at most 100 bytes each.
func (p *Problem) Error() string {
	path := quote(p.Path)
	switch p.Fault {
	case SameCase:
		return fmt.Sprintf("%s and %s differ only by case, and are one name here", quote(p.Other), path)
	case SameForm:
		return fmt.Sprintf("%s and %s are the same text in two Unicode forms, and are one name here", quote(p.Other), path)
	case TooLong:
		return path + " has a name that is too long here"
	case NotUTF8:
		return path + " has a name that is no UTF-8, which cannot be held here"
	case BadCharacter:
		return path + " has a character that no name on Windows has"
	case BadEnd:
		return path + " has a name with a dot or a space at its end, which Windows drops"
	case Reserved:
		return path + " has a name that Windows keeps for a device"
	}
	return path + " is a link to a name that cannot be held here"
}

// quote quotes a path, and leaves out the middle of a long one.
func quote(path string) string {
	const front, back = 60, 40
	if len(path) <= front+back {
		return strconv.Quote(path)
	}
	return strconv.Quote(path[:front]) + "…" + strconv.Quote(path[len(path)-back:])
}

// Problems returns what a system cannot hold of a listing's entries, at most
// most problems: first those of single names, in the order of the listing, then
// pairs that are one name. Each name has at most one problem, and so have all
// entries beneath it.
func Problems(entries []wire.Entry, s System, most int) (found []Problem) {
	before := ""
	for i := range entries {
		e := &entries[i]
		if len(found) >= most {
			return found[:most]
		}
		if p := s.check(e, before); p.Fault != 0 {
			found = append(found, p)
		}
		before = e.Path
	}
	if s.Case == TellsCases && !s.Form {
		return found
	}
	c := collisions{system: s, seed: maphash.MakeSeed(), entries: entries, most: most - len(found)}
	return append(found, c.find()...)
}

// check returns the first problem of the names of an entry that the entry
// before it does not have.
func (s *System) check(e *wire.Entry, before string) Problem {
	for from := nameStart(e.Path, shared(before, e.Path)); from < len(e.Path); {
		end := nameEnd(e.Path, from)
		if fault := s.fault(e.Path[from:end]); fault != 0 {
			return Problem{Fault: fault, Path: e.Path[:end]}
		}
		from = end + 1
	}
	if e.Kind == wire.EntryLink {
		for part := range strings.SplitSeq(e.Target, "/") {
			if part != "." && part != ".." && s.fault(part) != 0 {
				return Problem{Fault: BadTarget, Path: e.Path}
			}
		}
	}
	return Problem{}
}

// shared returns the length of what two paths have in common at their front.
func shared(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// nameStart returns where the first name of a path begins that is not in
// another path, with which it has n bytes in common.
func nameStart(path string, n int) int { return strings.LastIndexByte(path[:n], '/') + 1 }

func nameEnd(path string, from int) int {
	if i := strings.IndexByte(path[from:], '/'); i >= 0 {
		return from + i
	}
	return len(path)
}

// fault returns why a name cannot be held, or 0.
func (s *System) fault(name string) Fault {
	switch {
	case s.MaxPart > 0 && len(name) > s.MaxPart:
		return TooLong
	case (s.UTF8 || s.Windows) && !utf8.ValidString(name):
		return NotUTF8
	case s.Windows:
		return windowsFault(name)
	}
	return 0
}

// maxUnits bounds a name on Windows, in UTF-16 code units.
const maxUnits = 255

// windowsFault returns why Windows cannot hold a name of UTF-8, or 0. See
// "Naming Files, Paths, and Namespaces" in Microsoft's documentation.
func windowsFault(name string) Fault {
	units := 0
	for _, r := range name {
		if r < ' ' || strings.ContainsRune(`<>:"\|?*`, r) {
			return BadCharacter
		}
		units += utf16.RuneLen(r)
	}
	switch {
	case units > maxUnits:
		return TooLong
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return BadEnd
	case isDevice(name):
		return Reserved
	}
	return 0
}

// isDevice reports whether Windows keeps a name for a device, which it does
// whatever follows behind a dot.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, ok := strings.CutPrefix(base, "COM")
	if !ok {
		port, ok = strings.CutPrefix(base, "LPT")
	}
	return ok && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

// collisions finds names in one directory that are one name.
type collisions struct {
	system  System
	seed    maphash.Seed
	entries []wire.Entry
	most    int
	key     []byte
	open    []directory // those on the way to the entry, the root first
	found   []Problem
}

// A directory is what has been seen of one.
type directory struct {
	start int    // of its names in their paths, in bytes
	names []name // that are in it
}

// A name is a place in the path of an entry.
type name struct {
	key   uint64 // a hash of what it is folded to
	entry int32
}

// find returns the problems, in the order of their directories' ends. Held are
// 16 bytes for each name in a directory that is not over.
func (c *collisions) find() []Problem {
	c.open = []directory{{}}
	before := ""
	for i := range c.entries {
		path := c.entries[i].Path
		from := nameStart(path, shared(before, path))
		for c.open[len(c.open)-1].start > from {
			c.close()
		}
		for {
			end := nameEnd(path, from)
			c.key = c.system.fold(c.key[:0], path[from:end])
			in := &c.open[len(c.open)-1]
			in.names = append(in.names, name{maphash.Bytes(c.seed, c.key), int32(i)})
			if end == len(path) {
				break
			}
			from = end + 1
			c.open = append(c.open, directory{start: from})
		}
		before = path
	}
	for len(c.open) > 0 {
		c.close()
	}
	return c.found
}

// close looks through the names of the lowest open directory.
func (c *collisions) close() {
	top := len(c.open) - 1
	d := c.open[top]
	c.open = c.open[:top]
	slices.SortFunc(d.names, func(a, b name) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.entry, b.entry)) })
	var pairs []Problem
	for i := 1; i < len(d.names); i++ {
		a, b := d.names[i-1], d.names[i]
		if a.key != b.key {
			continue
		}
		p := Problem{Path: c.path(b, d.start), Other: c.path(a, d.start)}
		if p.Fault = c.system.whySame(p.Other[d.start:], p.Path[d.start:]); p.Fault != 0 {
			pairs = append(pairs, p)
		}
	}
	slices.SortFunc(pairs, func(a, b Problem) int {
		if wire.PathLess(a.Path, b.Path) {
			return -1
		}
		return 1
	})
	c.found = append(c.found, pairs[:min(len(pairs), c.most-len(c.found))]...)
}

// path returns the path of a name that begins at start.
func (c *collisions) path(n name, start int) string {
	path := c.entries[n.entry].Path
	return path[:nameEnd(path, start)]
}

// whySame returns why two names are one, or 0: they are two.
func (s *System) whySame(a, b string) Fault {
	cases := System{Case: s.Case}
	switch {
	case string(s.fold(nil, a)) != string(s.fold(nil, b)):
		return 0
	case string(cases.fold(nil, a)) == string(cases.fold(nil, b)):
		return SameCase
	}
	return SameForm
}
