package transfer

import (
	"errors"
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transport"
)

// Trust says which servers [Get] accepts by their IDs. The zero Trust accepts
// every server and remembers none. A server that came back has to prove the ID
// that it had before, whatever Trust says.
type Trust struct {
	Policy certs.TrustPolicy
	Pins   certs.Pins
	Known  *certs.Known // what is remembered of servers; nil: nothing is
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
func (t *Trust) hold(conn *transport.Conn) (ours *[32]byte, check func(theirs *[32]byte) error, err error) {
	if t.Token.IsZero() {
		return nil, func(*[32]byte) error { return nil }, nil
	}
	exporter, err := certs.TokenExporter(conn.TLS())
	if err != nil {
		return nil, nil, err
	}
	proof := t.Token.Proof(exporter, certs.ClientRole)
	return &proof, func(theirs *[32]byte) error {
		if !t.Token.Verify(exporter, certs.ServerRole, theirs) {
			return &DeniedError{Had: true}
		}
		return nil
	}, nil
}

// remembers reports what is in the way of remembering servers, before the first
// is asked: with [certs.StrictTrust] that is an error even where nothing is new.
func (t *Trust) remembers() error {
	if t.Policy != certs.StrictTrust || t.Known == nil || t.ReadOnly {
		return nil
	}
	return t.Known.Writable()
}

// judge decides whether a server with an ID, not proved yet perhaps, is
// accepted. Any goroutine may call it.
func (t *Trust) judge(target Target, id certs.ServerID) (certs.Verdict, error) {
	c := certs.Contact{Address: target.String(), ID: id, Pinned: t.pinned(target, id)}
	if t.Known != nil {
		c.Known, c.FirstSeen, c.IsKnown = t.Known.Lookup(c.Address)
	}
	return t.Policy.Judge(c)
}

// named returns the IDs that the user named for a target: it has to prove one of
// them. Without any it may have any ID.
func (t *Trust) named(target Target) (ids []certs.ServerID) {
	for _, id := range slices.Concat(t.Pins.IDs(target.typed(), target.Port), t.Pins.IDs(target.Host, target.Port)) {
		if slices.Contains(t.pinned(target, id), id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// pinned returns the IDs of which a server must have one. One of several addresses
// of a host has to satisfy the pins of the host and its own.
func (t *Trust) pinned(target Target, id certs.ServerID) []certs.ServerID {
	own := t.Pins.IDs(target.Host, target.Port)
	if target.name == "" {
		return own
	}
	host := t.Pins.IDs(target.name, target.Port)
	if len(own) == 0 || len(host) > 0 && !slices.Contains(host, id) {
		return host
	}
	return own
}

// check returns what a handshake with a target asks about the ID that is
// claimed there.
func (t *Trust) check(target Target) func(certs.ServerID) error {
	return func(id certs.ServerID) error {
		_, err := t.judge(target, id)
		return err
	}
}

// proved runs beside the loop when a server has proved an ID that the handshake
// accepted: it remembers the ID where that is due, and tells of a first contact.
func (g *getting) proved(target Target, id certs.ServerID) error {
	t := &g.cfg.Trust
	verdict, err := t.judge(target, id)
	if err != nil || t.Known == nil || verdict == certs.Accept {
		return err
	}
	if t.ReadOnly {
		if verdict == certs.AcceptFirst {
			g.post(func() { g.emit(FirstContact{Target: target, ID: id}) })
		}
		return nil
	}
	var record certs.KnownServer
	if verdict == certs.AcceptUpdate {
		record, err = t.Known.Replace(target.String(), id, time.Now())
	} else {
		record, err = t.Known.Record(target.String(), id, time.Now())
	}
	var state *certs.StateError
	switch {
	case errors.As(err, &state) && t.Policy != certs.StrictTrust:
		g.post(func() { g.notRemembered(state) })
	case err != nil:
		g.post(func() { g.fail(err) })
		return err
	case record.ID != id: // another process was first
		_, err := t.judge(target, id)
		return err
	}
	if verdict == certs.AcceptFirst {
		g.post(func() { g.emit(FirstContact{Target: target, ID: id, Recorded: state == nil}) })
	}
	return nil
}

// notRemembered tells once that nothing can be recorded.
func (g *getting) notRemembered(err error) {
	if !g.forgetful {
		g.forgetful = true
		g.emit(NotRemembered{Err: err})
	}
}
