package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/quic-go/quic-go"
)

// maxText bounds the text with a close code, a peer's and ours, in bytes.
const maxText = 256

// PeerKind says what the peer did.
type PeerKind uint8

const (
	PeerClosed    PeerKind = iota + 1 // closed the connection with the application code Code
	PeerReset                         // reset its side of a stream with Code
	PeerStopped                       // told us with Code to stop writing on a stream
	PeerRestarted                     // has forgotten the connection (stateless reset)
	PeerRefused                       // refuses new connections (CONNECTION_REFUSED)
	PeerNoALPN                        // speaks QUIC, but no protocol of ours
	PeerTLS                           // ended the handshake with the TLS alert Code, or broke TLS
	PeerVersion                       // does not speak QUIC version 1
	PeerProtocol                      // broke QUIC or says that we did: transport error Code
)

// PeerError says that the peer ended or refused something.
type PeerError struct {
	Kind PeerKind
	// Code depends on Kind. It is zero if Kind's comment names none.
	Code uint64
	// Text is what the peer said, at most 256 bytes. It is hostile: print
	// it only with %q.
	Text string
	Err  error // the reason, as quic-go's; it may wrap net.ErrClosed, and may be nil
}

func (e *PeerError) Unwrap() error { return e.Err }

func (e *PeerError) Error() string {
	var s string
	switch e.Kind {
	case PeerClosed:
		s = fmt.Sprintf("peer closed the connection with code %d", e.Code)
	case PeerReset:
		s = fmt.Sprintf("peer reset the stream with code %d", e.Code)
	case PeerStopped:
		s = fmt.Sprintf("peer stopped reading with code %d", e.Code)
	case PeerRestarted:
		s = "peer has forgotten the connection"
	case PeerRefused:
		s = "peer refuses new connections"
	case PeerNoALPN:
		s = "peer speaks another protocol"
	case PeerTLS:
		s = fmt.Sprintf("tls alert %d in the handshake with the peer", e.Code)
	case PeerProtocol:
		s = fmt.Sprintf("quic error 0x%x with the peer", e.Code)
		if e.Code == 0 && e.Err != nil {
			s = fmt.Sprintf("peer broke the protocol: %v", e.Err)
		}
	case PeerVersion:
		s = "peer speaks no version of quic that we know"
	}
	if e.Text != "" {
		s += fmt.Sprintf(": %q", e.Text)
	}
	return s
}

// NetworkKind says what the network did.
type NetworkKind uint8

const (
	NoAnswer        NetworkKind = iota + 1 // the handshake was not complete in time; no packet came
	IdleTimeout                            // nothing came for the idle time
	PortUnreachable                        // nobody listens on the peer's port
	HostUnreachable                        // there is no way to the peer's host
	SocketFailed                           // any other error of the socket
	SlowAnswer                             // packets came, but the handshake was not complete in time
	Prohibited                             // this system does not let packets out to the peer's host
	NoLocalAddress                         // no interface has the address to send from
	ProxyFailed                            // a proxy could not be reached, or did not connect us
)

// NetworkError says that a connection failed though neither side ended it.
type NetworkError struct {
	Kind NetworkKind
	Err  error // from quic-go, the system or the context; may be nil
}

func (e *NetworkError) Unwrap() error { return e.Err }

func (e *NetworkError) Error() string {
	switch e.Kind {
	case NoAnswer:
		return "no answer"
	case SlowAnswer:
		return "no complete answer"
	case Prohibited:
		return "the routes or the firewall of this machine forbid it"
	case NoLocalAddress:
		return "no interface of this machine has the address to send from"
	case IdleTimeout:
		return "connection lost: nothing came for too long"
	case PortUnreachable:
		return "connection refused"
	case ProxyFailed:
		return e.Err.Error()
	case HostUnreachable:
		return "host unreachable"
	}
	return fmt.Sprintf("socket failed: %v", e.Err)
}

// LocalKind says what we did.
type LocalKind uint8

const (
	LocalClosed   LocalKind = iota + 1 // we closed the connection, stream or listener
	LocalCanceled                      // we cancelled the stream, or the context ended
	LocalDeadline                      // a deadline that we set on the stream passed
	LocalRefused                       // VerifyConnection refused the peer; its error is wrapped
	LocalConfig                        // options that cannot work
	LocalWindows                       // the WindowBudget is used up
	LocalInternal                      // anything else
)

// LocalError says that we ended something ourselves.
type LocalError struct {
	Kind LocalKind
	Err  error // the reason; it may wrap net.ErrClosed, and may be nil
}

func (e *LocalError) Unwrap() error { return e.Err }

func (e *LocalError) Error() string {
	switch e.Kind {
	case LocalClosed:
		return "closed by us"
	case LocalCanceled:
		return "cancelled by us"
	case LocalDeadline:
		return "deadline exceeded"
	case LocalWindows:
		return "receive windows are used up"
	case LocalRefused:
		return fmt.Sprintf("peer refused: %v", e.Err)
	case LocalConfig:
		return e.Err.Error()
	}
	return fmt.Sprintf("unexpected error: %v", e.Err)
}

// verifyError marks the error of VerifyConnection on its way through crypto/tls
// and quic-go.
type verifyError struct{ error }

