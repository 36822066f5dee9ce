package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"

	"malcolm/certs"
	"malcolm/transport"
)

// knownServers returns a file of known servers in a directory of its own.
func knownServers(t *testing.T) (*certs.Known, string) {
	t.Helper()
	dir := t.TempDir()
	k, err := certs.OpenKnown(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k, dir
}

// The identity of a server is recorded at the first contact, and told.
func TestFirstContact(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.serve(newSource(data), 0, 2, serve.Config{})
		known, dir := knownServers(t)
		o := w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Known: known}})
		o.has("data.bin", data)
		if n := len(events[fetch.FirstContact](o)); n != 2 {
			t.Errorf("%d first contacts, want one of each server", n)
		}
		again, err := certs.OpenKnown(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range s.targets {
			if s, ok, _ := again.Lookup(target.String()); !ok || s.ID != testIDs[0].ID() || s.FirstSeen.After(time.Now()) {
				t.Errorf("%v is recorded as %+v, %v", target, s, ok)
			}
		}
		for _, policy := range []certs.TrustPolicy{certs.FirstContact, certs.StrictTrust} {
			o = w.get(getConfig{Targets: s.targets, Force: true, Trust: malcolm.Trust{Known: again, Policy: policy}})
			o.has("data.bin", data)
			if n := len(events[fetch.FirstContact](o)); n != 0 {
				t.Errorf("%d first contacts with %v the second time", n, policy)
			}
		}
	})
}

// A refused identity ends the contact with that server, and nothing of it is
// recorded.
func TestRefusedID(t *testing.T) {
	pin := func(i int) certs.Pins { return certs.Pins{{ID: testIDs[i].ID()}} }
	for _, tt := range []struct {
		name  string
		trust malcolm.Trust
		known int // recorded for the only server: by index of testIDs; -1: nothing
		kind  certs.TrustKind
		// after
		record int
	}{
		{"known", malcolm.Trust{}, 0, 0, 0},
		{"changed", malcolm.Trust{}, 1, certs.IDChanged, 1},
		{"changed, strict", malcolm.Trust{Policy: certs.StrictTrust}, 1, certs.IDChanged, 1},
		{"unknown, strict", malcolm.Trust{Policy: certs.StrictTrust}, -1, certs.UnknownServer, -1},
		{"not pinned", malcolm.Trust{Policy: certs.PinnedTrust}, 0, certs.NotPinned, 0},
		{"pinned", malcolm.Trust{Policy: certs.PinnedTrust, Pins: pin(0)}, -1, 0, 0},
		{"pinned, changed", malcolm.Trust{Pins: pin(0)}, 1, 0, 0},
		{"pinned otherwise", malcolm.Trust{Pins: pin(1)}, 0, certs.PinMismatch, 0},
		{"pinned otherwise, unknown", malcolm.Trust{Pins: pin(1)}, -1, certs.PinMismatch, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				data := file(chunk, 1)
				s := w.serve(newSource(data), 0, 1, serve.Config{})
				name := s.targets[0].String()
				known, _ := knownServers(t)
				if tt.known >= 0 {
					if _, err := known.Record(name, testIDs[tt.known].ID(), time.Now()); err != nil {
						t.Fatal(err)
					}
				}
				tt.trust.Known = known
				o := w.get(getConfig{Targets: s.targets, Trust: tt.trust})
				var refused *certs.TrustError
				r := o.report(s.targets[0])
				switch {
				case tt.kind == 0:
					o.has("data.bin", data)
				case fetch.KindOf(o.err) != fetch.KindIdentity || r.State != fetch.StateRefused || !errors.As(r.Err, &refused) || refused.Kind != tt.kind:
					t.Errorf("ended with %v, the server as %+v; want it refused, kind %d", o.err, r, tt.kind)
				}
				wantRecord(t, known, name, tt.record)
			})
		})
	}
}

// A run goes on without a refused server if a majority is left.
func TestMajorityWithoutTheRefusedServer(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		servers := w.holders(data, data, data)
		known, _ := knownServers(t)
		target := servers[1].targets[0]
		if _, err := known.Record(target.String(), testIDs[3].ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		o := w.get(getConfig{Targets: targetsOf(servers...), Trust: malcolm.Trust{Known: known}})
		o.has("data.bin", data)
		if r := o.report(target); r.State != fetch.StateRefused || r.Bytes != 0 {
			t.Errorf("report = %+v, want it refused", r)
		}
		if servers[1].src.sent() != 0 {
			t.Error("the refused server was asked for bytes")
		}
	})
}

