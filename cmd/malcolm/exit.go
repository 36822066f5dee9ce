package main

import (
	"errors"

	"malcolm/certs"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer"
)

// The exit codes.
const (
	exitDone       = 0
	exitUnexpected = 1
	exitUsage      = 2
	exitIntegrity  = 3
	exitVote       = 4
	exitIdentity   = 5
	exitLocal      = 6
	exitNetwork    = 7
	exitChanged    = 8
	exitPipe       = 141 // as a shell reports the end by SIGPIPE
)

// exitCode is the one place that maps errors to exit codes.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if s, ok := errors.AsType[*signalError](err); ok {
		return s.exitCode()
	}
	if _, ok := errors.AsType[*pipeError](err); ok {
		return exitPipe
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if e, ok := errors.AsType[*transfer.NameError](err); ok && e.Chosen {
		return exitUsage
	}
	if _, ok := errors.AsType[*transfer.PinError](err); ok {
		return exitUsage
	}
	switch transfer.KindOf(err) {
	case transfer.KindIntegrity:
		return exitIntegrity
	case transfer.KindVote:
		return exitVote
	case transfer.KindIdentity:
		return exitIdentity
	case transfer.KindLocal:
		return exitLocal
	case transfer.KindNetwork:
		return exitNetwork
	case transfer.KindChanged:
		return exitChanged
	}
	if _, ok := errors.AsType[*listenError](err); ok {
		return exitNetwork
	}
	if _, ok := errors.AsType[*certs.TokenError](err); ok { // one about its words is of usage
		return exitLocal
	}
	return exitUnexpected
}

// describe says in words what went wrong: an error's own text, except where
// the error is about the network and its words are about programs.
func describe(err error) string {
	if e, ok := errors.AsType[*certs.TrustError](err); ok {
		return e.Problem()
	}
	if e, ok := errors.AsType[*transfer.NobodyAnsweredError](err); ok && len(e.Servers) == 1 {
		if refused, ok := errors.AsType[*certs.TrustError](e.Servers[0].Err); ok {
			return refused.Problem()
		}
		return e.Servers[0].Target.String() + ": " + view.Reason(e.Servers[0].Err)
	}
	return err.Error()
}

// exitKinds are the words for exit codes.
var exitKinds = map[int]string{
	exitUnexpected: "unexpected", exitUsage: "usage", exitIntegrity: "integrity", exitVote: "vote",
	exitIdentity: "identity", exitLocal: "local", exitNetwork: "network", exitChanged: "changed",
	129: "interrupted", 130: "interrupted", 143: "interrupted", exitPipe: "broken_pipe",
}

// errorOf returns the event that ends a run that went wrong.
func errorOf(err error, hints []string) view.Event {
	code, path := exitCode(err), ""
	if late, ok := errors.AsType[*lateReceiptError](err); ok {
		path = late.path
	}
	return view.Failure{Exit: code, Kind: exitKinds[code], Message: describe(err), Hints: hints, Path: path}.Event()
}
