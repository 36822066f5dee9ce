package transfer

import (
	"net/netip"
	"time"

	"malcolm/certs"
	"malcolm/transfer/partfile"
	"malcolm/transfer/vote"
	"malcolm/transport"
)

// A GetEvent is something that [Get] tells of: [Connected], [NotReached],
// [FirstContact], [Contradicted], [NotRemembered], [Duplicate], [OneAddress], [Voted], [LeftOut], [Joined], [Started], [ChunkRefused],
// [ListDiffers], [ManifestRefused], [Lost], [Back], [Waiting], [Full], [Silent], [ServerSilent], [SmallBuffers], [ChunksUnreadable],
// [NotKept], [Decision], [NoModTime], [Lacks], [OutputMoved], [Progress], [ReadingBack] or [Finishing].
type GetEvent interface{ getEvent() }

// Connected says that a server proved an identity.
type Connected struct {
	Target Target
	ID     certs.ServerID
}

// FirstContact says that nothing was known of a server that is accepted, and
// whether its ID is remembered from now on.
type FirstContact struct {
	Target   Target
	ID       certs.ServerID
	Recorded bool
}

// Contradicted says that a server is accepted for a pin or a ticket, although
// another ID is recorded of it.
type Contradicted struct {
	Target  Target
	ID      certs.ServerID
	Record  certs.KnownServer // that was found
	Updated bool              // the pin has taken its place; else it stays as it is
}

// NotRemembered says once why the IDs of this run's servers are not remembered.
type NotRemembered struct{ Err error }

// NotReached says that a server is not part of the vote, and why.
type NotReached struct {
	Target Target
	Err    error
}

// Duplicate says that a server was given twice, and is used once: as the other one.
type Duplicate struct{ Target, Of Target }

// OneAddress says that two hosts that the user typed have answered at one address.
// Each has its vote all the same, if their server IDs differ.
type OneAddress struct {
	Hosts [2]string
	Addr  netip.Addr
}

// Voted says how the vote ended when it was decided. Numbers of servers in
// Result are places in Targets.
type Voted struct {
	Targets []Target
	Result  vote.Result
	Chosen  bool // the user's checksum decided
}

// LeftOut says that a server that answered after the vote has another file.
type LeftOut struct {
	Target   Target
	Checksum [32]byte
	Size     int64
}

// Joined says that a server that answered after the vote has the same file and
// takes part.
type Joined struct{ Target Target }

// Started says that fetching begins.
type Started struct {
	Name   string
	Size   int64 // in bytes
	Chunks int
	Check  int64 // bytes of an earlier run to be looked at first
	Sparse bool  // the space could not be reserved
}

// Lacks says that the file system does not have something that it could do for
// the file, and that the run goes on, or has ended well, without: see
// partfile.Comfort.
type Lacks partfile.Lack

// OutputMoved says that the output directory was moved during the run, and where the
// file is.
type OutputMoved struct{ Path string }

// ChunkRefused says that a chunk was not what the majority holds, and that its
// server is out.
type ChunkRefused struct {
	Target  Target
	Chunk   int
	Offset  int64 // in bytes
	Length  int64
	Changed bool // the server no longer offers the voted file: no lie
}

// ListDiffers says that a chunk that was found good does not have the xxh3-128
// that a server's manifest gives for it. Nothing depends on it.
type ListDiffers struct {
	Target Target
	Chunk  int
}

// ManifestRefused says that a server's manifest was not believed, or did not
// come.
type ManifestRefused struct {
	Target Target
	Err    error
}

// Lost says that a server that took part no longer does.
type Lost struct {
	Target Target
	State  PeerState
	Err    error
	Left   int // servers that still take part; -1 before the vote is over
}

// Back says that a server that was lost sends again.
type Back struct{ Target Target }

// Waiting says that no server is left while bytes are wanted, and that the run goes
// on trying to reach those that were lost.
type Waiting struct {
	Left time.Duration // until it gives up
}

// Full says once of a server that it has no room just now, and that it is tried
// again.
type Full struct {
	Target Target
	Err    error
	Left   time.Duration // until it counts as not reached, at most
}

// Silent says that servers are left, that they send nothing, and that the run
// goes on waiting for them.
type Silent struct {
	Lasted time.Duration
	Left   time.Duration // until it gives up
}

// ServerSilent says once a silence that a server that takes part has sent nothing
// for so long, while others have. It is tried again, in other ways too.
type ServerSilent struct {
	Target Target
	Lasted time.Duration
}

// SmallBuffers says once that the system bounds the
// buffers of sockets to less than what quick networks need.
type SmallBuffers struct{ Small []transport.SmallBuffer }

