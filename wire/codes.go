package wire

import "strconv"

// ALPN is the protocol's name in the TLS handshake.
const ALPN = "malcolm/1"

// A Status begins every frame of a reply. The package comment says what each
// one means and what follows it.
type Status uint64

// The statuses of malcolm/1. Their numbers are frozen.
const (
	StatusOK          Status = 0
	StatusIndexing    Status = 1
	StatusChanged     Status = 2
	StatusNotFound    Status = 3
	StatusOutOfRange  Status = 4
	StatusUnsupported Status = 5
	StatusMalformed   Status = 6
	StatusDenied      Status = 7
	StatusBusy        Status = 8
	StatusStopping    Status = 9
	StatusUnreadable  Status = 10
	StatusFailedSpan  Status = 11
)

var statusNames = [...]string{
	"ok", "indexing", "changed", "not found", "out of range", "unsupported",
	"malformed", "denied", "busy", "stopping", "unreadable", "failed span",
}

// refuses reports whether the body that belongs to s is that of a refusal.
func (s Status) refuses() bool {
	return s != StatusOK && s != StatusIndexing && s != StatusFailedSpan
}

// String returns the status's name in the specification, or "status N".
func (s Status) String() string {
	if s < Status(len(statusNames)) {
		return statusNames[s]
	}
	return "status " + strconv.FormatUint(uint64(s), 10)
}

// A CloseCode is the application error code with which a connection is closed.
type CloseCode uint64

// The close codes of malcolm/1. Their numbers are frozen.
const (
	CloseDone      CloseCode = 0
	CloseStopping  CloseCode = 1
	CloseProtocol  CloseCode = 2
	CloseLimit     CloseCode = 3
	CloseDenied    CloseCode = 4
	CloseUntrusted CloseCode = 5
	CloseInternal  CloseCode = 6
)

// A StreamCode is the application error code of a reset of one side of a
// stream, or of the request to stop sending.
type StreamCode uint64

// The stream codes of malcolm/1. Their numbers are frozen.
const (
	StreamCancelled  StreamCode = 1
	StreamChanged    StreamCode = 2
	StreamUnreadable StreamCode = 3
	StreamStalled    StreamCode = 4
	StreamStopping   StreamCode = 5
	StreamProtocol   StreamCode = 6
	StreamInternal   StreamCode = 7
)

// A SegmentKind follows the length 0 of a segment over TCP.
type SegmentKind uint64

// The segment kinds of malcolm/1. Their numbers are frozen.
const (
	SegmentEnd   SegmentKind = 0
	SegmentReset SegmentKind = 1
	SegmentClose SegmentKind = 2
)
