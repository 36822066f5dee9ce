package serve

import (
	"net"
	"time"

	"malcolm/certs"
	"malcolm/transport"
)

// An Event is something that a [Server] tells of: [Listening], [Ready],
// [Unsteady], [UnstableNumbers], [Unreadable], [Damaged], [CacheFailed],
// [ServerFailed], [ServerReopened], [Panicked], [Stopping] or [Stopped].
type Event interface{ serveEvent() }

// SmallBuffers says once that the system bounds the buffers of sockets to less
// than what quick networks need.
type SmallBuffers struct{ Small []transport.SmallBuffer }

// Listening says that the sockets answer, before the file is hashed.
type Listening struct {
	Addrs []net.Addr // one for each virtual server
	ID    certs.ServerID
	// SmallBuffers are those buffers of the first socket that the system
	// made smaller than wanted.
	SmallBuffers []transport.SmallBuffer
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

// ServerFailed says that a virtual server's socket failed. It is opened again,
// with pauses; the others go on.
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

// maxPanicValue bounds [Panicked.Value], in characters before quoting.
const maxPanicValue = 64

// Panicked says that malcolm has a fault, that a client came upon it, and that
// its connection was closed for it. The others go on.
type Panicked struct {
	Server, Client net.Addr
	Value          string // of the panic, quoted, at most its first 64 characters
	Count          int64  // with this one, since the start
	Stack          []byte // where it happened
}

// Stopping says that nothing new is accepted, and how many requests are still
// under way.
type Stopping struct{ Requests int }

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

// offer is post when that need not wait; else the event is lost.
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

// run tells of what is posted until that is over. Only the goroutine of Run
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
