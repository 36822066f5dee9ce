package fetch

import (
	"os"
	"time"

	"malcolm/transfer/partfile"
	"malcolm/transfer/paths"
	"malcolm/transfer/source"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// DefaultPatience is [Servers].Patience when that is zero.
const DefaultPatience = 15 * time.Minute

// Servers says where files come from.
type Servers struct {
	// Sources are the places of the command line, at least one, each once.
	// Of those of one SRV name only the ones of the best priority are used
	// while one of them is there.
	Sources []source.Source
	// Connections is the number of connections with each source, 1 to 64.
	// 0: one, and more as package growth decides.
	Connections int
	// Limit bounds the bytes of files a second from all sources together;
	// 0: no limit.
	Limit int64
	// Shared is what the session has in common with others that run at
	// once, also the limit; nil: it runs alone.
	Shared *Shared
	// Patience ends a run after this long without progress: a source is
	// still indexing, or nobody sends wanted bytes (see package presence).
	// 0 or less: [DefaultPatience].
	Patience time.Duration
	// Paths has what earlier runs found out about the ways to the sources,
	// and gets what this run finds out; nil: nothing is known or noted.
	Paths *paths.Memory
	// CPUFree reports whether this machine's processors have time for more
	// connections; nil: the system is asked. Tests in virtual time set it.
	CPUFree func() bool
}

// A Ballot says which file is wanted. The zero Ballot lets the majority decide.
type Ballot struct {
	// Checksum is the BLAKE3 of the wanted file; nil: the majority decides.
	Checksum *[32]byte
	// Tree says that Checksum is that of a directory's listing.
	Tree bool
	// Whole proves the file at the end if no server is named and no mirror
	// can say what its chunks are; nil: then it is not fetched.
	Whole *Whole
	// Each takes each path's own majority when whole directories have no
	// majority. Absence of the path is an answer too.
	Each bool
	// Quorum is the number of votes that the majority needs; 0: one. See
	// [MostVotes].
	Quorum int
	// MaxSize is the largest size to accept, in bytes, of all files of a
	// directory. What is larger is refused before anything is written. 0 or
	// less, or more than wire.MaxFileSize: wire.MaxFileSize.
	MaxSize int64
	// Filter chooses from the directory; nil: everything. The whole
	// directory is voted on.
	Filter *filter.Filter
}

func (b Ballot) maxSize() int64 {
	if b.MaxSize <= 0 {
		return wire.MaxFileSize
	}
	return b.MaxSize
}

// An Output says where a file is written, and how.
type Output struct {
	// Dir is the directory to write into. It must exist.
	Dir string
	// Name is the name of the file; empty: the one that the sources offer.
	Name string
	// Resume keeps the good chunks of an unfinished download. Force starts
	// over, or replaces a file that is there (see partfile.Decide).
	Resume, Force bool
	// Claim is given the final path, in the session's goroutine, before
	// anything is written. If it returns an error, that ends the run. Nil:
	// the path is nobody else's.
	Claim func(path string) error
	Disk
}

// settle settles the name of an output and claims its path.
func (d *download) settle(fsys partfile.FS, out Output) error {
	if err := d.settleName(out.Name); err != nil || out.Claim == nil {
		return err
	}
	return out.Claim(fsys.Path(d.result.Name))
}

// A Disk says how a file is written.
type Disk struct {
	// SkipPreallocate leaves the unfinished file sparse. SkipSpaceCheck
	// does not check for free space first, for file systems that report it
	// wrongly.
	SkipPreallocate, SkipSpaceCheck bool
	// Recheck reads the whole file back from the disk before it gets its
	// name.
	Recheck bool
	// SHA256 must match the finished file, which is read once more for it
	// before it gets its name. It has no part in the vote. Nil: not
	// checked.
	SHA256 *[32]byte
	// RemoteTime gives the finished file the modification time that most
	// sources of the majority name. A file that is already there and right
	// keeps its own.
	RemoteTime bool
	// FS opens a directory to work in; nil: partfile.Dir. Tests give one
	// that fails.
	FS func(*os.Root) partfile.FS
}

func (d Disk) open(root *os.Root) partfile.FS {
	if d.FS == nil {
		return partfile.Dir(root)
	}
	return d.FS(root)
}

// A Watch is told what happens. The zero Watch is told nothing.
type Watch struct {
	// Events is called with one event at a time, by the goroutine that
	// called the session's method. It must not block for long; of the
	// session's methods it may call only Snapshot. Nil: nobody is told.
	Events func(Event)
	// Map keeps a [ChunkMark] (one byte) of each chunk, for Snapshot and
	// Result.
	Map bool
	// Files asks for a [FileDone] of each file of a directory.
	Files bool
}
