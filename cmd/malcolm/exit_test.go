package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transport"
	"malcolm/wire"
)

func left(states ...transfer.PeerState) *transfer.NoServerLeftError {
	e := &transfer.NoServerLeftError{Missing: 5}
	for _, s := range states {
		e.Servers = append(e.Servers, transfer.ServerReport{State: s})
	}
	return e
}

func TestExitCode(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("odd"), 1},
		{usage("wrong word"), 2},
		{&transfer.NameError{Chosen: true}, 2},
		{&transfer.PinError{Place: "h"}, 2},
		{left(transfer.PeerWrong, transfer.PeerWrong), 3},
		{&transfer.UndecidedError{}, 4},
		{&transfer.NameError{}, 6},
		{&transfer.TargetError{}, 6},
		{&transfer.TooLargeError{}, 6},
		{&transfer.NotDirectoryError{}, 6},
		{&localfile.Error{Err: fs.ErrNotExist}, 6},
		{&partfile.Error{Err: syscall.ENOSPC}, 6},
		{&certs.KeyFileError{}, 6},
		{&transfer.NobodyAnsweredError{}, 7},
		{&transfer.SilentError{}, 7},
		{&listenError{ports: 3}, 7},
		{left(transfer.PeerLost), 7},
		{left(transfer.PeerWrong, transfer.PeerChanged, transfer.PeerLost), 7},
		{left(transfer.PeerWrong, transfer.PeerChanged), 8},
		{&signalError{signal: syscall.SIGHUP}, 129},
		{&signalError{signal: syscall.SIGINT}, 130},
		{&signalError{signal: syscall.SIGTERM}, 143},
	}
	for _, test := range tests {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%T: got %d, want %d", test.err, got, test.want)
		}
		if test.err == nil {
			continue
		}
		if got := exitCode(&reportedError{err: fmt.Errorf("get: %w", test.err)}); got != test.want {
			t.Errorf("%T, wrapped: got %d, want %d", test.err, got, test.want)
		}
	}
}

var here = transfer.Target{Host: "127.0.0.1", Port: 10001}

func TestDescribe(t *testing.T) {
	refused := transfer.ServerReport{Target: here, Err: &transport.NetworkError{Kind: transport.PortUnreachable, Err: syscall.ECONNREFUSED}}
	tests := []struct {
		err  error
		want string
	}{
		{errors.New("odd"), "odd"},
		{&transfer.NobodyAnsweredError{Servers: []transfer.ServerReport{refused}}, "127.0.0.1:10001: connection refused"},
		{&transfer.NobodyAnsweredError{Servers: []transfer.ServerReport{refused, refused}}, "none of 2 servers answered"},
		{&listenError{ports: 3}, "no port to listen on: none of 3 could be bound"},
	}
	for _, test := range tests {
		if got := describe(test.err); got != test.want {
			t.Errorf("%T: got %q, want %q", test.err, got, test.want)
		}
	}
}

func TestReason(t *testing.T) {
	closed := func(code wire.CloseCode) error {
		return &transport.PeerError{Kind: transport.PeerClosed, Code: uint64(code), Text: "words of the peer\x1b"}
	}
	tests := []struct {
		err  error
		want string
	}{
		{closed(wire.CloseStopping), "the server is stopping"},
		{closed(wire.CloseLimit), "the server says that a limit is reached"},
		{closed(wire.CloseProtocol), "the server says that we broke the protocol"},
		{closed(wire.CloseInternal), "the server says that it has an internal error"},
		{closed(99), `peer closed the connection with code 99: "words of the peer\x1b"`},
		{&transport.PeerError{Kind: transport.PeerReset, Code: uint64(wire.StreamUnreadable)}, "the server cannot read its file"},
		{&transport.PeerError{Kind: transport.PeerReset, Code: 99}, "the server ended a range"},
		{&transport.PeerError{Kind: transport.PeerTLS, Code: 40}, "the encrypted connection could not be made (TLS alert 40)"},
		{&transport.LocalError{Kind: transport.LocalDeadline}, "no answer in time"},
		{&wire.Refusal{Status: wire.StatusStopping, Text: "x"}, "the server is stopping"},
		{&transport.PeerError{Kind: transport.PeerNoALPN}, "something else than malcolm answers on this port"},
		{&transport.PeerError{Kind: transport.PeerVersion}, "something else than malcolm answers on this port"},
		{&transport.PeerError{Kind: transport.PeerRestarted}, "the server has forgotten the connection, as after a restart"},
		{&transport.PeerError{Kind: transport.PeerRefused}, "the server takes no more connections"},
		{&transport.NetworkError{Kind: transport.PortUnreachable}, "connection refused"},
		{&transport.NetworkError{Kind: transport.IdleTimeout}, "the connection died: nothing came for too long"},
		{&transport.NetworkError{Kind: transport.HostUnreachable}, "host unreachable"},
		{&wire.Refusal{Status: wire.StatusBusy, Text: "a\nb"}, `refused: busy: "a\nb"`},
		{&transfer.TimeoutError{After: 5 * time.Second, Err: transfer.ErrNoAnswer}, "no answer in 5s"},
		{&transfer.TimeoutError{After: 5 * time.Second, Err: transfer.ErrSlowAnswer}, "no complete answer in 5s"},
		{&transfer.TimeoutError{After: 15 * time.Minute, Err: transfer.ErrStillIndexing}, "is still indexing after 15m0s"},
		{&transport.NetworkError{Kind: transport.Prohibited}, "the routes or the firewall of this machine forbid it"},
		{&transport.NetworkError{Kind: transport.NoLocalAddress}, "no interface of this machine has the address to send from"},
		{&transfer.ResolveError{Host: "x", Err: &net.DNSError{Err: "no such host", Name: "x", Server: "10.0.0.1:53", IsNotFound: true}}, `host "x" is not known`},
		{&transfer.ResolveError{Host: "x", Err: &net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}}, `host "x": the name server does not answer`},
		{&transfer.ResolveError{Host: "x", Err: &net.DNSError{Err: "server misbehaving", Name: "x"}}, `host "x": the name server has no answer: server misbehaving`},
		{&transfer.ResolveError{Host: "::1", Err: &transfer.FamilyError{Is4: true}}, `host "::1" has no IPv4 address`},
		{errors.New("odd"), "odd"},
	}
	for _, test := range tests {
		if got := reason(test.err); got != test.want {
			t.Errorf("%#v: got %q, want %q", test.err, got, test.want)
		}
		if got := reason(fmt.Errorf("dial: %w", test.err)); strings.Contains(got, "\x1b") {
			t.Errorf("%#v: %q has an escape sequence of the peer", test.err, got)
		}
	}
}
