// Package scan makes a [Snapshot] of a directory: its listing, the times of its
// entries, and where the bytes of each checksum lie. [HashFile] is for one
// file.
//
// A scan has two steps. [Scanner.Look] walks the directory and compares what
// the system says of each file with a snapshot of before, or with what the
// cache kept; [Look.Hash] reads the files that are new or changed, several at
// once, the largest first. So an unchanged directory is not read.
//
// No link out of the directory is followed, whatever is replaced meanwhile.
// What cannot be in a listing is left out and reported: see [Left].
//
// A snapshot holds less than 200 bytes an entry with paths of usual lengths.
// The values of files of several chunks are not in memory: they are read from
// the cache's file, or from one of our own that has no name.
package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/tree/filter"
)

// A Dir is an open directory and what lies beneath it, as
// [*localfile.Beneath] is. Any goroutine may call its methods.
type Dir interface {
	// Stat describes the directory itself.
	Stat() (fs.FileInfo, error)
	// List calls each for all that lies in a directory, in any order.
	List(dir string, each func(fs.FileInfo)) error
	// Open opens a regular file; see [localfile.Beneath.Open].
	Open(path string) (localfile.File, error)
	// Readlink returns the target of a link.
	Readlink(path string) (string, error)
	Close() error
}

// A Part is a directory or a file that is offered.
type Part struct {
	// Name is where the part lies in the tree, one part of a path; "": the
	// directory is the tree.
	Name string
	// Path is how the user named the part, for errors; Key tells it from
	// others in the cache.
	Path, Key string
	// Open opens the directory; nil: the part is File.
	Open func() (Dir, error)
	// File is the file under Name.
	File localfile.Source
}

// Config says what a [Scanner] scans, and how.
type Config struct {
	// Parts are the parts of the tree, with different names.
	Parts []Part
	// Filter chooses what is in the tree; nil: all.
	Filter *filter.Filter
	// Strict refuses to leave anything out; see [LeftOutError].
	Strict bool
	// AllowEmpty allows parts that are empty directories; else see
	// [ErrEmpty].
	AllowEmpty bool
	// Cache keeps the hashes for the next run; nil: they are not kept.
	Cache *cache.Cache
	// Rehash takes nothing from the cache.
	Rehash bool
	// SHA256 also computes the SHA-256 of each file; see
	// [Snapshot.SHA256]. Files for which the cache has none are hashed.
	SHA256 bool
	// Workers is how many files are hashed at once; 0: GOMAXPROCS.
	Workers int
}

// Errors that the whole tree has.
var (
	// ErrEmpty says that a directory has nothing in it, which may be a
	// forgotten mount.
	ErrEmpty = errors.New("is an empty directory")
	// ErrTooMany says that there are more entries than a listing may have.
	ErrTooMany = errors.New("has more entries than a tree may have")
)

// A Reason is why something is left out of a tree.
type Reason int

// The reasons to leave something out.
const (
	BadLink    Reason = iota // a link that Detail is wrong with
	BadPath                  // Detail is wrong with the path
	Special                  // a socket, a device or a pipe
	Unreadable               // Err says why
	TooLarge                 // more bytes than can be offered
	Changing                 // it changed while it was hashed
	SizeLies                 // it has another size than the system says
)

// A Left is something that is left out of a tree.
type Left struct {
	Path   string
	Reason Reason
	Detail string
	Err    error
}

// MostLeft bounds the examples of what is left out.
const MostLeft = 10

// LeftOut is what a snapshot leaves out: how many, and the first of them.
type LeftOut struct {
	Count    int
	Changing int    // of these, those that changed while they were hashed
	First    []Left // at most MostLeft
}

func (l *LeftOut) add(left Left) {
	if left.Reason == Changing {
		l.Changing++
	}
	if l.Count++; len(l.First) < MostLeft {
		l.First = append(l.First, left)
	}
}

// A LeftOutError says that a strict scan would have to leave something out.
type LeftOutError struct{ LeftOut }

func (e *LeftOutError) Error() string { return "something cannot be offered" }

// Progress is how much was hashed. Any goroutine may read it.
type Progress struct{ Bytes, TotalBytes, Files, TotalFiles atomic.Int64 }

// A Scanner scans the same parts again and again. One goroutine at a time may
// call its methods.
type Scanner struct {
	cfg  Config
	name [32]byte // of the tree in the cache

	numbers bool              // the file numbers are not stable: nothing follows from them
	paused  map[string]paused // by path
	doubted map[string]bool   // paths whose hashes are not believed
	stored  time.Time         // when the cache was last written
	storing time.Duration     // how long that took
}

// A paused says until when a file that could not be hashed is left out without
// another try.
type paused struct {
	left  Left
	stamp cache.Stamp // of the file that could not be hashed
	until time.Time
	pause time.Duration
}

// The pause after a file could not be hashed. It doubles up to the longest.
const (
	hashPause        = 10 * time.Second
	longestHashPause = 5 * time.Minute
)

// New returns a scanner.
func New(cfg Config) *Scanner {
	s := &Scanner{cfg: cfg, paused: make(map[string]paused), doubted: make(map[string]bool)}
	var name []byte
	for _, p := range cfg.Parts {
		for _, text := range []string{p.Name, p.Key} {
			name = append(binary.AppendUvarint(name, uint64(len(text))), text...)
		}
	}
	s.name = manifest.Sum([]byte("tree"), name)
	return s
}

// Doubt makes the next scan hash a file again: its bytes are not those that
// were hashed, although the system reports no change.
func (s *Scanner) Doubt(path string) {
	s.doubted[path] = true
	if s.cfg.Cache != nil {
		s.cfg.Cache.DropTree(s.name)
	}
}

// UnstableNumbers reports whether the file system was found to give the same
// file another number at each look.
func (s *Scanner) UnstableNumbers() bool { return s.numbers }

// Scan is [Scanner.Look] and [Look.Hash].
func (s *Scanner) Scan(ctx context.Context, before *Snapshot, progress *Progress) (*Snapshot, error) {
	look, err := s.Look(ctx, before)
	if err != nil {
		return nil, err
	}
	return look.Hash(ctx, progress)
}
