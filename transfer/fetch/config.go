package fetch

import (
	"os"
	"time"

	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// DefaultPatience is what Servers means by zero.
const DefaultPatience = 15 * time.Minute

// Servers says where files come from.
type Servers struct {
	// Sources are the places of the command line, at least one, each once.
	Sources []source.Source
	// Connections is how many connections to have with each source, 1 to 64; 0:
	// one, and more while that makes the whole quicker.
	Connections int
	// Limit is how many bytes of files a second are taken from all sources together;
	// 0: no limit.
	Limit int64
	// Patience is how long a source may go on saying that it is indexing, and how
	// long bytes may be wanted that nobody sends (see package presence); 0 or less
	// means [DefaultPatience].
	Patience time.Duration
}

// A Ballot says which file is wanted. The zero Ballot lets the majority decide.
type Ballot struct {
	// Checksum is the BLAKE3 that the file must have; nil: the majority decides.
	Checksum *[32]byte
	// Quorum is how many votes the majority must have; 0 means one. See [MostVotes].
	Quorum int
	// MaxSize is the size in bytes of the largest file that is taken; one that is
	// voted for and larger is refused before anything is written. 0 or less means
	// wire.MaxFileSize, and so does more.
	MaxSize int64
}

func (b Ballot) maxSize() int64 {
	if b.MaxSize <= 0 {
		return wire.MaxFileSize
	}
	return b.MaxSize
}

// An Output says where a file is written, and how.
type Output struct {
	// Dir is the directory that is written into; it must exist.
	Dir string
	// Name is what the file is to be called; empty: what the sources say.
	Name string
	// Resume keeps the good chunks of an unfinished download; Force starts over, or
	// replaces a file that is there (see partfile.Decide).
	Resume, Force bool
	Disk
}

// A Disk says how a file is written.
type Disk struct {
	// SkipPreallocate leaves the unfinished file sparse; SkipSpaceCheck does not ask
	// for free space first, for file systems that lie about it.
	SkipPreallocate, SkipSpaceCheck bool
	// Recheck reads the whole file back from the disk before it gets its name.
	Recheck bool
	// SHA256 is what the finished file must have as well; it is read once more for
	// it, before it gets its name. It decides nothing in the vote. Nil: not asked.
	SHA256 *[32]byte
	// RemoteTime gives the finished file the modification time that most sources of
	// the majority name. A file that is there already keeps its own.
	RemoteTime bool
	// FS is how a directory is worked in; nil: partfile.Dir. Tests give one that
	// fails.
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
	// Events is told what happens, one event at a time, from the goroutine that
	// called the session's method. It must not block for long, and must not call
	// the session's other methods than Snapshot. Nil: nobody is told.
	Events func(Event)
	// Map keeps a [ChunkMark] of each chunk, one byte, for Snapshot and Result.
	Map bool
}
