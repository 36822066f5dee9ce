package schedule_test

import (
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// pair returns a desk with a server 0 that owes a chunk, and a server 1 that
// owes one and sends.
func pair(t *testing.T, chunks int) (d *desk, quiet, sending schedule.Range) {
	d = newDesk(t, layout(int64(chunks)*mb, mb))
	d.join(0, 0, 0)
	quiet = d.one(0)
	d.join(1, 0, 0)
	sending = d.one(1)
	return d, quiet, sending
}

// A silent server loses its work, is asked for one chunk after 2 s, loses that
// too, and is asked again after pauses that double up to one minute. Once it
// has sent, the pauses begin anew.
func TestStall(t *testing.T) {
	d, quiet, sending := pair(t, 1000)
	wait := func(pass time.Duration) {
		d.pass(pass)
		d.sent(sending, 1)
		d.sent(quiet, 0)
		// One range is all that the other server asks for in this test.
		d.Pause(1, d.now)
	}
	d.sent(sending, 1)
	sendingToo := d.one(1)
	round := func(pause time.Duration) {
		t.Helper()
		d.pass(2*time.Second - 1)
		d.sent(sending, 1)
		d.Arrived(quiet.ID, 0, d.now.Add(-2*time.Second))
		d.none()
		d.pass(1)
		d.cancels(quiet)
		d.pass(pause - 1)
		d.sent(sending, 1)
		d.none()
		d.pass(1)
		if r := d.one(0); r.First != 0 || r.Count != 1 {
			t.Fatalf("asked for %+v, want the chunk at the front", r)
		} else {
			quiet = r
		}
	}
	for _, seconds := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		round(seconds * time.Second)
	}
	d.sent(quiet, mb)
	d.Good(quiet.First)
	d.End(quiet.ID)
	wait(0)
	f := d.fetch()
	if len(f) != 2 || f[0].Server != 0 || f[1].Server != 0 {
		t.Fatalf("after it sent: ranges = %+v, want two for server 0", f)
	}
	d.pass(2 * time.Second)
	d.sent(sendingToo, 1)
	d.cancels(f...)
	d.pass(2*time.Second - 1)
	d.sent(sendingToo, 1)
	d.none()
	d.pass(1)
	d.one(0)
}

func TestSilence(t *testing.T) {
	tests := []struct {
		name string
		rtt  time.Duration
		want time.Duration
	}{
		{"round trip not known", 0, 2 * time.Second},
		{"short round trip", 500 * time.Millisecond, 2 * time.Second},
		{"four round trips", 501 * time.Millisecond, 2004 * time.Millisecond},
		{"long round trip", time.Second, 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, layout(2*mb, mb))
			d.join(0, 0, tt.rtt)
			quiet := d.one(0)
			d.join(1, 0, 0)
			d.finish(d.one(1))
			d.pass(tt.want - 1)
			d.none()
			d.pass(1)
			a := d.plan()
			if len(a.Cancel) != 1 || a.Cancel[0] != quiet.ID {
				t.Errorf("cancels %v, want %d", a.Cancel, quiet.ID)
			}
			d.End(quiet.ID)
			d.one(1)
		})
	}
}

// Silence begins when a server begins to owe, and time in which malcolm did not
// read is none.
func TestNoSilence(t *testing.T) {
	t.Run("owes nothing", func(t *testing.T) {
		d, quiet, sending := pair(t, 4)
		d.finish(quiet)
		d.Pause(0, d.now.Add(time.Hour))
		d.Pause(1, d.now.Add(time.Hour))
		d.pass(time.Hour)
		d.sent(sending, 1)
		if f := d.fetch(); len(f) != 2 {
			t.Fatalf("ranges = %+v, want one for each", f)
		}
		d.pass(2*time.Second - 1)
		d.none()
	})
	t.Run("malcolm does not read", func(t *testing.T) {
		d, quiet, sending := pair(t, 2)
		for range 100 {
			d.pass(time.Second)
			d.sent(sending, 1)
			d.sent(quiet, 0)
			d.none()
		}
	})
	t.Run("bytes of another range", func(t *testing.T) {
		d := newDesk(t, layout(3*mb, mb))
		d.join(0, 0, 0)
		first := d.one(0)
		d.sent(first, 1)
		second := d.one(0)
		d.join(1, 0, 0)
		d.finish(d.one(1))
		for range 100 {
			d.pass(time.Second)
			d.sent(second, 1)
			d.Arrived(first.ID, 0, d.now.Add(-time.Hour))
			d.none()
		}
	})
}

