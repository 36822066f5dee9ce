package malcolm

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
)

// Trust says which servers are accepted by their IDs. The zero Trust accepts
// every server and remembers none. A server that came back has to prove the ID
// that it had before, whatever Trust says.
type Trust struct {
	Policy certs.TrustPolicy
	// Pins are the user's, Tickets those of the tickets. A server has to satisfy
	// both. A pin with a host that is none of the run's is a [PinError].
	Pins, Tickets certs.Pins
	Known         *certs.Known // what is remembered of servers; nil: nothing is
	// ReadOnly says that nothing is to be remembered beyond that.
	ReadOnly bool
	// Token is shown to every server, which has to prove that it holds it too.
	// The zero Token: none is needed.
	Token certs.Token
}

// A DeniedError says that one side did not prove that it holds the access token.
type DeniedError struct {
	Ours bool   // the server refused us; else the server did not prove it
	Had  bool   // we had a token
	Text string // what the server says, if anything: foreign text, at most 256 bytes
}

func (e *DeniedError) Error() string {
	switch {
	case !e.Ours:
		return "the server does not hold the token"
	case !e.Had:
		return "the server asks for a token"
	}
	return "the server refuses the token"
}

// hold returns what shows a server that we hold the token, and checks what the
// server shows.
func (t *Trust) hold(state tls.ConnectionState) (ours *[32]byte, check func(theirs *[32]byte) error, err error) {
	if t.Token.IsZero() {
		return nil, func(*[32]byte) error { return nil }, nil
	}
	exporter, err := certs.TokenExporter(state)
	if err != nil {
		return nil, nil, err
	}
	proof := t.Token.Proof(exporter, certs.ClientRole)
	return &proof, func(theirs *[32]byte) error {
		if !t.Token.Verify(exporter, certs.ServerRole, theirs) {
			return denied(&DeniedError{Had: true})
		}
		return nil
	}, nil
}

// A PinError says that a pin is for no server of the run: a mistyped one would
// protect nobody.
type PinError struct{ Place string } // HOST or HOST:PORT

func (e *PinError) Error() string {
	return fmt.Sprintf("the pin of %q is for no server of this run", e.Place)
}

// ready reports what is in the way of trusting servers as t says, before the
// first is asked.
func (t *Trust) ready(targets []source.Target) error {
	for _, pin := range t.Pins {
		if pin.Host != "" && !slices.ContainsFunc(targets, func(target source.Target) bool { return isAt(target, pin) }) {
			return &PinError{strings.TrimSuffix(pin.String(), "="+pin.ID.String())}
		}
	}
	if t.Known == nil {
		return nil
	}
	for _, target := range targets {
		if _, err := t.contact(target, certs.ServerID{}); err != nil {
			return err
		}
	}
	// With StrictTrust it is an error even where nothing is new.
	if t.Policy != certs.StrictTrust || t.ReadOnly {
		return nil
	}
	return t.Known.Writable()
}

// isAt reports whether a pin is for a server.
func isAt(t source.Target, pin certs.Pin) bool {
	return (pin.Host == t.Host || pin.Host == t.Name) && (pin.Port == 0 || pin.Port == t.Port)
}

// contact returns what is known of a server that has shown an ID.
func (t *Trust) contact(target source.Target, id certs.ServerID) (c certs.Contact, err error) {
	c = certs.Contact{Address: target.String(), ID: id}
	c.Pins = t.Pins.Demands(target.Name, target.Host, target.Port)
	c.Tickets = t.Tickets.Demands(target.Name, target.Host, target.Port)
	if t.Known == nil {
		return c, nil
	}
	if c.OfAddress, err = t.recorded(c.Address); err != nil {
		return c, err
	}
	if target.Name != "" {
		c.Name = source.Target{Host: target.Name, Port: target.Port}.String()
		c.OfName, err = t.recorded(c.Name)
	}
	return c, err
}

func (t *Trust) recorded(server string) (*certs.KnownServer, error) {
	s, ok, err := t.Known.Lookup(server)
	if err != nil || !ok {
		return nil, err
	}
	return &s, nil
}

// named returns the IDs that the user or a ticket names for a target: it has to
// prove one of them. Without any it may have any ID.
func (t *Trust) named(target source.Target) []certs.ServerID {
	c := certs.Contact{Pins: t.Pins.Demands(target.Name, target.Host, target.Port)}
	c.Tickets = t.Tickets.Demands(target.Name, target.Host, target.Port)
	return certs.Common(slices.Concat(c.Pins, c.Tickets))
}

// judge decides whether a server with an ID is accepted, and, when it is checked
// in every other way, what follows from that. Any goroutine may call it.
func (t *Trust) judge(target source.Target, id certs.ServerID, checked bool) (certs.Decision, error) {
	c, err := t.contact(target, id)
	if err != nil {
		return certs.Decision{}, err
	}
	c.Checked = checked
	return t.Policy.Decide(c)
}

// check returns what a handshake with a target asks about the ID that is claimed
// there. What it accepts is judged again by [Trust.accept].
func (t *Trust) check(target source.Target) func(certs.ServerID) error {
	return func(id certs.ServerID) error {
		_, err := t.judge(target, id, false)
		return err
	}
}

// accept is called behind the last check of a server, which has proved its ID and
// the token, and made a valid offer. It is the one place where what follows from
// that is recorded. Any goroutine may call it.
func (t *Trust) accept(target source.Target, id certs.ServerID) (a source.Accepted, err error) {
	d, err := t.judge(target, id, true)
	if err != nil {
		return a, hereFault(err)
	}
	if t.Known == nil {
		return a, nil
	}
	a = source.Accepted{First: d.First, Contradicts: d.Contradicts}
	a.Recorded, err = t.record(d, id)
	if _, ok := errors.AsType[*certs.StateError](err); ok && t.Policy != certs.StrictTrust {
		a.NotRecorded = err
		return a, nil
	}
	if err != nil {
		return a, hereFault(err)
	}
	return a, nil
}

// record writes what a decision says, and reports whether it did. Another process
// may have been first with another ID; then the server is refused.
func (t *Trust) record(d certs.Decision, id certs.ServerID) (done bool, err error) {
	if t.ReadOnly {
		return false, nil
	}
	for _, server := range d.Record {
		put := t.Known.Record
		if d.Replace {
			put = t.Known.Replace
		}
		now, err := put(server, id, time.Now())
		if err != nil {
			return false, err
		}
		if now.ID != id {
			return false, &certs.TrustError{Kind: certs.IDChanged, Address: server, Old: now.ID, New: id, FirstSeen: now.FirstSeen}
		}
		done = true
	}
	return done, nil
}
