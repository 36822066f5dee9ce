package transfer

import (
	"net"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/wire"
)

// A ServeEvent is something that [Serve] tells of: [Listening], [Ready],
// [Unsteady], [UnstableNumbers], [Unreadable], [Damaged], [CacheFailed],
// [SmallBuffers], [Status], [ServerFailed],
// [ServerReopened], [Panicked], [Stopping] or [Stopped].
type ServeEvent interface{ serveEvent() }

// Listening says that the sockets answer, before the file is hashed.
type Listening struct {
	Addrs []net.Addr // one for each virtual server
	ID    certs.ServerID
}

// Ready says that a version of the file is hashed and offered; again each time
// that the file has changed.
type Ready struct {
	Name     string // as configured
	Offered  string // what clients are told: Name, or empty when it cannot be sent
	Size     int64  // in bytes
	Checksum [32]byte
	ID       certs.ServerID
	Addrs    []net.Addr
}

// Unsteady says that the file changed while it was hashed, and that the hashing
// begins again after a pause, which doubles each time.
type Unsteady struct{ Pause time.Duration }

// UnstableNumbers says, once, that the file system gives the same file another
// number at each look, so that the numbers are not looked at any more.
type UnstableNumbers struct{}

// Unreadable says that the file was changed and cannot be hashed anew, or must
// not be; it is tried again, and new clients are refused until then.
type Unreadable struct{ Err error }

// Damaged says that the disk gives other bytes for a chunk than were hashed,
// though the file was not changed. It is hashed anew.
type Damaged struct {
	Chunk          int
	Offset, Length int64 // in bytes
	Err            error // the disk's, when it gives none
}

// CacheFailed says that what hashing gave could not be kept.
type CacheFailed struct{ Err error }

// ServerFailed says that a virtual server's socket failed. It is opened again, with
// pauses; the others go on.
type ServerFailed struct {
	Server int
	Addr   net.Addr
	Err    error
}

// ServerReopened says that a virtual server that has failed listens again.
type ServerReopened struct {
	Server int
	Addr   net.Addr
}

// Panicked says that malcolm has a fault, that a client came upon it, and that its
// connection was closed for it. The others go on.
type Panicked struct {
	Server, Client net.Addr
	Value          string // of the panic, quoted and at most about 64 bytes
	Count          int64  // with this one, since the start
	Stack          []byte // where it happened
}

// Stopping says that nothing new is accepted and how many streams are still
// being answered.
type Stopping struct{ Ranges int }

// Stopped is the last event.
type Stopped struct{}

// ClientStatus is what one client was sent. An IPv6 /64 is one client.
type ClientStatus = admission.Status

// maxClients is how many clients a [Status] tells of.
const maxClients = 32

// A State is what a virtual server does.
type State int

// The states of a virtual server.
const (
	StateIndexing  State = iota // answers that it is hashing the file
	StateListening              // waits for clients
	StateServing                // sends at least one range
	StateStopped
)

var stateNames = [...]string{"indexing", "listening", "serving", "stopped"}

// String returns the state in one word.
func (s State) String() string { return stateNames[s] }

// Status is the state of all virtual servers at one moment.
type Status struct {
	Indexing    wire.Indexing // how far the hashing is, while Indexed is false
	Indexed     bool
	Panics      int64 // since the start; see [Panicked]
	Servers     []VirtualStatus
	Clients     []ClientStatus // those that were sent the most, at most 32
	MoreClients int            // that are not among them
}

// VirtualStatus is the state of one virtual server.
type VirtualStatus struct {
	Addr    net.Addr
	State   State
	Clients int   // connections now
	Ranges  int   // being sent now
	Sent    int64 // bytes of the file since the start
	Lost    int64 // packets since the start; falls when a late one is acknowledged
}

func (Listening) serveEvent()       {}
func (Ready) serveEvent()           {}
func (Unsteady) serveEvent()        {}
func (UnstableNumbers) serveEvent() {}
func (Damaged) serveEvent()         {}
func (Unreadable) serveEvent()      {}
func (CacheFailed) serveEvent()     {}
func (SmallBuffers) serveEvent()    {}
func (ServerFailed) serveEvent()    {}
func (ServerReopened) serveEvent()  {}
func (Panicked) serveEvent()        {}
func (Stopping) serveEvent()        {}
func (Stopped) serveEvent()         {}
func (Status) serveEvent()          {}