// ChunksUnreadable says, of [Verify] and [Repair], that the disk does not give some
// chunks of the local file; they count as chunks that differ.
type ChunksUnreadable struct {
	Path   string
	Chunks int
	Err    error // of the first of them
}

// NotKept says, before anything is fetched where that is known, that the finished
// file will not have something of the file that it replaces.
type NotKept struct {
	Path string
	What string // "owner", "group", `extended attribute "user.x"`, ...
	Err  error
}

// Progress is told every interval.
type Progress struct {
	Phase    Phase
	Size     int64         // of the file, in bytes; 0 before the vote
	Good     int64         // bytes that are known to be good
	Resumed  int64         // of these, from an earlier run
	Checked  int64         // bytes of an earlier run looked at so far
	Check    int64         // bytes of an earlier run to be looked at
	Reserved int64         // bytes of the file's space that are reserved, in PhaseReserving
	Rate     float64       // bytes a second, smoothed over about three seconds
	Left     time.Duration // time left; negative: not known
	Servers  []ServerReport
	Map      ChunkMap // belongs to Get, which changes it after the event; nil: not asked for
	Interval time.Duration
}

// ReadingBack says that the finished file is read once more before it gets its
// name.
type ReadingBack struct{ Size int64 }

// Finishing says that every chunk is good and the file is being made durable.
type Finishing struct{}

func (Connected) getEvent()        {}
func (NotReached) getEvent()       {}
func (FirstContact) getEvent()     {}
func (Contradicted) getEvent()     {}
func (NotRemembered) getEvent()    {}
func (Duplicate) getEvent()        {}
func (OneAddress) getEvent()       {}
func (Voted) getEvent()            {}
func (LeftOut) getEvent()          {}
func (Joined) getEvent()           {}
func (Started) getEvent()          {}
func (Lacks) getEvent()            {}
func (OutputMoved) getEvent()      {}
func (ChunkRefused) getEvent()     {}
func (ListDiffers) getEvent()      {}
func (ManifestRefused) getEvent()  {}
func (Lost) getEvent()             {}
func (Back) getEvent()             {}
func (Waiting) getEvent()          {}
func (Silent) getEvent()           {}
func (Full) getEvent()             {}
func (ServerSilent) getEvent()     {}
func (SmallBuffers) getEvent()     {}
func (ChunksUnreadable) getEvent() {}
func (NotKept) getEvent()          {}
func (Progress) getEvent()         {}
func (ReadingBack) getEvent()      {}
func (Finishing) getEvent()        {}

// A Phase is what a run of [Get] is doing.
type Phase int

// The phases, in order.
const (
	PhaseAsking    Phase = iota // connecting, voting
	PhasePreparing              // looking at what is there, fetching the manifest
	PhaseReserving              // the disk's space, when that takes longer than a second
	PhaseFetching
	PhaseReadingBack // with Recheck or SHA256
	PhaseFinishing
)

// A PeerState is what a server is to a run of [Get].
type PeerState int

// The states of a server.
const (
	PeerConnecting PeerState = iota
	PeerIndexing             // it is hashing its file
	PeerFull                 // it has no room just now, or is about to be started again
	PeerAnswered             // waits for the end of the vote
	PeerServing              // takes part
	PeerNotReached           // never answered
	PeerRefused              // its ID is not accepted
	PeerDuplicate            // the same as another
	PeerLeftOut              // has another file
	PeerLost                 // the connection died, or it is stopping
	PeerChanged              // its file changed
	PeerWrong                // sent wrong bytes, or broke the protocol
)

var peerStateNames = [...]string{
	"connecting", "indexing", "full", "answered", "serving", "not reached", "refused", "duplicate",
	"left out", "lost", "changed", "wrong bytes",
}

// isUsed reports whether a server has answered and may still send something.
func (s PeerState) isUsed() bool { return s == PeerAnswered || s == PeerServing || s == PeerLost }

// String returns the state in words.
func (s PeerState) String() string { return peerStateNames[s] }

// A ServerReport is one server's part in a run.
type ServerReport struct {
	Target    Target
	ID        certs.ServerID // zero before it has proved one
	State     PeerState
	Bytes     int64         // of chunks that were found good
	BadChunks int           // chunks that were refused
	Rate      float64       // bytes a second, smoothed; 0 when it does not take part
	RTT       time.Duration // smoothed round trip; 0 without a connection
	Conns     int           // connections, while it takes part
	Indexing  float64       // 0 to 1 while State is PeerIndexing
	Err       error         // why it does not take part; nil when it does
}
