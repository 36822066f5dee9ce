package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transfer/source/srv"
)

// lookEvery is the time between two looks at the files of sources.
const lookEvery = 2 * time.Second

// askEvery is the time between two questions for an SRV name. Tests ask sooner.
var askEvery = srv.Every

// A moving is what a command names as sources, where files of sources and DNS
// may change that while it runs. Only one goroutine uses it.
type moving struct {
	addresses flags.Addresses
	ports     flags.PortWords
	fixed     []string // positional sources that are no files
	files     []*sourceFile
	book      *srv.Book                // knows where SRV names lead
	own       bool                     // nobody else uses book
	warn      func(string)             // says what is wrong with sources
	have      map[string]source.Target // what the session has, by sourceKeys
	warned    string                   // what is wrong now, said
}

// now returns what is named now. SRV names are looked up in their time, without
// waiting for that.
func (m *moving) now() (targets []source.Target, pins certs.Pins, sum *flags.Checksum, err error) {
	words := append([]string(nil), m.fixed...)
	for _, f := range m.files {
		words = append(words, f.named()...)
	}
	words, pins, sum, err = takeTickets(words)
	if err != nil {
		return nil, nil, nil, err
	}
	if targets, _, err = flags.Targets(m.addresses, m.ports, words); err != nil {
		return nil, nil, nil, err
	}
	if names := services(targets); len(names) > 0 {
		m.book.Look(names)
		targets, _ = m.resolved(targets)
	}
	return targets, pins, sum, nil
}

// sourceKeys returns targets by what stays of them when a link is renewed.
// Links that differ only behind their ? are each their own.
func sourceKeys(targets []source.Target) map[string]source.Target {
	several := make(map[string]int)
	for _, t := range targets {
		several[linkPlace(t.URL)]++
	}
	keys := make(map[string]source.Target)
	for _, t := range targets {
		switch place := linkPlace(t.URL); {
		case t.Service != "": // beside the same server named otherwise
			keys[fmt.Sprintf("%s %s %d", t.Service, t, t.Priority)] = t
		case !t.IsMirror():
			keys[t.String()] = t
		case several[place] > 1:
			keys[t.URL] = t
		default:
			keys[place] = t
		}
	}
	return keys
}

// changed returns which targets are new among those that are named now, and
// which of those that the session has are named no more.
func (m *moving) changed(targets []source.Target) (add, remove []source.Target) {
	now := sourceKeys(targets)
	for key, t := range m.have {
		if _, ok := now[key]; !ok {
			remove = append(remove, t)
			delete(m.have, key)
		}
	}
	for key, t := range now {
		if _, ok := m.have[key]; !ok {
			m.have[key] = t
			add = append(add, t)
		}
	}
	return add, remove
}

// services returns the SRV names among targets.
func services(targets []source.Target) (names []string) {
	for _, t := range targets {
		if t.IsService() {
			names = append(names, t.Service)
		}
	}
	return names
}

// begin returns the sources that a session begins with: the targets of a query,
// and in place of SRV names the servers to which these lead. A name that leads
// nowhere is warned of, and asked for again; it is an error if there is no
// other source.
func (q query) begin(ctx context.Context) ([]source.Target, error) {
	m := q.moving
	if m == nil {
		return q.targets, nil
	}
	targets := q.targets
	if names := services(targets); len(names) > 0 {
		if err := m.book.Ask(ctx, names); err != nil {
			return nil, err
		}
		var failed []fetch.ServerReport
		if targets, failed = m.resolved(targets); len(targets) == 0 {
			return nil, &fetch.NobodyAnsweredError{Servers: failed}
		}
		for _, f := range failed {
			m.warn(fmt.Sprintf("%s: %v", f.Target, f.Err))
		}
		err := malcolm.CheckPins(q.reach.Trust.Pins, slices.Concat(targets, q.targets))
		if pin, ok := errors.AsType[*malcolm.PinError](err); ok && m.own {
			m.warn(fmt.Sprintf("the pin of %s is for no server that DNS names now", human.Quote(pin.Place)))
		}
	}
	m.have = sourceKeys(targets)
	return targets, nil
}

// resolved returns targets with servers in place of SRV names, as far as is
// known, and the names that lead nowhere. Of the servers those of the first
// names are taken, up to the number that a command may name.
func (m *moving) resolved(targets []source.Target) (list []source.Target, failed []fetch.ServerReport) {
	room := flags.MaxPorts
	for _, t := range targets {
		if !t.IsService() {
			list, room = append(list, t), room-1
		}
	}
	for _, t := range targets {
		if !t.IsService() {
			continue
		}
		servers, err := m.book.Servers(t.Service)
		if err != nil {
			failed = append(failed, fetch.ServerReport{Target: t, State: fetch.StateNotReached, Err: err})
		}
		servers = servers[:min(len(servers), max(room, 0))]
		list, room = append(list, servers...), room-len(servers)
	}
	return list, failed
}

// follow looks for changes of a query's files of sources, and of what DNS says,
// until stop is called, and has the session take part in them. stop waits; call
// it after the session was closed.
func (q query) follow(ctx context.Context, s *fetch.Session) (stop func()) {
	if q.moving == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				q.look(ctx, s)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		if q.moving.own {
			q.moving.book.Close()
		}
	}
}

// look has a session use what is named now.
func (q query) look(ctx context.Context, s *fetch.Session) {
	m := q.moving
	for _, f := range m.files {
		f.look()
	}
	targets, pins, sum, err := m.now()
	if err == nil && sum != nil && (q.ballot.Checksum == nil || sum.Sum != *q.ballot.Checksum) {
		err = errOtherTicket
	}
	if err == nil {
		q.reach.Trust.Tickets, q.reach.Trust.Joining = pins, true
		err = checkTickets(q.reach.Trust.Pins, pins)
	}
	if err == nil {
		add, remove := m.changed(targets)
		if len(add)+len(remove) == 0 {
			return
		}
		var sources []source.Source
		if sources, err = q.sourcesOf(ctx, add); err == nil {
			s.Change(sources, remove)
		}
	}
	if err != nil && ctx.Err() == nil && m.warned != err.Error() {
		m.warned = err.Error()
		m.warn(fmt.Sprintf("%v; the sources that it named before stay", err))
	}
}

var errOtherTicket = errors.New("a ticket in a file of sources is for another file")
