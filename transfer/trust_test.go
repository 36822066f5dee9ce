package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/certs"
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

func TestFirstContact(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.serve(newSource(data), 0, 2, ServeConfig{})
		known, dir := knownServers(t)
		o := w.get(GetConfig{Targets: s.targets, Trust: Trust{Known: known}})
		o.has("data.bin", data)
		if n := len(events[FirstContact](o)); n != 2 {
			t.Errorf("%d first contacts, want one of each server", n)
		}
		again, err := certs.OpenKnown(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range s.targets {
			if id, since, ok := again.Lookup(target.String()); !ok || id != testIDs[0].ID() || since.After(time.Now()) {
				t.Errorf("%v is recorded as %v since %v, %v", target, id, since, ok)
			}
		}
		for _, policy := range []certs.TrustPolicy{certs.FirstContact, certs.StrictTrust} {
			o = w.get(GetConfig{Targets: s.targets, Force: true, Trust: Trust{Known: again, Policy: policy}})
			o.has("data.bin", data)
			if n := len(events[FirstContact](o)); n != 0 {
				t.Errorf("%d first contacts with %v the second time", n, policy)
			}
		}
	})
}

// What is not accepted ends the contact with that server, and nothing of it is
// recorded.
func TestRefusedID(t *testing.T) {
	pin := func(i int) certs.Pins { return certs.Pins{{ID: testIDs[i].ID()}} }
	for _, tt := range []struct {
		name  string
		trust Trust
		known int // recorded for the only server: by index of testIDs; -1: nothing
		kind  certs.TrustKind
		// after
		record int
	}{
		{"known", Trust{}, 0, 0, 0},
		{"changed", Trust{}, 1, certs.IDChanged, 1},
		{"changed, strict", Trust{Policy: certs.StrictTrust}, 1, certs.IDChanged, 1},
		{"unknown, strict", Trust{Policy: certs.StrictTrust}, -1, certs.UnknownServer, -1},
		{"not pinned", Trust{Policy: certs.PinnedTrust}, 0, certs.NotPinned, 0},
		{"pinned", Trust{Policy: certs.PinnedTrust, Pins: pin(0)}, -1, 0, 0},
		{"pinned, changed", Trust{Pins: pin(0)}, 1, 0, 0},
		{"pinned otherwise", Trust{Pins: pin(1)}, 0, certs.PinMismatch, 0},
		{"pinned otherwise, unknown", Trust{Pins: pin(1)}, -1, certs.PinMismatch, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(chunk, 1)
				s := w.serve(newSource(data), 0, 1, ServeConfig{})
				name := s.targets[0].String()
				known, _ := knownServers(t)
				if tt.known >= 0 {
					if _, err := known.Record(name, testIDs[tt.known].ID(), time.Now()); err != nil {
						t.Fatal(err)
					}
				}
				tt.trust.Known = known
				o := w.get(GetConfig{Targets: s.targets, Trust: tt.trust})
				var refused *certs.TrustError
				r := o.report(s.targets[0])
				switch {
				case tt.kind == 0:
					o.has("data.bin", data)
				case KindOf(o.err) != KindIdentity || r.State != PeerRefused || !errors.As(r.Err, &refused) || refused.Kind != tt.kind:
					t.Errorf("ended with %v, the server as %+v; want it refused, kind %d", o.err, r, tt.kind)
				}
				id, _, ok := known.Lookup(name)
				if ok != (tt.record >= 0) || ok && id != testIDs[tt.record].ID() {
					t.Errorf("recorded is %v, %v; want that of identity %d", id, ok, tt.record)
				}
			})
		})
	}
}

// The run goes on without a server that is refused, if a majority is left.
func TestRefusedMinority(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		servers := w.holders(data, data, data)
		known, _ := knownServers(t)
		target := servers[1].targets[0]
		if _, err := known.Record(target.String(), testIDs[3].ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		o := w.get(GetConfig{Targets: targetsOf(servers...), Trust: Trust{Known: known}})
		o.has("data.bin", data)
		if r := o.report(target); r.State != PeerRefused || r.Bytes != 0 {
			t.Errorf("report = %+v, want it refused", r)
		}
		if servers[1].src.sent() != 0 {
			t.Error("the refused server was asked for bytes")
		}
	})
}

// With a refusal and no majority among the others, the identity is to blame.
func TestRefusedAndUndecided(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		servers := w.holders(file(chunk, 1), file(chunk, 2), file(chunk, 1))
		known, _ := knownServers(t)
		if _, err := known.Record(servers[2].targets[0].String(), testIDs[3].ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		o := w.get(GetConfig{Targets: targetsOf(servers...), Trust: Trust{Known: known}})
		if KindOf(o.err) != KindIdentity {
			t.Errorf("ended with %v, want the kind of a refused identity", o.err)
		}
	})
}

