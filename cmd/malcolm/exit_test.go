package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"malcolm/certs"
	"malcolm/transfer"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transport"
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
