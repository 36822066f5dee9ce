package schedule_test

import (
	"slices"
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

// A silent server keeps its range until its chunk is good through others. It is
// then probed with one chunk after 2 s, and again after pauses that double up
// to one minute. Once it has sent, the pauses begin anew.
func TestStall(t *testing.T) {
	d, quiet, sending := pair(t, 1000)
	d.sent(sending, 1)
	d.one(1)
	good := func() {
		t.Helper()
		d.pass(time.Second)
		d.sent(sending, 0)
		d.none()
		d.Good(quiet.First)
		d.cancels(quiet)
	}
	for _, seconds := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		good()
		pause := seconds * time.Second
		d.pass(pause - 1)
		d.sent(sending, 0)
		d.none()
		d.pass(1)
		r := d.one(0)
		if r.Count != 1 || r.Second {
			t.Fatalf("asked for %+v, want one chunk of the queue", r)
		}
		quiet = r
	}
	d.finish(quiet)
	f := d.fetch()
	if len(f) != 2 || f[0].Server != 0 || f[1].Server != 0 {
		t.Fatalf("after it sent: ranges = %+v, want two for server 0", f)
	}
	d.End(f[1].ID)
	quiet = f[0]
	d.Pause(0, d.now.Add(time.Second)) // else it would have a second range again
	good()
	d.pass(2*time.Second - 1)
	d.sent(sending, 0)
	d.none()
	d.pass(1)
	d.one(0)
}

// A silent server gets nothing new, and all that it had is fetched by another
// once that is idle. It loses nothing before it is good. When it sends again it
// is as before.
func TestSilentServerKeepsItsRanges(t *testing.T) {
	d := newDesk(t, layout(14*mb, mb))
	d.join(0, 10*mb, 0)
	long := d.one(0)
	d.sent(long, mb*5/2)
	d.join(1, 4*mb, 0)
	mine, theirs := []schedule.Range{long}, []schedule.Range(nil)
	for _, r := range d.fetch() {
		if r.Server == 0 {
			mine = append(mine, r)
		} else {
			theirs = append(theirs, r)
		}
	}
	if long.Count != 7 || len(mine) != 2 || len(theirs) == 0 {
		t.Fatalf("ranges = %+v and %+v, want two for server 0, the first of seven chunks", mine, theirs)
	}
	d.pass(time.Second)
	d.Good(0)
	d.Good(1)
	cancelled, third := make(map[int]bool), false
	for len(theirs) > 0 {
		d.finish(theirs[0])
		a := d.plan()
		if slices.Contains(servers(a.Fetch), 0) {
			t.Fatalf("actions = %+v: work for a silent server", a)
		}
		for _, id := range a.Cancel {
			cancelled[id] = true
			d.End(id)
		}
		third = third || theirs[0].First == 2
		if cancelled[long.ID] && !third {
			t.Errorf("%+v is cancelled before its third chunk is good", long)
		}
		theirs = append(theirs[1:], a.Fetch...)
	}
	if !d.Done() || len(cancelled) != len(mine) {
		t.Errorf("done: %v, cancelled %v, want those of %+v", d.Done(), cancelled, mine)
	}
}

func TestSilence(t *testing.T) {
	tests := []struct {
		name string
		rtt  time.Duration
		want time.Duration
	}{
		{"round trip not known", 0, time.Second},
		{"short round trip", 250 * time.Millisecond, time.Second},
		{"four round trips", 251 * time.Millisecond, 1004 * time.Millisecond},
		{"long round trip", time.Second, 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, layout(2*mb, mb))
			d.join(0, 0, tt.rtt)
			quiet := d.one(0)
			d.join(1, mb, 0)
			d.finish(d.one(1))
			d.pass(tt.want - 1)
			d.none()
			d.pass(1)
			if r := d.one(1); r.First != quiet.First || !r.Second {
				t.Errorf("%+v, want a second copy of chunk %d", r, quiet.First)
			}
		})
	}
}

