package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
)

// alertNoALPN is the TLS alert no_application_protocol (RFC 7301).
const alertNoALPN = 120

// classifyTCP is classify for an error of a TLS connection after its handshake.
func classifyTCP(err error) error {
	switch {
	case err == nil || ours(err) != nil:
		return classify(err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		isErrno(err, errnoGone):
		return &PeerError{Kind: PeerRestarted, Err: err}
	case isErrno(err, errnoTimedOut):
		return &NetworkError{Kind: IdleTimeout, Err: err}
	case errors.Is(err, net.ErrClosed):
		return &LocalError{Kind: LocalClosed, Err: err}
	}
	if code, ok := alertOf(err); ok {
		return &PeerError{Kind: PeerTLS, Code: code, Err: err}
	}
	if e := classify(err); !isLocal(e, LocalInternal) {
		return e
	}
	return &PeerError{Kind: PeerProtocol, Err: err} // crypto/tls has no type for what a peer broke
}

// classifyTCPDial is classifyTCP for an error before the handshake was complete
// or while it was made. connected: the TCP connection was made; heard: bytes
// came over it.
func classifyTCPDial(ctx context.Context, err error, connected, heard bool) error {
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	switch {
	case ctx.Err() != nil && (late || errors.Is(err, context.Cause(ctx))):
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return &LocalError{Kind: LocalCanceled, Err: context.Cause(ctx)}
		}
		if connected {
			return &NetworkError{Kind: SlowAnswer, Err: err}
		}
		return &NetworkError{Kind: NoAnswer, Err: err}
	case ours(err) != nil:
		return ours(err)
	case isErrno(err, errnoTimedOut):
		return &NetworkError{Kind: NoAnswer, Err: err}
	case !connected:
		return classify(err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return &PeerError{Kind: PeerNoALPN, Err: err}
	}
	if code, ok := alertOf(err); ok && code == alertNoALPN {
		return &PeerError{Kind: PeerNoALPN, Err: err}
	}
	e := classifyTCP(err)
	if p, ok := e.(*PeerError); ok {
		switch {
		case p.Kind == PeerRestarted && heard:
			p.Kind = PeerNoALPN
		case p.Kind == PeerRestarted:
			p.Kind = PeerRefused
		case p.Kind == PeerProtocol:
			p.Kind = PeerTLS
		}
	}
	return e
}

// alertOf returns the TLS alert that a peer has sent. crypto/tls exports no
// type for it.
func alertOf(err error) (uint64, bool) {
	e, ok := errors.AsType[*net.OpError](err)
	if !ok || e.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(e.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}

// temporaryAccept reports whether a failed accept says nothing of the socket:
// the client is gone, or there are no descriptors for it.
func temporaryAccept(err error) bool {
	return isErrno(err, errnoAccept)
}

func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func isLocal(err error, kind LocalKind) bool {
	e, ok := errors.AsType[*LocalError](err)
	return ok && e.Kind == kind
}

// isReset reports whether err is the reset of one message.
func isReset(err error) bool {
	e, ok := err.(*PeerError)
	return ok && e.Kind == PeerReset
}

// isMessageEnd reports whether err ends a message and not the connection.
func isMessageEnd(err error) bool { return err == io.EOF || isReset(err) }