// If a server is refused and the others have no majority, the refused identity
// is the error.
func TestRefusedAndUndecided(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		servers := w.holders(file(chunk, 1), file(chunk, 2), file(chunk, 1))
		known, _ := knownServers(t)
		if _, err := known.Record(servers[2].targets[0].String(), testIDs[3].ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		o := w.get(getConfig{Targets: targetsOf(servers...), Trust: malcolm.Trust{Known: known}})
		if fetch.KindOf(o.err) != fetch.KindIdentity {
			t.Errorf("ended with %v, want the kind of a refused identity", o.err)
		}
	})
}

// A server that comes back under another key is refused.
func TestServerReturnsWithAnotherKey(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(12*chunk, 1)
		servers := w.holders(data, data)
		slow(40<<10, servers...)
		known, _ := knownServers(t)
		o := w.get(getConfig{
			Targets: targetsOf(servers...), Trust: malcolm.Trust{Known: known},
			Events: at(0.2, func() {
				if s := servers[0]; w.tcp.only {
					s.cfg.Identity = testIDs[3]
					s.kill()
				} else {
					restart(s, func(s *server) { s.cfg.Identity = testIDs[3] })
				}
			}),
		})
		o.has("data.bin", data)
		var refused *certs.TrustError
		if r := o.report(servers[0].targets[0]); r.State != fetch.StateChanged || !errors.As(r.Err, &refused) {
			t.Errorf("report = %+v, want its ID refused", r)
		}
	})
}

// An identity that cannot be recorded is told once and stops nobody, unless
// only known servers are to be trusted.
func TestIdentityThatCannotBeRecorded(t *testing.T) {
	for _, strict := range []bool{false, true} {
		overBoth(t, func(t *testing.T, w *world) {
			data := file(chunk, 1)
			s := w.serve(newSource(data), 0, 2, serve.Config{})
			dir := filepath.Join(t.TempDir(), "state")
			known, err := certs.OpenKnown(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir, nil, 0o600); err != nil { // no directory can be made there
				t.Fatal(err)
			}
			trust := malcolm.Trust{Known: known, Pins: certs.Pins{{ID: testIDs[0].ID()}}}
			if strict {
				trust.Policy = certs.StrictTrust
			}
			o := w.get(getConfig{Targets: s.targets, Trust: trust})
			if strict {
				if fetch.KindOf(o.err) != fetch.KindLocal {
					t.Errorf("ended with %v, want that nothing could be written", o.err)
				}
				if n := s.src.sent(); n != 0 {
					t.Errorf("%d bytes were fetched", n)
				}
				unknown := w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Known: known, Policy: certs.StrictTrust}})
				if fetch.KindOf(unknown.err) != fetch.KindLocal {
					t.Errorf("with an unknown server it ended with %v, want that nothing could be written", unknown.err)
				}
				return
			}
			o.has("data.bin", data)
			if n := len(events[fetch.NotRemembered](o)); n != 1 {
				t.Errorf("told %d times that nothing is remembered, want once", n)
			}
		})
	}
}

// A host's pins hold for all its addresses, when each is a server of its own.
func TestPinsOfAllAddresses(t *testing.T) {
	right, wrong := testIDs[0].ID(), testIDs[3].ID()
	for _, tt := range []struct {
		name string
		pins certs.Pins
		kind certs.TrustKind // 0: accepted
	}{
		{"none", nil, certs.NotPinned},
		{"host", certs.Pins{{Host: "twin", ID: right}}, 0},
		{"every server and the host", certs.Pins{{ID: wrong}, {Host: "twin", ID: right}}, 0},
		{"every server, host wrong", certs.Pins{{ID: right}, {Host: "twin", ID: wrong}}, certs.PinMismatch},
		{"host, wrong", certs.Pins{{Host: "twin", ID: wrong}}, certs.PinMismatch},
		{"host, address wrong", certs.Pins{{Host: "twin", ID: right}, {Host: "10.0.0.1", ID: wrong}}, certs.PinMismatch},
		{"host wrong, address", certs.Pins{{Host: "twin", ID: wrong}, {Host: "10.0.0.1", ID: right}}, certs.PinMismatch},
		{"address", certs.Pins{{Host: "10.0.0.1", ID: right}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				data := file(chunk, 1)
				s := w.serve(newSource(data), 0, 1, serve.Config{})
				if s.targets[0].Host != "10.0.0.1" {
					t.Fatalf("the server is %v, want the address of twin", s.targets[0])
				}
				o := w.get(getConfig{
					Targets: []source.Target{{Host: "twin", Port: s.targets[0].Port}}, AllAddresses: true,
					Trust: malcolm.Trust{Policy: certs.PinnedTrust, Pins: tt.pins},
				})
				if tt.kind == 0 {
					o.has("data.bin", data)
					return
				}
				var refused *certs.TrustError
				if len(o.Servers) != 1 || !errors.As(o.Servers[0].Err, &refused) || refused.Kind != tt.kind {
					t.Errorf("ended with %v, the servers as %+v; want it refused, kind %d", o.err, o.Servers, tt.kind)
				}
			})
		})
	}
}

