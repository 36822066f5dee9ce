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
	"malcolm/wire"
)

// Trust says which servers are accepted, by their IDs. The zero Trust accepts
// every server and remembers none. Whatever Trust says, a server that comes
// back has to prove the ID that it had before.
type Trust struct {
	Policy certs.TrustPolicy
	// Pins are the user's, Tickets those of the tickets. A server has to
	// satisfy both. A pin for a host that is not in the run is a
	// [PinError], unless Joining: other servers were or will be named.
	Pins, Tickets certs.Pins
	Joining       bool
	Known         *certs.Known // remembered servers; nil: nothing is remembered
	// ReadOnly: nothing is added to Known.
	ReadOnly bool
	// Token is shown to every server, which must prove that it has it too.
	// Zero: no token is needed.
	Token certs.Token
}

// A DeniedError says that one side did not prove that it has the access token.
type DeniedError struct {
	Ours bool   // the server refused us; else the server did not prove it
	Had  bool   // we had a token
	Text string // the server's words, if any: foreign text, at most 256 bytes
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

// open returns the request that opens a connection, with our proof of the
// token.
func (t *Trust) open(run [16]byte, state tls.ConnectionState) wire.Open {
	o := wire.Open{Run: run, Tail: wire.Idle()}
	if t.Token.IsZero() {
		return o
	}
	if exporter, err := certs.TokenExporter(state); err == nil { // else checkProof fails
		proof := t.Token.Proof(exporter, certs.ClientRole)
		o.Key, o.Proof = t.Token.KeyName(), &proof
	}
	return o
}

// checkProof checks a server's proof of the token.
func (t *Trust) checkProof(state tls.ConnectionState, theirs *[32]byte) error {
	if t.Token.IsZero() {
		return nil
	}
	exporter, err := certs.TokenExporter(state)
	if err != nil {
		return err
	}
	if !t.Token.Verify(exporter, certs.ServerRole, theirs) {
		return denied(&DeniedError{Had: true})
	}
	return nil
}

// A PinError says that a pin fits no server of the run: a mistyped pin would
// protect nobody.
type PinError struct{ Place string } // HOST or HOST:PORT

func (e *PinError) Error() string {
	return fmt.Sprintf("the pin of %q fits no server of this run", e.Place)
}

// ready fails if servers cannot be trusted as t says. It is called before the
// first is asked.
func (t *Trust) ready(targets []source.Target) error {
	if err := CheckPins(t.Pins, targets); err != nil && !t.Joining {
		return err
	}
	if t.Known == nil {
		return nil
	}
	for _, target := range targets {
		if _, err := t.contact(target, certs.ServerID{}); err != nil {
			return err
		}
	}
	// With StrictTrust this is an error even if no server is new.
	if t.Policy != certs.StrictTrust || t.ReadOnly {
		return nil
	}
	return t.Known.Writable()
}

// CheckPins fails with a [PinError] if a pin is for none of the targets.
func CheckPins(pins certs.Pins, targets []source.Target) error {
	for _, pin := range pins {
		if pin.Host != "" && !slices.ContainsFunc(targets, func(target source.Target) bool { return isAt(target, pin) }) {
			return &PinError{strings.TrimSuffix(pin.String(), "="+pin.ID.String())}
		}
	}
	return nil
}

// isAt reports whether a pin is for a server.
func isAt(t source.Target, pin certs.Pin) bool {
	isHost := pin.Host == t.Host || pin.Host == t.Name || pin.Host == strings.TrimSuffix(t.Service, ".")
	return isHost && (pin.Port == 0 || pin.Port == t.Port || t.IsService())
}

// contact returns what is known of a server that has shown an ID.
func (t *Trust) contact(target source.Target, id certs.ServerID) (c certs.Contact, err error) {
	c = certs.Contact{Address: target.String(), ID: id}
	c.Pins, c.Tickets = demands(t.Pins, target), demands(t.Tickets, target)
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

// named returns the IDs that the user or a ticket names for a target, which has
// to prove one of them. None: it may have any ID.
func (t *Trust) named(target source.Target) []certs.ServerID {
	return certs.Common(slices.Concat(demands(t.Pins, target), demands(t.Tickets, target)))
}

// demands returns what pins demand of a target. Those of the SRV name that led
// there hold as well as those of its host.
func demands(pins certs.Pins, t source.Target) [][]certs.ServerID {
	return pins.Demands(t.Port, t.Name, t.Host, strings.TrimSuffix(t.Service, "."))
}

// judge decides whether a server with an ID is accepted. If it has passed all
// other checks (checked), it also says what follows. Any goroutine may call it.
func (t *Trust) judge(target source.Target, id certs.ServerID, checked bool) (certs.Decision, error) {
	c, err := t.contact(target, id)
	if err != nil {
		return certs.Decision{}, err
	}
	c.Checked = checked
	return t.Policy.Decide(c)
}

// check returns the test of a target's claimed ID for a handshake.
// [Trust.accept] judges again what it accepts.
func (t *Trust) check(target source.Target) func(certs.ServerID) error {
	return func(id certs.ServerID) error {
		_, err := t.judge(target, id, false)
		return err
	}
}

// accept is called after the last check of a server, which has proved its ID
// and the token and made a valid offer. Only here is anything recorded. Any
// goroutine may call it.
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

// record writes what a decision says, and reports whether it did. If another
// process was first with another ID, the server is refused.
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