// Silence begins when a server begins to owe. Time in which malcolm did not
// read does not count.
func TestSilenceBeginsWithOwing(t *testing.T) {
	t.Run("owes nothing", func(t *testing.T) {
		d := newDesk(t, layout(2*mb, mb))
		d.join(0, 0, 0)
		d.pass(time.Hour)
		d.one(0)
		d.join(1, mb, 0)
		d.finish(d.one(1))
		d.pass(time.Second - 1)
		d.none()
	})
	t.Run("malcolm does not read", func(t *testing.T) {
		d, quiet, sending := pair(t, 2)
		d.finish(sending)
		for range 100 {
			d.pass(time.Second)
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

// Nothing is cancelled while nobody else could do better.
func TestNothingIsCancelledWithoutABetterServer(t *testing.T) {
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
			// The same with a server that could: the guard of this
			// test.
			d.join(2, mb, 0)
			if r := d.one(2); r.First != quiet.First || !r.Second {
				t.Errorf("%+v, want a second copy of chunk %d", r, quiet.First)
			}
		})
	}
}

// When both servers of a chunk are silent, the second gives it up for a third.
// A silence that cost part of a chunk must last twice as long the next time,
// until a range of that server arrives whole.
func TestBothSilent(t *testing.T) {
	cfg := layout(2*mb, mb)
	d := &desk{schedule.New(cfg), t, cfg, time.Unix(1_000_000_000, 0)}
	d.Add(0)
	d.join(0, 0, 0)
	d.one(0)
	d.join(1, mb, 0)
	d.pass(time.Second)
	second := d.one(1)
	d.sent(second, mb/2)
	d.join(2, mb, 0)
	d.pass(time.Second - 1)
	d.none()
	d.pass(1)
	d.cancels(second)
	third := d.one(2)
	if second.First != 0 || third.First != 0 || !second.Second || !third.Second {
		t.Fatalf("%+v, then %+v, want second copies of chunk 0", second, third)
	}
	d.End(third.ID)
	d.Leave(2)
	d.pass(2 * time.Second) // the pause of server 1
	again := d.one(1)
	for _, grace := range []time.Duration{2, 4, 8, 16, 30} {
		d.sent(again, mb/2)
		d.join(int(10+grace), mb, 0)
		d.pass(grace*time.Second - 1)
		d.none()
		d.pass(1)
		d.cancels(again)
		third = d.one(int(10 + grace))
		d.End(third.ID)
		d.Leave(third.Server)
		d.pass(time.Minute)
		again = d.one(1)
	}
	d.Leave(0)
	d.finish(again)
	d.Add(1)
	quiet := d.one(1)
	d.join(3, mb, 0)
	d.pass(time.Second - 1)
	d.none()
	d.pass(1)
	if r := d.one(3); r.First != quiet.First || !r.Second {
		t.Errorf("%+v, want a second copy of chunk %d", r, quiet.First)
	}
}

// A probe is one chunk, whatever the rate was. It does not shorten a longer
// pause.
func TestProbeIsShort(t *testing.T) {
	d := newDesk(t, layout(1000*mb, mb))
	d.join(0, 10*mb, 0)
	long := d.one(0)
	d.Pause(0, d.now.Add(time.Hour))
	d.pass(2 * time.Second)
	d.none()
	for c := range 10 {
		d.Good(c)
	}
	d.cancels(long)
	d.pass(time.Hour - 2*time.Second - 1)
	d.none()
	d.pass(1)
	if r := d.one(0); long.Count != 10 || r.Count != 1 {
		t.Errorf("%d chunks, then %d, want 10, then 1", long.Count, r.Count)
	}
}

// A server that was silent is probed only if it can be known whether it sends
// before the others are done.
func TestProbe(t *testing.T) {
	tests := []struct {
		name  string
		left  int // chunks in the queue
		other func(d *desk)
		want  bool
	}{
		{"the other is quick", 20, func(d *desk) {}, false},
		{"the other has enough to do", 50, func(d *desk) {}, true},
		{"the other fails", 1, func(d *desk) { d.Pause(1, d.now.Add(time.Second)) }, true},
		{"the other has left", 1, func(d *desk) { d.Leave(1) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, quiet, sending := pair(t, tt.left+2)
			d.pass(time.Second)
			d.Good(quiet.First)
			d.Pause(1, d.now)
			d.cancels(quiet)
			d.pass(2 * time.Second)
			d.sent(sending, 1)
			d.Sample(1, 60*mb, 0, d.now)
			tt.other(d)
			asked := false
			for _, r := range d.fetch() {
				asked = asked || r.Server == 0
			}
			if asked != tt.want {
				t.Errorf("asked again: %v, want %v", asked, tt.want)
			}
		})
	}
}

// The ranges of a silent server count as one stall. Bytes that still come end
// its rest.
func TestRestAfterAStall(t *testing.T) {
	for _, late := range []bool{false, true} {
		d := newDesk(t, layout(1000*mb, mb))
		d.join(0, mb, 0)
		f := []schedule.Range{d.one(0)}
		d.sent(f[0], 1)
		f = append(f, d.one(0))
		d.pass(time.Second)
		d.Good(f[0].First)
		a := d.plan()
		d.Good(f[1].First)
		b := d.plan()
		if !slices.Equal(a.Cancel, []int{f[0].ID}) || !slices.Equal(b.Cancel, []int{f[1].ID}) {
			t.Fatalf("actions = %+v, then %+v, want the cancel of one each", a, b)
		}
		if late {
			d.sent(f[0], 1)
		}
		d.End(f[0].ID)
		d.End(f[1].ID)
		if late {
			if n := len(d.fetch()); n != 2 {
				t.Errorf("%d ranges when bytes came, want 2", n)
			}
			continue
		}
		d.pass(2*time.Second - 1)
		d.none()
		d.pass(1)
		d.one(0)
	}
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

// The ranges of a server that left stay under way until they end. They do not
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