// A server that comes back under another key is not taken back.
func TestRefusedReturn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(12*chunk, 1)
		servers := w.holders(data, data)
		slow(40<<10, servers...)
		known, _ := knownServers(t)
		o := w.get(GetConfig{
			Targets: targetsOf(servers...), Trust: Trust{Known: known},
			Events: at(0.2, func() { restart(servers[0], func(s *server) { s.cfg.Identity = testIDs[3] }) }),
		})
		o.has("data.bin", data)
		var refused *certs.TrustError
		if r := o.report(servers[0].targets[0]); r.State != PeerChanged || !errors.As(r.Err, &refused) {
			t.Errorf("report = %+v, want its ID refused", r)
		}
	})
}

// What cannot be remembered is said once and stops nobody, unless nobody is to be
// trusted that is not known.
func TestNotRemembered(t *testing.T) {
	for _, strict := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(chunk, 1)
			s := w.serve(newSource(data), 0, 2, ServeConfig{})
			dir := filepath.Join(t.TempDir(), "state")
			known, err := certs.OpenKnown(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir, nil, 0o600); err != nil { // no directory can be made there
				t.Fatal(err)
			}
			trust := Trust{Known: known, Pins: certs.Pins{{ID: testIDs[0].ID()}}}
			if strict {
				trust.Policy = certs.StrictTrust
			}
			o := w.get(GetConfig{Targets: s.targets, Trust: trust})
			if strict {
				if KindOf(o.err) != KindLocal {
					t.Errorf("ended with %v, want that nothing could be written", o.err)
				}
				if n := s.src.sent(); n != 0 {
					t.Errorf("%d bytes were fetched", n)
				}
				unknown := w.get(GetConfig{Targets: s.targets, Trust: Trust{Known: known, Policy: certs.StrictTrust}})
				if KindOf(unknown.err) != KindLocal {
					t.Errorf("with an unknown server it ended with %v, want that nothing could be written", unknown.err)
				}
				return
			}
			o.has("data.bin", data)
			if n := len(events[NotRemembered](o)); n != 1 {
				t.Errorf("told %d times that nothing is remembered, want once", n)
			}
		})
	}
}

// A host's pins hold for each of its addresses, when each is a server of its own.
func TestPinsOfAllAddresses(t *testing.T) {
	right, wrong := testIDs[0].ID(), testIDs[3].ID()
	for _, tt := range []struct {
		name string
		pins certs.Pins
		kind certs.TrustKind // 0: accepted
	}{
		{"none", nil, certs.NotPinned},
		{"host", certs.Pins{{Host: "twin", ID: right}}, 0},
		{"another host", certs.Pins{{Host: "other", ID: right}}, certs.NotPinned},
		{"host, wrong", certs.Pins{{Host: "twin", ID: wrong}}, certs.PinMismatch},
		{"host, address wrong", certs.Pins{{Host: "twin", ID: right}, {Host: "10.0.0.1", ID: wrong}}, certs.PinMismatch},
		{"host wrong, address", certs.Pins{{Host: "twin", ID: wrong}, {Host: "10.0.0.1", ID: right}}, certs.PinMismatch},
		{"address", certs.Pins{{Host: "10.0.0.1", ID: right}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(chunk, 1)
				s := w.serve(newSource(data), 0, 1, ServeConfig{})
				if s.targets[0].Host != "10.0.0.1" {
					t.Fatalf("the server is %v, want the address of twin", s.targets[0])
				}
				o := w.get(GetConfig{
					Targets: []Target{{Host: "twin", Port: s.targets[0].Port}}, AllAddresses: true,
					Trust: Trust{Policy: certs.PinnedTrust, Pins: tt.pins},
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

// Another process has recorded another ID for a server since the file was read:
// this one has not the first contact.
func TestRecordedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.serve(newSource(file(chunk, 1)), 0, 1, ServeConfig{})
		known, dir := knownServers(t)
		another, err := certs.OpenKnown(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := another.Record(s.targets[0].String(), testIDs[3].ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		o := w.get(GetConfig{Targets: s.targets, Trust: Trust{Known: known}})
		var refused *certs.TrustError
		r := o.report(s.targets[0])
		if KindOf(o.err) != KindIdentity || !errors.As(r.Err, &refused) || refused.Kind != certs.IDChanged || refused.Old != testIDs[3].ID() {
			t.Errorf("ended with %v, the server as %+v; want its ID refused", o.err, r)
		}
		if n := len(events[FirstContact](o)); n != 0 {
			t.Errorf("%d first contacts, want none", n)
		}
	})
}
