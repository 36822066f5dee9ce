package fetch

import (
	"net/netip"
	"time"

	"malcolm/certs"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/tree"
	"malcolm/transfer/vote"
)

// An Event is something that happened to a session: [Connected], [NotReached],
// [UDPBlocked], [WayRefused], [FirstContact], [Contradicted], [NotRemembered],
// [Duplicate], [OneAddress], [Voted], [LeftOut], [Joined], [Listed],
// [FileDone], [Started],
// [ChunkRefused], [ValuesRefused], [Lost], [Back], [Waiting], [Full],
// [Silent], [ServerSilent], [SmallBuffers], [ChunksUnreadable], [NotKept],
// [Decision], [TransportChanged], [NoModTime], [Lacks], [OutputMoved],
// [SetAside], [ReadingBack] or [Finishing].
type Event interface{ event() }

// Connected says that a server proved an identity.
type Connected struct {
	Target    source.Target
	ID        certs.ServerID
	Transport source.Transport
}

// UDPBlocked says, once, that a server's UDP port does not answer although its
// TCP port does: something on the way eats UDP, or sends it back (Refused). The
// run goes on over TCP.
type UDPBlocked struct {
	Target  source.Target
	Refused bool
}

// WayRefused says, once a server, that its other transport leads to a server
// with another ID. That way is not used.
type WayRefused struct {
	Target source.Target
	Used   source.Transport
	ID     certs.ServerID // that was proved there
}

// FirstContact says that an unknown server was accepted, and whether its ID is
// remembered from now on.
type FirstContact struct {
	Target   source.Target
	ID       certs.ServerID
	Recorded bool
}

// Contradicted says that a server was accepted by a pin or a ticket although
// another ID is recorded for it.
type Contradicted struct {
	Target  source.Target
	ID      certs.ServerID
	Record  certs.KnownServer // the record found
	Updated bool              // the pin has replaced the record; else it stays as it is
}

// NotRemembered says once why the IDs of this run's servers are not remembered.
type NotRemembered struct{ Err error }

// NotReached says that a server is not part of the vote, and why.
type NotReached struct {
	Target source.Target
	Err    error
}

// Duplicate says that a server was given twice. It is used once, as Of.
type Duplicate struct{ Target, Of source.Target }

// OneAddress says that two typed hosts answered at one address. Each has its
// vote if their server IDs differ.
type OneAddress struct {
	Hosts [2]string
	Addr  netip.Addr
}

// Voted says how the vote was decided. The numbers of servers in Result are
// indexes into Targets.
type Voted struct {
	Targets []source.Target
	Result  vote.Result
	Chosen  bool // the user's checksum decided
	// Each: the winner is the tree that each path's own majority makes.
	// It is the last group, and no server is in it.
	Each bool
	// Choice is the votes for what a filter chooses of the winner, which
	// decided since the whole directories have no majority; 0: they did.
	Choice int
}

// LeftOut says that a server that answered after the vote has another file, or
// directory.
type LeftOut struct {
	Target   source.Target
	Tree     bool // it is a directory: checksum and size are those of its listing
	Checksum [32]byte
	Size     int64
}

// Joined says that a server that answered after the vote has the same file and
// takes part. With Other it has another version of the tree, and takes part for
// the files that are the same in both.
type Joined struct {
	Target source.Target
	Other  bool
	Mirror bool // it never votes, and takes part as soon as chunks are wanted
}

// Listed says that the listing of the directory that was voted for is there and
// taken.
type Listed struct {
	Totals tree.Totals
	Size   int64 // bytes of all files, those of the same bytes once
}

// FileDone says that all bytes of a directory's file are there and right. It is
// told only if Watch.Files asks for it.
type FileDone struct {
	Path       string // within the directory: any bytes but NUL
	Size       int64  // in bytes
	Checksum   [32]byte
	Executable bool
}

// Started says that fetching begins.
type Started struct {
	Name   string
	Size   int64       // in bytes
	Tree   bool        // a directory
	Totals tree.Totals // of it, or of what is fetched to repair one
	Chunks int
	Check  int64 // bytes of an earlier run to check first
	Sparse bool  // the space could not be reserved
}

// Lacks says that the file system cannot do something for the file, see
// partfile.Comfort. The run goes on, or has ended well, without it.
type Lacks partfile.Lack

// OutputMoved says that the output directory was moved during the run, and
// where the file is now.
type OutputMoved struct{ Path string }

// SetAside says where the directory that had the output's name is now. This run
// has replaced it, or an earlier run was cut off when it was about to.
type SetAside struct {
	Path   string
	CutOff bool // by an earlier run, which may have been cut off
}