func (e *verifyError) Unwrap() error { return e.error }

// classify turns every error of quic-go, a socket or a context into one of this
// package's types. It keeps nil, io.EOF and errors that it has classified
// before.
func classify(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if v, ok := errors.AsType[*verifyError](err); ok {
		return &LocalError{Kind: LocalRefused, Err: v.error}
	}
	if known := ours(err); known != nil {
		return known
	}
	if known := classifyQUIC(err); known != nil {
		return known
	}
	switch {
	case isErrno(err, errnoRefused):
		return &NetworkError{Kind: PortUnreachable, Err: err}
	case isErrno(err, errnoUnreachable):
		return &NetworkError{Kind: HostUnreachable, Err: err}
	case isErrno(err, errnoProhibited):
		return &NetworkError{Kind: Prohibited, Err: err}
	case isErrno(err, errnoNoAddress):
		return &NetworkError{Kind: NoLocalAddress, Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &LocalError{Kind: LocalCanceled, Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &LocalError{Kind: LocalDeadline, Err: err}
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return &NetworkError{Kind: SocketFailed, Err: err}
	}
	if errors.Is(err, quic.ErrTransportClosed) || errors.Is(err, quic.ErrServerClosed) ||
		errors.Is(err, quic.ErrStreamClosed) {
		return &LocalError{Kind: LocalClosed, Err: err}
	}
	return &LocalError{Kind: LocalInternal, Err: err}
}

// ours returns the error of this package's types that err is or wraps, or nil.
func ours(err error) error {
	if e, ok := errors.AsType[*PeerError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*NetworkError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*LocalError](err); ok {
		return e
	}
	return nil
}

// classifyQUIC classifies quic-go's exported error types; nil for all others.
func classifyQUIC(err error) error {
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok {
		if !e.Remote {
			return &LocalError{Kind: LocalClosed, Err: err}
		}
		return &PeerError{Kind: PeerClosed, Code: uint64(e.ErrorCode), Text: bounded(e.ErrorMessage), Err: err}
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok {
		return classifyTransport(e, err)
	}
	if e, ok := errors.AsType[*quic.StreamError](err); ok {
		if !e.Remote {
			return &LocalError{Kind: LocalCanceled, Err: err}
		}
		return &PeerError{Kind: PeerReset, Code: uint64(e.ErrorCode), Err: err}
	}
	if _, ok := errors.AsType[*quic.StatelessResetError](err); ok {
		return &PeerError{Kind: PeerRestarted, Err: err}
	}
	if _, ok := errors.AsType[*quic.VersionNegotiationError](err); ok {
		return &PeerError{Kind: PeerVersion, Err: err}
	}
	if _, ok := errors.AsType[*quic.HandshakeTimeoutError](err); ok {
		return &NetworkError{Kind: NoAnswer, Err: err}
	}
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); ok {
		return &NetworkError{Kind: IdleTimeout, Err: err}
	}
	return nil
}

// classifyTransport classifies QUIC's own error codes (RFC 9000, section 20.1).
// A code that we sent counts as the peer's doing too, unless it is about
// ourselves: QUIC and TLS end a connection when the peer sent something wrong.
func classifyTransport(e *quic.TransportError, err error) error {
	const (
		firstAlert    = 0x100 // plus the TLS alert
		lastAlert     = 0x1ff
		alertInternal = 80
		alertNoALPN   = 120
	)
	code, text := uint64(e.ErrorCode), ""
	if e.Remote {
		text = bounded(e.ErrorMessage)
	}
	switch {
	case code == firstAlert+alertNoALPN:
		return &PeerError{Kind: PeerNoALPN, Text: text, Err: err}
	case !e.Remote && (code == firstAlert+alertInternal || e.ErrorCode == quic.InternalError):
		return &LocalError{Kind: LocalInternal, Err: err}
	case !e.Remote && e.ErrorCode == quic.ConnectionRefused:
		return &LocalError{Kind: LocalClosed, Err: err}
	case e.ErrorCode == quic.ConnectionRefused:
		return &PeerError{Kind: PeerRefused, Text: text, Err: err}
	case code >= firstAlert && code <= lastAlert:
		return &PeerError{Kind: PeerTLS, Code: code - firstAlert, Text: text, Err: err}
	}
	return &PeerError{Kind: PeerProtocol, Code: code, Text: text, Err: err}
}

// classifyWrite is classify for the sending side of a stream, where a peer's
// code comes from STOP_SENDING.
func classifyWrite(err error) error {
	err = classify(err)
	if e, ok := err.(*PeerError); ok && e.Kind == PeerReset {
		e.Kind = PeerStopped
	}
	return err
}

// classifyDial is classify for an error of a handshake under ctx.
func classifyDial(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return &NetworkError{Kind: NoAnswer, Err: err}
		}
		return &LocalError{Kind: LocalCanceled, Err: err}
	}
	err = classify(err)
	if e, ok := err.(*NetworkError); ok && e.Kind == IdleTimeout {
		e.Kind = NoAnswer
	}
	return err
}

// bounded cuts s to what an error may carry.
func bounded(s string) string { return s[:min(len(s), maxText)] }
