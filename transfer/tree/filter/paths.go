package filter

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"malcolm/wire"
)

// Paths is a list of paths in a tree. It does not change.
type Paths struct {
	sorted []listedPath // no name twice
}

type listedPath struct {
	name   string // as in a listing
	folder bool   // only a directory is meant
}

func (p *listedPath) takesIn(e *wire.Entry) bool {
	if e.Path == p.name {
		return !p.folder || e.Kind == wire.EntryDirectory
	}
	return strings.HasPrefix(e.Path, p.name) && e.Path[len(p.name)] == '/'
}

// ParsePaths reads a list of paths, one a line; or each ended by a NUL byte, if
// there is any in it, as "find -print0" writes them. Every other byte is a part
// of its path. Leading slashes and "./" are dropped, and so are empty lines. A
// slash at the end means a directory. There are at most [wire.MaxEntries] paths
// of at most [wire.MaxPathLen] bytes. The error says the line of a path that no
// tree can have.
func ParsePaths(b []byte) (*Paths, error) {
	end := []byte{'\n'}
	if bytes.IndexByte(b, 0) >= 0 {
		end[0] = 0
	}
	p := new(Paths)
	number := 0
	for line := range bytes.SplitSeq(b, end) {
		number++
		if len(line) == 0 {
			continue
		}
		if len(line) > wire.MaxPathLen+len("./")+len("/") {
			return nil, fmt.Errorf("line %d has %d bytes, and a path at most %d", number, len(line), wire.MaxPathLen)
		}
		path, err := parsePath(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d %w", number, err)
		}
		if len(p.sorted) == wire.MaxEntries {
			return nil, fmt.Errorf("over %d paths", wire.MaxEntries)
		}
		p.sorted = append(p.sorted, path)
	}
	slices.SortFunc(p.sorted, func(a, b listedPath) int {
		switch {
		case a == b:
			return 0
		case wire.PathLess(a.name, b.name), a.name == b.name && b.folder: // a means more, and stays
			return -1
		}
		return 1
	})
	p.sorted = slices.CompactFunc(p.sorted, func(a, b listedPath) bool { return a.name == b.name })
	return p, nil
}

var (
	errRoot  = errors.New("is the root of the tree, and all of it is chosen without a list")
	errParts = errors.New(`has an empty part, or "." or "..", which no path in a tree has`)
	errLong  = errors.New("is longer than a path can be")
)

func parsePath(line string) (p listedPath, err error) {
	for rest, found := line, true; found; p.name = rest {
		if rest, found = strings.CutPrefix(rest, "/"); !found {
			rest, found = strings.CutPrefix(rest, "./")
		}
	}
	p.name, p.folder = strings.CutSuffix(p.name, "/")
	if p.name == "" || p.name == "." {
		return p, errRoot
	}
	for part := range strings.SplitSeq(p.name, "/") {
		switch {
		case part == "", part == ".", part == "..":
			return p, errParts
		case len(part) > wire.MaxPartLen:
			return p, errLong
		}
	}
	if len(p.name) > wire.MaxPathLen {
		return p, errLong
	}
	return p, nil
}

// listed is what a list says of a directory.
type listed struct {
	all     bool         // it is taken in, with all beneath it
	beneath []listedPath // what is listed beneath it
	skip    int          // the length of the directory's path, with a slash
}

func (p *Paths) root() listed {
	if p == nil {
		return listed{all: true}
	}
	return listed{beneath: p.sorted}
}

func (l listed) some() bool { return l.all || len(l.beneath) > 0 }

// find returns the place in beneath of the first path that sorts at or behind
// the name.
func (l listed) find(name string) int {
	return sort.Search(len(l.beneath), func(i int) bool { return !wire.PathLess(l.beneath[i].name[l.skip:], name) })
}

func (l listed) has(name string, isDir bool) bool {
	if l.all {
		return true
	}
	i := l.find(name)
	return i < len(l.beneath) && l.beneath[i].name[l.skip:] == name && (isDir || !l.beneath[i].folder)
}

// sub returns what the list says of a directory in the directory. Paths beneath
// a path follow it, before every other path.
func (l listed) sub(name string) listed {
	if l.all || l.has(name, isDirectory) {
		return listed{all: true}
	}
	from := l.find(name)
	n := sort.Search(len(l.beneath)-from, func(i int) bool {
		rest := l.beneath[from+i].name[l.skip:]
		return len(rest) <= len(name) || rest[:len(name)] != name || rest[len(name)] != '/'
	})
	return listed{beneath: l.beneath[from : from+n], skip: l.skip + len(name) + 1}
}