// Another process has recorded another ID since the file was read. This run is
// no first contact any more.
func TestAnotherProcessRecordsAnotherID(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		s := w.serve(newSource(file(chunk, 1)), 0, 1, serve.Config{})
		known, dir := knownServers(t)
		another, err := certs.OpenKnown(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := another.Record(s.targets[0].String(), testIDs[3].ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		o := w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Known: known}})
		var refused *certs.TrustError
		r := o.report(s.targets[0])
		if fetch.KindOf(o.err) != fetch.KindIdentity || !errors.As(r.Err, &refused) || refused.Kind != certs.IDChanged || refused.Old != testIDs[3].ID() {
			t.Errorf("ended with %v, the server as %+v; want its ID refused", o.err, r)
		}
		if n := len(events[fetch.FirstContact](o)); n != 0 {
			t.Errorf("%d first contacts, want none", n)
		}
	})
}

// wantRecord fails the test unless an identity of testIDs is recorded for the
// server; -1: nothing.
func wantRecord(t *testing.T, known *certs.Known, where string, want int) {
	t.Helper()
	s, ok, err := known.Lookup(where)
	if err != nil || ok != (want >= 0) || ok && s.ID != testIDs[want].ID() {
		t.Errorf("%s is recorded as %v, %t, %v; want that of identity %d", where, s.ID, ok, err, want)
	}
}

// A server that fails a check after that of its ID is neither recorded nor
// told. The right one is accepted later.
func TestImpostorIsNotRemembered(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.serve(newSource(data), 0, 1, serve.Config{}) // it does not hold the token
		where := s.targets[0].String()
		known, _ := knownServers(t)
		withToken := malcolm.Trust{Known: known, Token: tokenOf(t, rightToken)}
		o := w.get(getConfig{Targets: s.targets, Trust: withToken})
		if fetch.KindOf(o.err) != fetch.KindIdentity {
			t.Errorf("ended with %v, want the token refused", o.err)
		}
		wantRecord(t, known, where, -1)
		none[fetch.FirstContact](o)
		o = w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Known: known, Policy: certs.StrictTrust}})
		if fetch.KindOf(o.err) != fetch.KindIdentity {
			t.Errorf("without the token it ended with %v, want an unknown server refused", o.err)
		}
		restart(s, func(s *server) { s.cfg.Identity, s.cfg.Tokens = testIDs[1], []certs.Token{tokenOf(t, rightToken)} })
		time.Sleep(time.Second) // a port of TCP that is dialled before would be the old one
		o = w.get(getConfig{Targets: s.targets, Trust: withToken})
		o.has("data.bin", data)
		only[fetch.FirstContact](o)
		wantRecord(t, known, where, 1)
	})
}

// A server with an invalid offer is not recorded.
func TestInvalidOfferIsNotRemembered(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		m := w.malicious(file(3*chunk, 1), 0, func(m *hostile.Server) {
			m.OnStat = func(st transport.Stream, _ int) { st.Write([]byte{0, 1, 2, 3, 4, 5, 6, 7}) }
		})
		known, _ := knownServers(t)
		o := w.get(getConfig{Targets: []source.Target{m.Target}, Trust: malcolm.Trust{Known: known}})
		if o.err == nil {
			t.Error("the offer was believed")
		}
		none[fetch.FirstContact](o)
		if got := known.List(); len(got) > 0 {
			t.Errorf("recorded is %v, want nothing", got)
		}
	})
}

// A record of a name holds for its addresses, when each is a server of its own.
// A DNS answer makes no first contact.
func TestRecordOfTheNameHoldsForItsAddresses(t *testing.T) {
	for _, tt := range []struct {
		name       string
		ofName, of int // recorded, by index of testIDs; -1: nothing
		accepted   bool
	}{
		{"nothing", -1, -1, true},
		{"name", 0, -1, true},
		{"another name", 3, -1, false},
		{"another name, address", 3, 0, false},
		{"name, another address", 0, 3, false},
		{"address", -1, 0, true},
		{"another address", -1, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				data := file(chunk, 1)
				s := w.serve(newSource(data), 0, 1, serve.Config{})
				twin := source.Target{Host: "twin", Port: s.targets[0].Port}
				known, _ := knownServers(t)
				for name, id := range map[string]int{twin.String(): tt.ofName, s.targets[0].String(): tt.of} {
					if id >= 0 {
						if _, err := known.Record(name, testIDs[id].ID(), time.Now()); err != nil {
							t.Fatal(err)
						}
					}
				}
				o := w.get(getConfig{Targets: []source.Target{twin}, AllAddresses: true, Trust: malcolm.Trust{Known: known}})
				if tt.accepted {
					o.has("data.bin", data)
				} else if fetch.KindOf(o.err) != fetch.KindIdentity {
					t.Errorf("ended with %v, want the ID refused", o.err)
				}
				wantRecord(t, known, twin.String(), tt.ofName)
				if want := tt.of; tt.name != "nothing" {
					wantRecord(t, known, s.targets[0].String(), want)
				} else {
					only[fetch.FirstContact](o)
					wantRecord(t, known, s.targets[0].String(), 0)
				}
			})
		})
	}
}

