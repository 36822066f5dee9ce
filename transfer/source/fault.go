package source

import (
	"errors"
	"time"

	"malcolm/certs"
)

// A Fault says that a source is of no use, or no longer. It is made where the
// cause is known. Its What decides the rest.
type Fault struct {
	What What
	// Words are for the user. Text that came from the source is quoted in
	// them.
	Words string
	Err   error // the cause; may be nil
	// Wait is the time after which the source asks to be tried again: its
	// own word, up to 49 days. 0: it names none.
	Wait time.Duration
	// Other is the ID that was proved instead of the source's own; zero:
	// that is not why.
	Other certs.ServerID
}

func (f *Fault) Error() string { return f.Words }

func (f *Fault) Unwrap() error { return f.Err }

// What is a kind of fault.
type What uint8

// The kinds of faults.
const (
	Lost        What = iota // the connection, a request or a try ended early
	NoAnswer                // nothing came back in time
	SlowAnswer              // something came back, but no complete answer in time
	Indexing                // it is still hashing its file
	Full                    // it has no room just now, or is about to be started again
	NoHost                  // its host has no address
	NoFamily                // its host has no address of the IP version in use
	NoPort                  // nobody listens on its port
	NoRoute                 // there is no way to its host
	Prohibited              // this system lets no packets out to it
	NoInterface             // no interface has the address to send from
	Foreign                 // something that is no malcolm server answers
	Denied                  // one side did not prove that it has the token
	Untrusted               // its identity is not accepted
	Changed                 // its file changed
	Wrong                   // it sent wrong bytes, or broke the protocol
	Unsupported             // it does not do what it was asked for, and could do without
	Here                    // this machine cannot read or write its own records
	BytesOnly               // it supplies bytes, and has no values of them
	Absent                  // it does not have the file, or does not give it to us
)

// traits say what follows from each kind.
var traits = [...]struct {
	final bool // another try cannot change it
	late  bool // the try lasted until its time-out
}{
	NoAnswer:    {late: true},
	SlowAnswer:  {late: true},
	Indexing:    {late: true},
	Foreign:     {final: true},
	Denied:      {final: true},
	Untrusted:   {final: true},
	Wrong:       {final: true},
	Unsupported: {final: true},
	Here:        {final: true},
	BytesOnly:   {final: true},
	Absent:      {final: true},
}

// A FailedSpan says that the rest of a span does not come. Those behind it may.
type FailedSpan struct {
	Index int // of the span in the call of Range
	Fault *Fault
}

func (f *FailedSpan) Error() string { return f.Fault.Error() }

func (f *FailedSpan) Unwrap() error { return f.Fault }

// WhatOf returns the kind of an error; Lost for an error that is no fault.
func WhatOf(err error) What {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.What
	}
	return Lost
}

// IsFinal reports whether no other try can change the error.
func IsFinal(err error) bool { return traits[WhatOf(err)].final }

// IsQuick reports whether a failed try may succeed a moment later: a server may
// be starting, and a report that a port is closed may be forged. A try that
// lasted until its time-out is not quick: it has asked several times.
func IsQuick(err error) bool { return !IsFinal(err) && !traits[WhatOf(err)].late }

// IsRefused reports whether an error says that an identity or a token was
// refused.
func IsRefused(err error) bool {
	what := WhatOf(err)
	return what == Denied || what == Untrusted
}

// IsFull reports whether an error says that a source has no room just now, or
// is about to be started again. That passes.
func IsFull(err error) bool { return WhatOf(err) == Full }

// WaitOf returns the time after which a source asks to be tried again: its own
// word, up to 49 days. 0: it names none.
func WaitOf(err error) time.Duration {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Wait
	}
	return 0
}
