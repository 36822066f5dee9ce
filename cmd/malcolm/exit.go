package main

import (
	"errors"

	"malcolm/certs"
	"malcolm/cmd/malcolm/metrics"
	"malcolm/cmd/malcolm/systemd"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/scan"
	"malcolm/transfer/source/malcolm"
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

// exitCode alone maps errors to exit codes.
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
	if _, ok := errors.AsType[*metrics.NameError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*systemd.SocketError](err); ok { // its unit is wrong, as a flag can be
		return exitUsage
	}
	if e, ok := errors.AsType[*fetch.NameError](err); ok && e.Chosen {
		return exitUsage
	}
	if _, ok := errors.AsType[*malcolm.PinError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*valuesError](err); ok {
		return exitVote
	}
	if errors.Is(err, scan.ErrUnsteady) {
		return exitChanged
	}
	switch fetch.KindOf(err) {
	case fetch.KindIntegrity:
		return exitIntegrity
	case fetch.KindVote:
		return exitVote
	case fetch.KindIdentity:
		return exitIdentity
	case fetch.KindLocal:
		return exitLocal
	case fetch.KindNetwork:
		return exitNetwork
	case fetch.KindChanged:
		return exitChanged
	}
	if _, ok := errors.AsType[*listenError](err); ok {
		return exitNetwork
	}
	if _, ok := errors.AsType[*plainListenError](err); ok {
		return exitNetwork
	}
	if _, ok := errors.AsType[*measureError](err); ok {
		return exitNetwork
	}
	if _, ok := errors.AsType[*certs.TokenError](err); ok { // an error in a token's text is one of usage
		return exitLocal
	}
	return exitUnexpected
}

// describe says what went wrong, in the error's own text. For network errors,
// whose text is for programs, it finds words.
func describe(err error) string {
	if e, ok := errors.AsType[*batchError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*view.LineError](err); ok {
		return (&view.LineError{Line: e.Line, Err: errors.New(describe(e.Err))}).Error()
	}
	if e, ok := errors.AsType[*certs.TrustError](err); ok {
		return e.Problem()
	}
	if e, ok := errors.AsType[*fetch.NobodyAnsweredError](err); ok && len(e.Servers) == 1 {
		if refused, ok := errors.AsType[*certs.TrustError](e.Servers[0].Err); ok {
			return refused.Problem()
		}
		return e.Servers[0].Target.String() + ": " + e.Servers[0].Err.Error()
	}
	return err.Error()
}

// exitKinds are the exit codes as words.
var exitKinds = map[int]string{
	exitUnexpected: "unexpected", exitUsage: "usage", exitIntegrity: "integrity", exitVote: "vote",
	exitIdentity: "identity", exitLocal: "local", exitNetwork: "network", exitChanged: "changed",
	129: "interrupted", 130: "interrupted", 143: "interrupted", exitPipe: "broken_pipe",
}

// errorOf returns the event that ends a failed run.
func errorOf(err error, hints []string) view.Event {
	code, path := exitCode(err), ""
	if late, ok := errors.AsType[*lateReceiptError](err); ok {
		path = late.path
	}
	return view.Failure{Exit: code, Kind: exitKinds[code], Message: describe(err), Hints: hints, Path: path}.Event()
}
