package certs

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A TrustPolicy says which servers are trusted if no pin is about them. The
// zero value is FirstContact.
type TrustPolicy uint8

const (
	FirstContact TrustPolicy = iota // known servers, and unknown ones on first contact
	StrictTrust                     // known servers only
	PinnedTrust                     // no server without a pin or a ticket
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

// A Contact is what is known of a server when it has shown its ID.
type Contact struct {
	Address string // host:port that was asked
	// Name is host:port as the user typed it, if Address is only one
	// address of that host; else empty. What is known of the name holds for
	// its addresses too.
	Name string
	ID   ServerID // that the server has shown
	// Pins and Tickets are what the user and the tickets demand: the server
	// must have one ID of each list.
	Pins, Tickets [][]ServerID
	// OfName and OfAddress are the records of Name and of Address, or nil.
	OfName, OfAddress *KnownServer
	// Checked says that all checks are done: the ID was proved, and so was
	// the token, and the offer is valid. Before that nothing is recorded or
	// told.
	Checked bool
}

// A Decision is what to do with an accepted server. The zero Decision does
// nothing.
type Decision struct {
	Record  []string // the servers (host:port) under which to record its ID
	Replace bool     // replace another ID that is recorded there
	First   bool     // nothing was known of the server: tell it once
	// Contradicts, if not nil, is a record with another ID that a pin or a
	// ticket outweighs: tell it.
	Contradicts *KnownServer
}

// Decide decides whether a server is trusted. Pins and tickets come first, then
// the records of its name and of its address, then the policy. No policy
// accepts an ID that contradicts a pin or, without pins, a record. A pin
// replaces a record that it contradicts, a ticket never does. An error is a
// [*TrustError].
func (p TrustPolicy) Decide(c Contact) (Decision, error) {
	if err := c.meets(); err != nil {
		return Decision{}, err
	}
	others := c.others()
	isRecorded := c.OfName != nil || c.OfAddress != nil
	named := len(c.Pins)+len(c.Tickets) > 0
	var d Decision
	switch {
	case named && len(others) > 0:
		d.Contradicts = others[0]
		d.Replace = len(c.Pins) > 0
		for _, r := range others {
			if d.Replace {
				d.Record = append(d.Record, r.Address())
			}
		}
	case named && !isRecorded:
		d.Record = []string{c.Address}
		d.Replace = len(c.Pins) > 0
	case named:
	case p != FirstContact && p != StrictTrust: // or an unknown policy
		return Decision{}, c.refuse(NotPinned)
	case len(others) > 0:
		other, err := others[0], c.refuse(IDChanged)
		err.Address, err.Old, err.FirstSeen = other.Address(), other.ID, other.FirstSeen
		if err.Address != c.Address {
			err.At = c.Address
		}
		return Decision{}, err
	case isRecorded:
	case p == StrictTrust:
		return Decision{}, c.refuse(UnknownServer)
	default:
		d = Decision{Record: []string{c.Address}, First: true}
	}
	if !c.Checked {
		return Decision{}, nil
	}
	return d, nil
}

func (c *Contact) refuse(kind TrustKind) *TrustError {
	return &TrustError{Kind: kind, Address: c.Address, New: c.ID}
}

// meets refuses an ID unless it is one of those demanded.
func (c *Contact) meets() error {
	for _, list := range slices.Concat(c.Pins, c.Tickets) {
		if !slices.Contains(list, c.ID) {
			err := c.refuse(PinMismatch)
			err.Others = max(0, len(list)-1)
			if len(list) > 0 {
				err.Old = list[0]
			}
			return err
		}
	}
	return nil
}

// others returns the records with another ID, that of the name first.
func (c *Contact) others() (records []*KnownServer) {
	for _, r := range []*KnownServer{c.OfName, c.OfAddress} {
		if r != nil && r.ID != c.ID {
			records = append(records, r)
		}
	}
	return records
}

// A TrustKind says why a server is refused.
type TrustKind uint8

const (
	IDChanged     TrustKind = iota + 1 // its ID is not the recorded one
	UnknownServer                      // it has neither pin nor record, and the policy demands one
	PinMismatch                        // its ID is not a pinned one
	NotPinned                          // it has no pin, and the policy demands one
)

// A TrustError says that a server is refused for its ID.
type TrustError struct {
	Kind      TrustKind
	Address   string    // host:port
	Old       ServerID  // recorded, or the first pinned ID; zero if there is neither
	Others    int       // number of pinned IDs besides Old
	New       ServerID  // that the server has shown
	FirstSeen time.Time // when Old was recorded; zero if it was not
	At        string    // host:port that was asked, if Address is the name of its host; else empty
}

// Error returns [TrustError.Problem] and [TrustError.Hint].
func (e *TrustError) Error() string { return e.Problem() + "; " + e.Hint() }

// Problem says what happened.
func (e *TrustError) Problem() string {
	server := "server " + quoted(e.Address)
	if e.At != "" {
		server += " at " + quoted(e.At)
	}
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
		return fmt.Sprintf("%s does not have the pinned ID: pinned is %s%s, its own is %s", server, e.Old, others, e.New)
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

// server returns the address for a command line. Only an address can get there.
func (e *TrustError) server() string {
	at, err := parseServer(e.Address)
	if err != nil {
		return "HOST:PORT"
	}
	return at.String()
}

// shellWord returns s as one word of a shell, quoted only if it must be.
func shellWord(s string) string {
	special := func(r rune) bool { return notInName(r) && r != ':' && r != '=' }
	if strings.ContainsFunc(s, special) {
		return shellQuote(s)
	}
	return s
}