// A silent server keeps its work when nobody else could take it.
func TestNoCancelInVain(t *testing.T) {
	tests := []struct {
		name  string
		other func(d *desk, r schedule.Range)
	}{
		{"both silent", func(*desk, schedule.Range) {}},
		{"the other left", func(d *desk, r schedule.Range) { d.Leave(1) }},
		{"the other left and its range ended", func(d *desk, r schedule.Range) { d.Leave(1); d.finish(r) }},
		{"the other may not be asked", func(d *desk, r schedule.Range) {
			d.finish(r)
			d.Pause(1, d.now.Add(time.Hour))
		}},
		{"the other may not be asked and owes", func(d *desk, r schedule.Range) { d.Pause(1, d.now.Add(time.Hour)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, quiet, sending := pair(t, 2)
			tt.other(d, sending)
			for range 100 {
				d.pass(10 * time.Second)
				d.none()
			}
			// The same with a server that could: the guard of this test.
			d.Join(2, 0, d.now)
			a := d.plan()
			if len(a.Cancel) == 0 || a.Cancel[0] != quiet.ID {
				t.Errorf("cancels %v with a server that could, want %d", a.Cancel, quiet.ID)
			}
		})
	}
}

// A silent server at the very end must not keep the last chunks from one that
// was silent itself before.
func TestSilentInTurn(t *testing.T) {
	d, a, b := pair(t, 2)
	d.pass(2 * time.Second)
	d.sent(b, 1)
	d.cancels(a)
	a2 := d.one(1) // now server 1 holds both
	d.pass(2*time.Second - 1)
	d.none() // silent for less than 2 s, and server 0 may not be asked
	d.pass(1)
	d.cancels(b, a2)
	probe := d.one(0)
	d.none()
	d.pass(time.Second)
	d.sent(probe, 1)
	if next := d.one(0); next.First != 1 {
		t.Errorf("chunk %d, want 1", next.First)
	}
}

// While a probe has no answer, its server is none that could take another's
// work.
func TestProbeIsNoPromise(t *testing.T) {
	d, a, b := pair(t, 1000)
	d.pass(2 * time.Second)
	d.sent(b, 1)
	rest := d.plan()
	if len(rest.Cancel) != 1 || len(rest.Fetch) != 1 {
		t.Fatalf("actions = %+v", rest)
	}
	d.End(a.ID)
	d.pass(1900 * time.Millisecond)
	d.sent(b, 0) // malcolm did not read: server 1 counts as heard
	d.pass(100 * time.Millisecond)
	d.one(0)
	d.pass(1950 * time.Millisecond)
	d.none() // server 1 is silent, server 0 has not answered
	d.pass(time.Hour)
	d.none()
}

// A probe is one chunk, whatever the rate was, and not before a longer pause is
// over.
func TestProbeIsShort(t *testing.T) {
	d := newDesk(t, layout(1000*mb, mb))
	d.join(0, 10*mb, 0)
	long := d.one(0)
	d.join(1, 0, 0)
	d.finish(d.one(1))
	d.Pause(0, d.now.Add(time.Hour))
	d.Pause(1, d.now.Add(3*time.Second))
	d.pass(2 * time.Second)
	d.none()
	d.pass(time.Second)
	a := d.plan()
	if len(a.Cancel) != 1 || a.Cancel[0] != long.ID || long.Count != 10 {
		t.Fatalf("actions = %+v, want the cancel of %+v", a, long)
	}
	d.End(long.ID)
	d.Leave(1)
	d.pass(time.Hour - 3*time.Second - 1)
	d.none()
	d.pass(1)
	if r := d.one(0); r.Count != 1 {
		t.Errorf("%d chunks, want 1", r.Count)
	}
}

// A server that was silent is not tried again when the others are done before
// it is known whether it sends, but it is when they are not.
func TestProbe(t *testing.T) {
	tests := []struct {
		name  string
		left  int // chunks in the queue
		other func(d *desk)
		want  bool
	}{
		{"the other is quick", 30, func(d *desk) {}, false},
		{"the other has enough to do", 50, func(d *desk) {}, true},
		{"the other fails", 1, func(d *desk) { d.Pause(1, d.now.Add(time.Second)) }, true},
		{"the other has left", 1, func(d *desk) { d.Leave(1) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, quiet, sending := pair(t, tt.left+1)
			d.sent(sending, 1)
			d.Sample(1, 10*mb, 0, d.now.Add(time.Second))
			d.pass(2 * time.Second)
			d.sent(sending, 0)
			a := d.plan()
			d.pass(2 * time.Second)
			for _, r := range a.Fetch {
				d.End(r.ID)
			}
			d.End(quiet.ID)
			d.sent(sending, 0)
			tt.other(d)
			asked := false
			for _, r := range d.fetch() {
				asked = asked || r.Server == 0
			}
			if len(a.Cancel) != 1 || asked != tt.want {
				t.Errorf("cancelled %v, asked again: %v, want %v", a.Cancel, asked, tt.want)
			}
		})
	}
}

// A silence that cost part of a chunk must last twice as long the next time; a
// whole range undoes that.
func TestSilenceGrows(t *testing.T) {
	d, quiet, sending := pair(t, 1000)
	silentFor := func(want time.Duration) {
		t.Helper()
		d.sent(quiet, mb/2)
		d.pass(want - 1)
		d.sent(sending, 0)
		if a := d.plan(); len(a.Cancel) != 0 {
			t.Fatalf("silent for %v: cancels %v", want-1, a.Cancel)
		}
		d.pass(1)
		d.sent(sending, 0)
		a := d.plan()
		if len(a.Cancel) == 0 || a.Cancel[0] != quiet.ID {
			t.Fatalf("silent for %v: cancels %v, want %d", want, a.Cancel, quiet.ID)
		}
		for _, id := range a.Cancel {
			d.End(id)
		}
		d.pass(time.Minute)
		d.sent(sending, 0)
		quiet = d.one(0)
	}
	for _, seconds := range []time.Duration{2, 4, 8, 16, 30, 30} {
		silentFor(seconds * time.Second)
	}
	d.finish(quiet)
	quiet = d.fetch()[0]
	silentFor(2 * time.Second)
}

func TestPause(t *testing.T) {
	d := newDesk(t, layout(2*mb, mb))
	d.join(0, 0, 0)
	until := d.now.Add(time.Second)
	d.Pause(0, until)
	d.Pause(0, until.Add(-time.Millisecond)) // does not shorten it
	d.pass(time.Second - 1)
	d.none()
	d.pass(1)
	d.one(0)
}

// The ranges of a server that left stay under way until they end, and do not
// touch it when it is back.
func TestLeaveAndReturn(t *testing.T) {
	d := newDesk(t, layout(3*mb, mb))
	d.join(0, 0, 0)
	d.join(1, 0, 0)
	f := d.fetch()
	d.Leave(0)
	d.none()
	d.Join(0, 0, d.now)
	third := d.one(0)
	d.sent(f[0], mb/2)
	d.none() // nothing has come from the server since it is back
	d.End(f[0].ID)
	d.sent(third, 1)
	if r := d.one(0); r.First != 0 {
		t.Errorf("chunk %d, want the one that was under way when it left", r.First)
	}
}
