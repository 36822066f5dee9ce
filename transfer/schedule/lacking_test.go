package schedule_test

import (
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// A server gets what it has, and nothing else: not from the queue, and not from
// others in the endgame.
func TestLackingFiles(t *testing.T) {
	d := newDesk(t, tree(alike(3, 200*kib)))
	d.join(0, mb, 0)
	d.Lack(0, 0, 1)
	d.Lack(0, 2, 1)
	r := d.one(0)
	if r.First != 1 || r.Count != 1 {
		t.Fatalf("%+v, want chunk 1", r)
	}
	d.finish(r)
	d.none()
	d.join(1, mb/100, 0)
	d.Lack(1, 2, 1)
	first := d.one(1)
	if first.First != 0 {
		t.Errorf("%+v, want chunk 0 for server 1", first)
	}
	d.pass(time.Hour)
	d.none() // server 1 is silent, and server 0 cannot help
	d.join(2, mb, 0)
	for _, r := range d.fetch() {
		if r.Server != 2 {
			t.Errorf("%+v, want server 2", r)
		}
	}
	d.Leave(0)
	d.join(0, mb, 0) // it is back, with all chunks as far as is known
	d.Good(0)
	d.Leave(2)
}

// The slowest server fetches what only it has, however soon the others are done
// with all else.
func TestOnlyTheSlowestHas(t *testing.T) {
	d := newDesk(t, tree(alike(100, 200*kib)))
	d.join(0, mb/10, 0)
	d.join(1, 1000*mb, 0)
	d.Lack(1, 0, 1)
	f := d.fetch()
	if want := (schedule.Range{ID: 1, Server: 0, First: 0, Count: 1}); f[0] != want {
		t.Errorf("%+v, want %+v", f[0], want)
	}
	for _, r := range f[1:] {
		if r.Server == 0 {
			t.Errorf("%+v, want nothing else for the slow server", r)
		}
	}
}

// A range ends before what its server lacks.
func TestRangeEndsBeforeALackingFile(t *testing.T) {
	d := newDesk(t, tree(alike(1000, 4*kib)))
	d.join(0, 10*mb, 0)
	d.Lack(0, 30, 2)
	f := d.fetch()
	if want := (schedule.Range{ID: 1, Server: 0, First: 0, Count: 30}); f[0] != want {
		t.Errorf("%+v, want %+v", f[0], want)
	}
	d.sent(f[0], 1)
	if next := d.fetch()[0]; next.First != 32 {
		t.Errorf("%+v, want it from chunk 32 on", next)
	}
}

// A server that was silent is tried again for what only it has.
func TestProbeForWhatOnlyOneHas(t *testing.T) {
	d := newDesk(t, tree(alike(3, 200*kib)))
	d.join(0, mb, 0)
	d.join(1, 1000*mb, 0)
	d.Lack(1, 0, 3)
	r := d.one(0)
	d.pass(2 * time.Second)
	d.Good(r.First)
	d.cancels(r)
	d.pass(2 * time.Second)
	if again := d.one(0); again.First != 1 {
		t.Errorf("%+v, want chunk 1", again)
	}
}

// Of the end of a range a server takes what it has.
func TestStealOfWhatIsThere(t *testing.T) {
	d := newDesk(t, tree(alike(64, 4*kib)))
	d.join(0, 200*kib, 0)
	r := d.one(0)
	d.sent(r, 1)
	d.join(1, 100*mb, 0)
	d.Lack(1, 20, 1)
	if want, a := (schedule.Range{ID: 2, Server: 1, First: 21, Count: 43}), d.plan(); len(a.Fetch) == 0 || a.Fetch[0] != want {
		t.Errorf("%+v, want %+v", a, want)
	}
}
