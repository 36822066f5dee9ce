package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"malcolm/certs"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transport"
)

func left(states ...fetch.State) *fetch.NoServerLeftError {
	e := &fetch.NoServerLeftError{Missing: 5}
	for _, s := range states {
		e.Servers = append(e.Servers, fetch.ServerReport{State: s})
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
		{&fetch.NameError{Chosen: true}, 2},
		{&malcolm.PinError{Place: "h"}, 2},
		{left(fetch.StateWrong, fetch.StateWrong), 3},
		{&fetch.UndecidedError{}, 4},
		{&fetch.NameError{}, 6},
		{&fetch.TargetError{}, 6},
		{&fetch.TooLargeError{}, 6},
		{&fetch.NotDirectoryError{}, 6},
		{&localfile.Error{Err: fs.ErrNotExist}, 6},
		{&partfile.Error{Err: syscall.ENOSPC}, 6},
		{&certs.KeyFileError{}, 6},
		{&fetch.NobodyAnsweredError{}, 7},
		{&fetch.SilentError{}, 7},
		{&listenError{ports: 3}, 7},
		{&plainListenError{}, 7},
		{left(fetch.StateLost), 7},
		{left(fetch.StateWrong, fetch.StateChanged, fetch.StateLost), 7},
		{left(fetch.StateWrong, fetch.StateChanged), 8},
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

var here = source.Target{Host: "127.0.0.1", Port: 10001}

func TestDescribe(t *testing.T) {
	refused := fetch.ServerReport{Target: here, Err: &transport.NetworkError{Kind: transport.PortUnreachable, Err: syscall.ECONNREFUSED}}
	tests := []struct {
		err  error
		want string
	}{
		{errors.New("odd"), "odd"},
		{&fetch.NobodyAnsweredError{Servers: []fetch.ServerReport{refused}}, "127.0.0.1:10001: connection refused"},
		{&fetch.NobodyAnsweredError{Servers: []fetch.ServerReport{refused, refused}}, "none of 2 servers answered"},
		{&listenError{ports: 3}, "no port to listen on: none of 3 could be bound"},
	}
	for _, test := range tests {
		if got := describe(test.err); got != test.want {
			t.Errorf("%T: got %q, want %q", test.err, got, test.want)
		}
	}
}
