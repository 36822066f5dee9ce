package view

import (
	"errors"
	"fmt"
	"net"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer"
	"malcolm/transport"
	"malcolm/wire"
)

// Reason says in words why a server is not, or no longer, of use.
func Reason(err error) string {
	if e, ok := errors.AsType[*transport.PeerError](err); ok {
		return peerReason(e)
	}
	if e, ok := errors.AsType[*wire.Refusal](err); ok {
		return refusalReason(e)
	}
	if e, ok := errors.AsType[*transport.NetworkError](err); ok {
		switch e.Kind {
		case transport.PortUnreachable:
			return "connection refused"
		case transport.IdleTimeout:
			return "the connection died: nothing came for too long"
		}
		return e.Error()
	}
	if e, ok := errors.AsType[*transport.LocalError](err); ok {
		return localReason(e)
	}
	if e, ok := errors.AsType[*transfer.ResolveError](err); ok {
		return resolveReason(e)
	}
	return err.Error()
}

// resolveReason says in words why a host has no address.
func resolveReason(e *transfer.ResolveError) string {
	host := "host " + human.Quote(e.Host)
	if f, ok := errors.AsType[*transfer.FamilyError](e.Err); ok {
		return host + " has " + f.Error()
	}
	dns, ok := errors.AsType[*net.DNSError](e.Err)
	switch {
	case !ok:
		return e.Error()
	case dns.IsNotFound:
		return host + " is not known"
	case dns.IsTimeout:
		return host + ": the name server does not answer"
	}
	return host + ": the name server has no answer: " + dns.Err
}

// localReason says in words what we did ourselves.
func localReason(e *transport.LocalError) string {
	switch e.Kind {
	case transport.LocalClosed, transport.LocalCanceled:
		return "the connection was closed here"
	case transport.LocalDeadline:
		return "no answer in time"
	case transport.LocalRefused:
		return e.Error()
	}
	return "internal error: " + e.Error()
}

func peerReason(e *transport.PeerError) string {
	switch e.Kind {
	case transport.PeerClosed:
		return closeReason(e)
	case transport.PeerReset, transport.PeerStopped:
		return streamReason(wire.StreamCode(e.Code))
	case transport.PeerTLS:
		return fmt.Sprintf("the encrypted connection could not be made (TLS alert %d)", e.Code)
	case transport.PeerProtocol:
		return "the server says that we broke the protocol"
	case transport.PeerNoALPN, transport.PeerVersion:
		return "something else than malcolm answers on this port"
	case transport.PeerRestarted:
		return "the server has forgotten the connection, as after a restart"
	case transport.PeerRefused:
		return "the server takes no more connections"
	}
	return e.Error()
}

// refusalReason says in words why a server does not send what it was asked for.
func refusalReason(e *wire.Refusal) string {
	switch e.Status {
	case wire.StatusStopping:
		return "the server is stopping"
	case wire.StatusUnreadable:
		return "the server cannot read its file"
	case wire.StatusChanged:
		return "its file changed"
	case wire.StatusMalformed, wire.StatusUnsupported, wire.StatusOutOfRange:
		return "the server says that we broke the protocol"
	}
	return e.Error()
}

// closeReason says in words why a server ended the connection.
func closeReason(e *transport.PeerError) string {
	switch wire.CloseCode(e.Code) {
	case wire.CloseDone:
		return "the server has ended the connection"
	case wire.CloseStopping:
		return "the server is stopping"
	case wire.CloseLimit:
		return "the server says that a limit is reached"
	case wire.CloseProtocol:
		return "the server says that we broke the protocol"
	case wire.CloseDenied:
		return "the server refuses the token"
	case wire.CloseUntrusted:
		return "the server does not trust us"
	case wire.CloseInternal:
		return "the server says that it has an internal error"
	}
	return e.Error()
}

// streamReason says in words why a server ended a range.
func streamReason(code wire.StreamCode) string {
	switch code {
	case wire.StreamChanged:
		return "its file changed"
	case wire.StreamUnreadable:
		return "the server cannot read its file"
	case wire.StreamStalled:
		return "the server says that nothing was read for too long"
	case wire.StreamStopping:
		return "the server is stopping"
	case wire.StreamProtocol:
		return "the server says that we broke the protocol"
	case wire.StreamInternal:
		return "the server says that it has an internal error"
	}
	return "the server ended a range"
}
