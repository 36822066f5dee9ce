package web

import (
	"iter"
	"sort"
	"strings"
	"time"

	"malcolm/transfer/metalink"
	"malcolm/wire"
)

// A place is what a path leads to.
type place struct {
	kind  placeKind
	path  string // as it is asked for; of atElsewhere, where it is
	inner string // in the tree, without "/" at its end
	file  file   // of atObject, atValues and atMetalink; of the latter two the zero file is the tree
}

type placeKind int

const (
	atNothing   placeKind = iota
	atIndex               // the page that says what is here
	atObject              // a file
	atValues              // a file of values
	atMetalink            // a Metalink
	atDirectory           // a directory in a tree, or the tree
	atElsewhere           // it has another path
)

// A file is one of a tree, or the one that is offered.
type file struct {
	entry    int // of the tree
	name     string
	size     int64
	modified time.Time
	checksum [32]byte
}

// valuesSuffix is what a file of values has behind its object's name.
const valuesSuffix = ".malcolm"

// describing are the kinds of what describes an object, by what stands behind
// the object's name.
var describing = map[string]placeKind{valuesSuffix: atValues, metalink.Suffix: atMetalink}

// find returns what a path leads to. The path is not percent-encoded.
func find(s Shelf, path string) place {
	if path == "/" {
		return place{kind: atIndex}
	}
	rest, ok := strings.CutPrefix(path, "/"+s.Name())
	switch {
	case !ok:
		return place{}
	case s.Listing() == nil:
		return findFile(s, path, rest)
	case rest == "":
		return place{kind: atElsewhere, path: path + "/"}
	case rest == valuesSuffix, rest == metalink.Suffix:
		return place{kind: describing[rest], path: path}
	case rest == "/":
		return place{kind: atDirectory, path: path}
	case rest[0] == '/':
		return findEntry(s, path, rest[1:])
	}
	return place{}
}

// findFile is find where one file is offered; rest follows its name.
func findFile(s Shelf, path, rest string) place {
	o := s.Offer()
	at := place{path: path, file: file{name: s.Name(), size: o.Size, modified: o.ModTime, checksum: o.Checksum}}
	switch rest {
	case "":
		at.kind = atObject
	default:
		at.kind = describing[rest]
	}
	return at
}

// findEntry is find for a path in a tree.
func findEntry(s Shelf, path, inner string) place {
	wanted, slash := strings.CutSuffix(inner, "/")
	if wanted == "" {
		return place{}
	}
	at := place{path: path, inner: wanted}
	i := search(s, wanted)
	if i < s.Len() {
		e, modified := s.Entry(i)
		if e.Path == wanted {
			return at.of(s, i, e, modified, slash)
		}
	}
	switch within := firstBeneath(s, wanted); {
	case within < s.Len() && isBeneath(entryPath(s, within), wanted):
		at.kind = atDirectory
		if !slash {
			at.kind, at.path = atElsewhere, path+"/"
		}
		return at
	case slash:
		return place{}
	}
	for suffix, kind := range describing {
		of, ok := strings.CutSuffix(wanted, suffix)
		if !ok {
			continue
		}
		if i := search(s, of); i < s.Len() {
			if e, modified := s.Entry(i); e.Path == of && e.IsFile() {
				at.kind, at.file = kind, fileOf(i, e, modified)
				return at
			}
		}
	}
	return place{}
}

// of returns the place of an entry.
func (at place) of(s Shelf, i int, e wire.Entry, modified time.Time, slash bool) place {
	switch {
	case e.Kind == wire.EntryLink:
		to, ok := target(e)
		if !ok {
			return place{}
		}
		root := strings.TrimSuffix(at.path, "/")
		root = root[:len(root)-len(at.inner)]
		at.kind, at.path = atElsewhere, root+to
	case e.IsFile() && !slash:
		at.kind, at.file = atObject, fileOf(i, e, modified)
	case e.IsFile():
	case slash:
		at.kind = atDirectory
	default:
		at.kind, at.path = atElsewhere, at.path+"/"
	}
	return at
}

func fileOf(i int, e wire.Entry, modified time.Time) file {
	return file{
		entry: i, name: e.Path[strings.LastIndexByte(e.Path, '/')+1:],
		size: e.Size, modified: modified, checksum: e.Checksum,
	}
}

// target returns the path in the tree that a link leads to. A listing has no
// link that leads out.
func target(e wire.Entry) (path string, ok bool) {
	var at []string
	if dir := strings.LastIndexByte(e.Path, '/'); dir >= 0 {
		at = strings.Split(e.Path[:dir], "/")
	}
	for part := range strings.SplitSeq(e.Target, "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			at = append(at, part)
		case len(at) == 0:
			return "", false
		default:
			at = at[:len(at)-1]
		}
	}
	return strings.Join(at, "/"), true
}

func entryPath(s Shelf, i int) string {
	e, _ := s.Entry(i)
	return e.Path
}

// search returns the first entry that does not come before a path.
func search(s Shelf, path string) int {
	return sort.Search(s.Len(), func(i int) bool { return !wire.PathLess(entryPath(s, i), path) })
}

// firstBeneath returns the first entry that could lie beneath dir; "" is the
// tree.
func firstBeneath(s Shelf, dir string) int {
	if dir == "" {
		return 0
	}
	return search(s, dir+"/")
}

// behind returns the first entry that comes behind path and all beneath it.
func behind(s Shelf, path string) int {
	return sort.Search(s.Len(), func(i int) bool {
		p := entryPath(s, i)
		return p != path && !isBeneath(p, path) && wire.PathLess(path, p)
	})
}

// isBeneath reports whether path lies beneath dir; "" is the tree.
func isBeneath(path, dir string) bool {
	return dir == "" || len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// A child is what lies in a directory.
type child struct {
	name     string
	entry    wire.Entry // of a directory with something in it only the path
	modified time.Time
	isDir    bool
}

// children returns what lies in a directory, in order, from behind the name
// after on. It passes over what lies deeper.
func children(s Shelf, dir, after string) iter.Seq[child] {
	prefix := dir
	if dir != "" {
		prefix += "/"
	}
	i := firstBeneath(s, dir)
	if after != "" {
		i = max(i, behind(s, prefix+after))
	}
	return func(yield func(child) bool) {
		for i < s.Len() {
			e, modified := s.Entry(i)
			if !isBeneath(e.Path, dir) {
				return
			}
			c := child{name: e.Path[len(prefix):], entry: e, modified: modified, isDir: e.Kind == wire.EntryDirectory}
			name, _, deeper := strings.Cut(c.name, "/")
			if deeper {
				c = child{name: name, entry: wire.Entry{Path: prefix + name}, isDir: true}
				i = behind(s, prefix+name)
			} else {
				i++
			}
			if !yield(c) {
				return
			}
		}
	}
}
