package transfer

import (
	"errors"
	"time"

	"malcolm/certs"
)

// Trust says which servers [Get] accepts by their IDs. The zero Trust accepts
// every server and remembers none. A server that came back has to prove the ID
// that it had before, whatever Trust says.
type Trust struct {
	Policy certs.TrustPolicy
	Pins   certs.Pins
	Known  *certs.Known // what is remembered of servers; nil: nothing is
}

// judge decides whether a server with an ID, not proved yet perhaps, is
// accepted. Any goroutine may call it.
func (t *Trust) judge(target Target, id certs.ServerID) (certs.Verdict, error) {
	c := certs.Contact{Address: target.String(), ID: id, Pinned: t.Pins.IDs(target.Host, target.Port)}
	if t.Known != nil {
		c.Known, c.FirstSeen, c.IsKnown = t.Known.Lookup(c.Address)
	}
	return t.Policy.Judge(c)
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