// A pin that contradicts a record updates it and says so. A ticket says so and
// updates nothing.
func TestContradictedRecord(t *testing.T) {
	t.Parallel()
	pins := certs.Pins{{ID: testIDs[0].ID()}}
	for _, tt := range []struct {
		name    string
		trust   malcolm.Trust
		record  int // after
		updated bool
	}{
		{"pin", malcolm.Trust{Pins: pins}, 0, true},
		{"ticket", malcolm.Trust{Tickets: pins}, 3, false},
		{"pin and ticket", malcolm.Trust{Pins: pins, Tickets: pins}, 0, true},
		{"pin, read only", malcolm.Trust{Pins: pins, ReadOnly: true}, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				data := file(3*chunk, 1)
				s := w.serve(newSource(data), 0, 1, serve.Config{})
				known, _ := knownServers(t)
				old, err := known.Record(s.targets[0].String(), testIDs[3].ID(), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				tt.trust.Known = known
				o := w.get(getConfig{Targets: s.targets, Trust: tt.trust})
				o.has("data.bin", data)
				wantRecord(t, known, s.targets[0].String(), tt.record)
				if c, _ := only[fetch.Contradicted](o); c.Record != old || c.ID != testIDs[0].ID() || c.Updated != tt.updated {
					t.Errorf("told %+v, want the old record, and updated: %t", c, tt.updated)
				}
				none[fetch.FirstContact](o)
			})
		})
	}
}

// A ticket for an unknown server is recorded, like a pin.
func TestTicketOfUnknownServer(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		s := w.serve(newSource(file(chunk, 1)), 0, 1, serve.Config{})
		known, _ := knownServers(t)
		o := w.get(getConfig{Targets: s.targets, Trust: malcolm.Trust{Known: known, Policy: certs.PinnedTrust, Tickets: certs.Pins{{ID: testIDs[0].ID()}}}})
		o.has("data.bin", s.src.data)
		wantRecord(t, known, s.targets[0].String(), 0)
		none[fetch.Contradicted](o)
	})
}

// A pin without a server of the run protects nobody: the run does not begin.
func TestPinOfNoServer(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		s := w.serve(newSource(file(chunk, 1)), 0, 1, serve.Config{})
		twin := source.Target{Host: "twin", Port: s.targets[0].Port}
		id := testIDs[0].ID()
		for _, tt := range []struct {
			pin  certs.Pin
			all  bool
			want string // the place; empty: it is a server's
		}{
			{certs.Pin{ID: id}, false, ""},
			{certs.Pin{Host: "twin", ID: id}, false, ""},
			{certs.Pin{Host: "twin", Port: twin.Port, ID: id}, true, ""},
			{certs.Pin{Host: "twin", Port: 7, ID: id}, false, "twin:7"},
			{certs.Pin{Host: "10.0.0.1", ID: id}, true, ""},
			{certs.Pin{Host: "10.0.0.1", ID: id}, false, "10.0.0.1"},
			{certs.Pin{Host: "twin.", ID: id}, true, "twin."},
			{certs.Pin{Host: "::1", Port: 9, ID: id}, true, "[::1]:9"},
		} {
			o := w.get(getConfig{Targets: []source.Target{twin}, AllAddresses: tt.all, Trust: malcolm.Trust{Pins: certs.Pins{tt.pin}}})
			var idle *malcolm.PinError
			if got := errors.As(o.err, &idle); got != (tt.want != "") || got && idle.Place != tt.want {
				t.Errorf("%v, all addresses %t: %v, want the place %q", tt.pin, tt.all, o.err, tt.want)
			}
			if tt.want != "" {
				none[fetch.Connected](o)
			}
		}
	})
}

// A server whose address cannot be compared does not count as unknown.
func TestUnreadableTargetIsNotUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		known, _ := knownServers(t)
		o := w.get(getConfig{Targets: []source.Target{{Host: "no host", Port: 1}}, Trust: malcolm.Trust{Known: known}})
		if o.err == nil || len(events[fetch.NotReached](o)) > 0 {
			t.Errorf("ended with %v, want it refused before anybody is asked", o.err)
		}
	})
}