// ChunkRefused says that a chunk differs from the majority's and that its
// server is out.
type ChunkRefused struct {
	Target  source.Target
	Path    string // in a directory: of a file that has the chunk, any bytes but NUL; else empty
	Listing bool   // it is of a directory's listing
	Chunk   int    // its number in the file or listing
	Offset  int64  // in the same, in bytes
	Length  int64
	Changed bool // the server now offers another file: no lie
}

// ValuesRefused says that a server's values were wrong or did not come.
type ValuesRefused struct {
	Target source.Target
	Err    error
}

// Lost says that a server that took part no longer does.
type Lost struct {
	Target source.Target
	State  State
	Err    error
	Left   int // servers that still take part; -1 before the vote is over
}

// Back says that a server that was lost sends again.
type Back struct{ Target source.Target }

// Waiting says that bytes are wanted and no server is left. The run goes on
// trying to reach the lost ones.
type Waiting struct {
	Left time.Duration // until it gives up
}

// Full says, once a server, that it has no room just now. It is tried again.
type Full struct {
	Target source.Target
	Err    error
	Left   time.Duration // until it counts as not reached
}

// Silent says that the remaining servers send nothing. The run goes on waiting
// for them.
type Silent struct {
	Lasted time.Duration
	Left   time.Duration // until it gives up
}

// ServerSilent says, once a silence, that a server that takes part has sent
// nothing for Lasted while others have. It is tried again, also over another
// connection.
type ServerSilent struct {
	Target source.Target
	Lasted time.Duration
}

// SmallBuffers says, once, that the system allows socket buffers smaller than
// fast networks need.
type SmallBuffers struct{ Small []source.SmallBuffer }

// ChunksUnreadable says that the disk cannot read some chunks of a local file
// that is compared. They count as different.
type ChunksUnreadable struct {
	Path   string
	Chunks int
	Err    error // of the first of them
}

// NotKept says what the finished file will lack of the replaced one. Where it
// is known, it comes before anything is fetched.
type NotKept struct {
	Path string
	What string // "owner", "group", `extended attribute "user.x"`, ...
	Err  error
}

// ReadingBack says that the finished file is read once more before it gets its
// name.
type ReadingBack struct{ Size int64 }

// Finishing says that every chunk is good and the file is being made durable.
type Finishing struct{}

func (Connected) event()        {}
func (NotReached) event()       {}
func (UDPBlocked) event()       {}
func (WayRefused) event()       {}
func (FirstContact) event()     {}
func (Contradicted) event()     {}
func (NotRemembered) event()    {}
func (Duplicate) event()        {}
func (OneAddress) event()       {}
func (Voted) event()            {}
func (LeftOut) event()          {}
func (Joined) event()           {}
func (Listed) event()           {}
func (FileDone) event()         {}
func (Started) event()          {}
func (Lacks) event()            {}
func (OutputMoved) event()      {}
func (SetAside) event()         {}
func (ChunkRefused) event()     {}
func (ValuesRefused) event()    {}
func (Lost) event()             {}
func (Back) event()             {}
func (Waiting) event()          {}
func (Silent) event()           {}
func (Full) event()             {}
func (ServerSilent) event()     {}
func (SmallBuffers) event()     {}
func (ChunksUnreadable) event() {}
func (NotKept) event()          {}
func (ReadingBack) event()      {}
func (NoModTime) event()        {}
func (Finishing) event()        {}

// A Phase is what a session is doing.
type Phase int

// The phases, in order.
const (
	PhaseAsking    Phase = iota // connecting, voting
	PhasePreparing              // looking at what is there, fetching the values
	PhaseReserving              // the disk's space, once that takes over a second
	PhaseFetching
	PhaseReadingBack // with Recheck or SHA256
	PhaseFinishing
)

// A State is what a server is to a session.
type State int

// The states of a server.
const (
	StateConnecting State = iota
	StateIndexing         // it is hashing its file
	StateFull             // it has no room just now, or is about to be started again
	StateAnswered         // waits for the end of the vote
	StateServing          // takes part
	StateNotReached       // never answered
	StateRefused          // its ID is not accepted
	StateDuplicate        // the same as another
	StateLeftOut          // has another file
	StateLost             // the connection died, or it is stopping
	StateChanged          // its file changed
	StateWrong            // sent wrong bytes, or broke the protocol
)

var stateNames = [...]string{
	"connecting", "indexing", "full", "answered", "serving", "not reached", "refused", "duplicate",
	"left out", "lost", "changed", "wrong bytes",
}

// isUsed reports whether a server has answered and may still send something.
func (s State) isUsed() bool { return s == StateAnswered || s == StateServing || s == StateLost }

// isAwaited reports whether the server may still answer for the first time.
func (s State) isAwaited() bool {
	return s == StateConnecting || s == StateIndexing || s == StateFull
}

// String returns the state in words.
func (s State) String() string { return stateNames[s] }
