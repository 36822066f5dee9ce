package serve

import (
	"net"
	"time"

	"malcolm/certs"
	"malcolm/transfer/scan"
	"malcolm/transfer/tree"
	"malcolm/transport"
)

// An Event is something that a [Server] tells of: [Listening], [Ready],
// [LeftOut], [Unsteady], [UnstableNumbers], [Unreadable], [Damaged],
// [CacheFailed], [ServerFailed], [ServerReopened], [Panicked], [Stopping] or
// [Stopped].
type Event interface{ serveEvent() }

// SmallBuffers says, once, that the system allows socket buffers smaller than
// fast networks need.
type SmallBuffers struct{ Small []transport.SmallBuffer }

// Listening says that the sockets answer, before the file is hashed.
type Listening struct {
	Addrs []net.Addr // of UDP, one for each virtual server
	TCP   []net.Addr // of those that listen on TCP too
	HTTP  net.Addr   // of HTTP without TLS; nil: it is not answered
	ID    certs.ServerID
	// SmallBuffers are the first socket's buffers that the system made
	// smaller than wanted.
	SmallBuffers []transport.SmallBuffer
}

// Ready says that a version of the file or tree is hashed and offered. It comes
// again each time it has changed.
type Ready struct {
	Name     string // as configured
	Offered  string // what clients are told: Name, or empty when it cannot be sent
	Size     int64  // in bytes; of a tree, of all its files
	Checksum [32]byte
	Tree     *tree.Totals // of a tree; nil: it is a file
	// HardLinks is how many files of a tree are further names of others.
	// Clients get a copy of each.
	HardLinks int
	ID        certs.ServerID
	Addrs     []net.Addr
	// Pin is the SHA-256 of the public key (SPKI) that clients of HTTP are
	// shown over TLS; zero: one of [HTTP].Certificate, or nothing is shown.
	Pin [32]byte
}

// LeftOut says what is not in the tree that is offered, when that has changed.
type LeftOut scan.LeftOut

// Unsteady says that the file changed while it was hashed. Hashing begins again
// after Pause, which doubles each time.
type Unsteady struct{ Pause time.Duration }

// UnstableNumbers says, once, that the file system gives the same file another
// number at each look. The numbers are not used any more.
type UnstableNumbers struct{}

// Unreadable says that the file was changed and cannot, or must not, be hashed
// again. Serve keeps trying; until then new clients are refused.
type Unreadable struct {
	Err error
	// Kept says that this is about the file that [Server.Reload] was to
	// offer from now on. What was offered before still is.
	Kept bool
}

// Damaged says that the disk returns other bytes for a chunk than were hashed,
// although the file was not changed. It is hashed anew.
type Damaged struct {
	Path           string // in a tree; "": the file that is offered
	Chunk          int
	Offset, Length int64 // in bytes
	Err            error // the disk's, when it gives none
}

// CacheFailed says that the hashes could not be kept for the next run.
type CacheFailed struct{ Err error }

// ServerFailed says that a virtual server's socket failed, over UDP or TCP as
// Addr says. It is opened again, with pauses; the others go on.
type ServerFailed struct {
	Server int
	Addr   net.Addr
	Err    error
}

// ServerReopened says that a socket that had failed listens again.
type ServerReopened struct {
	Server int
	Addr   net.Addr
}

// maxPanicValue bounds [Panicked.Value], in characters before quoting.
const maxPanicValue = 64

// Panicked says that a client hit a bug in malcolm, and that its connection was
// closed. The others go on.
type Panicked struct {
	Server, Client net.Addr
	Value          string // of the panic, quoted, at most its first 64 characters
	Count          int64  // with this one, since the start
	Stack          []byte // where it happened
}

// Stopping says that nothing new is accepted. Requests are still under way.
type Stopping struct {
	Requests int
	Within   time.Duration // they have this time to finish
}

// Stopped is the last event.
type Stopped struct{}

// An eventQueue takes events from any goroutine to the one that tells of them.
type eventQueue struct {
	tell  func(Event) // nil: nobody is told
	queue chan Event
	over  <-chan struct{} // closed when nobody takes from queue any more; set by Run
}

func newEventQueue(tell func(Event)) eventQueue {
	return eventQueue{tell: tell, queue: make(chan Event, 16)}
}

// post hands an event to the goroutine that tells. At the end it may be lost.
func (q *eventQueue) post(e Event) {
	select {
	case q.queue <- e:
	case <-q.over:
	}
}

// offer is post that never waits: the event may be lost.
func (q *eventQueue) offer(e Event) {
	select {
	case q.queue <- e:
	default:
	}
}

// emit tells of an event. Only the goroutine of Run calls it.
func (q *eventQueue) emit(e Event) {
	if q.tell != nil {
		q.tell(e)
	}
}

// run tells of what is posted until over is closed. Only the goroutine of Run
// calls it.
func (q *eventQueue) run() {
	for {
		select {
		case e := <-q.queue:
			q.emit(e)
		case <-q.over:
			return
		}
	}
}

// flush tells of what was posted and not told yet. Only the goroutine of Run
// calls it.
func (q *eventQueue) flush() {
	for {
		select {
		case e := <-q.queue:
			q.emit(e)
		default:
			return
		}
	}
}

func (Listening) serveEvent()       {}
func (Ready) serveEvent()           {}
func (LeftOut) serveEvent()         {}
func (Unsteady) serveEvent()        {}
func (UnstableNumbers) serveEvent() {}
func (Damaged) serveEvent()         {}
func (Unreadable) serveEvent()      {}
func (CacheFailed) serveEvent()     {}
func (ServerFailed) serveEvent()    {}
func (ServerReopened) serveEvent()  {}
func (Panicked) serveEvent()        {}
func (Stopping) serveEvent()        {}
func (Stopped) serveEvent()         {}
