package certs

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A TrustPolicy says which servers are trusted that no pin speaks of. The zero
// value is FirstContact.
type TrustPolicy uint8

const (
	FirstContact TrustPolicy = iota // known servers, and unknown ones on first contact
	StrictTrust                     // known servers only
	PinnedTrust                     // none: every server needs a pin or a ticket
)

var policyNames = [...]string{FirstContact: "first", StrictTrust: "strict", PinnedTrust: "pinned"}

// String returns "first", "strict" or "pinned".
func (p TrustPolicy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("trust policy %d", uint8(p))
}

// UnmarshalText reads what [TrustPolicy.String] writes.
func (p *TrustPolicy) UnmarshalText(text []byte) error {
	at := slices.Index(policyNames[:], string(text))
	if at < 0 {
		return fmt.Errorf("%s is no trust policy: write %s", quoted(string(text)), strings.Join(policyNames[:], ", "))
	}
	*p = TrustPolicy(at)
	return nil
}

// A Verdict is what to do with a server that has shown its ID. The zero value
// is Refuse.
type Verdict uint8

const (
	Refuse       Verdict = iota
	Accept               // nothing is to be written
	AcceptFirst          // first contact: record the ID with [Known.Record], and say so once
	AcceptUpdate         // a pin or ticket matches: set the record with [Known.Replace]
)

// A Contact is what is known of a server when it has shown its ID.
type Contact struct {
	Address string     // host:port, as the user knows the server
	ID      ServerID   // that the server has shown
	Pinned  []ServerID // by pins or a ticket: one of them is demanded; empty: none is

	// What [Known.Lookup] returned.
	Known     ServerID
	FirstSeen time.Time
	IsKnown   bool
}

// Judge decides whether a server is trusted. Pins and tickets come first, then
// the record, then the policy; no policy accepts an ID that contradicts a pin
// or a record. With Refuse, and only then, the error is a [*TrustError].
func (p TrustPolicy) Judge(c Contact) (Verdict, error) {
	refuse := func(kind TrustKind) (Verdict, error) {
		return Refuse, &TrustError{Kind: kind, Address: c.Address, New: c.ID}
	}
	recorded := c.IsKnown && c.Known == c.ID
	switch {
	case len(c.Pinned) > 0 && !slices.Contains(c.Pinned, c.ID):
		return Refuse, &TrustError{
			Kind: PinMismatch, Address: c.Address, Old: c.Pinned[0], Others: len(c.Pinned) - 1, New: c.ID,
		}
	case len(c.Pinned) > 0 && recorded:
		return Accept, nil
	case len(c.Pinned) > 0:
		return AcceptUpdate, nil
	case p != FirstContact && p != StrictTrust: // also one that does not exist
		return refuse(NotPinned)
	case recorded:
		return Accept, nil
	case c.IsKnown:
		return Refuse, &TrustError{Kind: IDChanged, Address: c.Address, Old: c.Known, New: c.ID, FirstSeen: c.FirstSeen}
	case p == StrictTrust:
		return refuse(UnknownServer)
	}
	return AcceptFirst, nil
}

// A TrustKind says why a server is refused.
type TrustKind uint8

const (
	IDChanged     TrustKind = iota + 1 // its ID is not the recorded one
	UnknownServer                      // there is neither pin nor record, and the policy demands one
	PinMismatch                        // its ID is not a pinned one
	NotPinned                          // there is no pin, and the policy demands one
)

// A TrustError says that a server is refused for its ID.
type TrustError struct {
	Kind      TrustKind
	Address   string    // host:port
	Old       ServerID  // recorded, or the first of those pinned; zero when there is none
	Others    int       // how many IDs besides Old are pinned
	New       ServerID  // that the server has shown
	FirstSeen time.Time // when Old was recorded; zero when it was not
}

// Error returns [TrustError.Problem] and [TrustError.Hint].
func (e *TrustError) Error() string { return e.Problem() + "; " + e.Hint() }

// Problem says what happened.
func (e *TrustError) Problem() string {
	server := "server " + quoted(e.Address)
	switch e.Kind {
	case IDChanged:
		since := ""
		if !e.FirstSeen.IsZero() {
			since = ", known since " + e.FirstSeen.UTC().Format(time.DateOnly)
		}
		return fmt.Sprintf("%s has another ID than before: it was %s%s, now it is %s", server, e.Old, since, e.New)
	case PinMismatch:
		others := ""
		if e.Others > 0 {
			others = fmt.Sprintf(" (or one of %d more)", e.Others)
		}
		return fmt.Sprintf("%s has not the ID that is pinned: that is %s%s, its own is %s", server, e.Old, others, e.New)
	case UnknownServer:
		return fmt.Sprintf("%s is not known, its ID is %s", server, e.New)
	case NotPinned:
		return fmt.Sprintf("%s is not pinned, its ID is %s", server, e.New)
	}
	return fmt.Sprintf("%s is refused, its ID is %s", server, e.New)
}

// Hint says what to do next.
func (e *TrustError) Hint() string {
	switch e.Kind {
	case IDChanged:
		return "somebody else may answer in its place; if its key was changed on purpose, run: " + e.forgetCommand()
	case PinMismatch:
		return "somebody else may answer in its place; if the new ID is the right one, pin that"
	case UnknownServer, NotPinned:
		return "if that is the right one, add: --pin " + shellWord(e.server()+"="+e.New.String())
	}
	return "ask whoever runs it for its ID"
}

func (e *TrustError) forgetCommand() string { return "malcolm trust forget " + shellWord(e.server()) }

// server returns the address for a command line: nothing that is no address
// gets there.
func (e *TrustError) server() string {
	at, err := parseServer(e.Address)
	if err != nil {
		return "HOST:PORT"
	}
	return at.String()
}

// shellWord returns s as one word of a shell, quoted only where it must be.
func shellWord(s string) string {
	special := func(r rune) bool { return notInName(r) && r != ':' && r != '=' }
	if strings.ContainsFunc(s, special) {
		return shellQuote(s)
	}
	return s
}
