package presence

import (
	"slices"
	"testing"
	"time"
)

const (
	tick     = 100 * time.Millisecond
	patience = 15 * time.Minute
)

// A part is a time in which every tick is the same.
type part struct {
	lasts  time.Duration
	before func(p *Presence) // what happens at its beginning; nil: nothing
	wanted bool
	sign   Sign          // of server 0
	every  time.Duration // time between two ticks with bytes; 0: each tick has them
}

func serves(p *Presence) { p.Serves(0) }
func lost(p *Presence)   { p.Lost(0, false) }
func good(p *Presence)   { p.Good(0) }

// run plays parts to a presence of one server. It returns when and why that
// gave up, or the length of all parts.
func run(parts []part) (at time.Duration, why Cause) {
	p := New(1, patience)
	now := time.Unix(1e9, 0)
	for _, s := range parts {
		if s.before != nil {
			s.before(p)
		}
		for t := time.Duration(0); t < s.lasts; t += tick {
			sign := s.sign
			if s.every > 0 && t%s.every != 0 {
				sign.Came = 0
			}
			now, at = now.Add(tick), at+tick
			if a := p.Tick(Look{Now: now, Wanted: s.wanted, Servers: []Sign{sign}}); a.GiveUp != None {
				return at, a.GiveUp
			}
		}
	}
	return at, None
}

// Each row is a promise of the manual about --patience, in one phase of a run.
func TestPatience(t *testing.T) {
	const m = time.Minute
	owes := Sign{Owes: true}
	for _, test := range []struct {
		name string
		is   []part
		ends time.Duration // 0: the run goes on
		why  Cause
	}{
		{"values: a server that never sends them", []part{{lasts: time.Hour, before: serves, wanted: true, sign: owes}}, patience, Silent},
		{"values: a byte every 19 seconds", []part{{lasts: time.Hour, before: serves, wanted: true, sign: Sign{Owes: true, Came: 1}, every: 19 * time.Second}}, 15*m + 8*time.Second, Silent},
		{"values: the only server is lost", []part{{lasts: time.Hour, before: lost, wanted: true}}, patience, Absent},
		{"values: the only server is out", []part{{lasts: m, before: func(p *Presence) { p.Out(0) }, wanted: true}}, tick, Absent},
		{"check of a part: hours, with the server there", []part{{lasts: 5 * time.Hour, before: serves}}, 0, None},
		{"check of a part: hours, and the server hangs up", []part{{lasts: 5 * time.Hour, before: lost}, {lasts: m, before: serves}}, 0, None},
		{"check of a part: nothing is missing, and nobody is left", []part{{lasts: time.Hour, before: func(p *Presence) { p.Out(0) }}}, 0, None},
		{"check of a part: something is missing, and nobody is left", []part{
			{lasts: time.Hour, before: func(p *Presence) { p.Out(0) }}, {lasts: m, wanted: true}}, time.Hour + tick, Absent},
		{"repair: the comparison lasts hours, then the server is away for a minute", []part{
			{lasts: 5 * time.Hour, before: lost}, {lasts: m, wanted: true}, {lasts: time.Hour, before: serves, wanted: true, sign: Sign{Came: 100}}}, 0, None},
		{"fetch: a link of one packet every 5 seconds", []part{{lasts: 5 * time.Hour, before: serves, wanted: true, sign: Sign{Owes: true, Came: 1200}, every: 5 * time.Second}}, 0, None},
		{"fetch: a chunk that takes longer than the patience, and a loss in it", []part{
			{lasts: 2 * time.Hour, before: serves, wanted: true, sign: Sign{Owes: true, Came: 1200}},
			{lasts: 10 * m, before: lost, wanted: true},
			{lasts: time.Hour, before: serves, wanted: true, sign: Sign{Owes: true, Came: 1200}}}, 0, None},
		{"fetch: a server that is there and silent", []part{{lasts: time.Hour, before: serves, wanted: true, sign: owes}}, patience, Silent},
		{"fetch: a server that refuses every range", []part{{lasts: time.Hour, before: serves, wanted: true}}, patience, Silent},
		{"fetch: a server that is lost", []part{{lasts: time.Hour, before: lost, wanted: true}}, patience, Absent},
		{"fetch: half of the patience silent, the other half lost", []part{
			{lasts: 8 * m, before: serves, wanted: true, sign: owes}, {lasts: time.Hour, before: lost, wanted: true}}, patience, Absent},
		{"fetch: a good chunk in between", []part{
			{lasts: 14 * m, before: lost, wanted: true},
			{lasts: tick, before: func(p *Presence) { serves(p); good(p) }, wanted: true},
			{lasts: 14 * m, before: lost, wanted: true}}, 0, None},
		{"fetch: back again and again, and nothing good", []part{
			{lasts: 10 * m, before: lost, wanted: true}, {lasts: tick, before: serves, wanted: true},
			{lasts: 10 * m, before: lost, wanted: true}}, patience, Absent},
		{"fetch: our limit of the rate, or our disk", []part{{lasts: 5 * time.Hour, before: serves, wanted: true, sign: Sign{Busy: true}}}, 0, None},
		{"stream: the reader pauses", []part{{lasts: 5 * time.Hour, before: serves}}, 0, None},
		{"stream: the reader pauses, and the server is restarted meanwhile", []part{
			{lasts: time.Hour, before: serves}, {lasts: time.Hour, before: lost}, {lasts: 10 * m, wanted: true}}, 0, None},
		{"stream: a pause is no good chunk", []part{
			{lasts: 10 * m, before: lost, wanted: true}, {lasts: time.Hour}, {lasts: 10 * m, wanted: true}}, time.Hour + patience, Absent},
		{"read back: hours, and nobody is there", []part{{lasts: 5 * time.Hour, before: func(p *Presence) { p.Out(0) }}}, 0, None},
		{"a server that may still answer", []part{{lasts: time.Hour, wanted: true}}, patience, Absent},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, why := run(test.is)
			if why != test.why || test.ends != 0 && (at < test.ends-2*time.Second || at > test.ends+2*time.Second) {
				t.Errorf("after %v: %d, want %d after %v", at, why, test.why, test.ends)
			}
		})
	}
}

// Time in which the process did not run is nobody's absence.
func TestPatienceOfASleep(t *testing.T) {
	p := New(1, time.Minute)
	p.Lost(0, false)
	now := time.Unix(1e9, 0)
	for range 10 {
		now = now.Add(time.Hour)
		if a := p.Tick(Look{Now: now, Wanted: true, Servers: make([]Sign, 1)}); a.GiveUp != None {
			t.Fatal("gave up after a sleep")
		}
	}
	if p.unserved > 10*tickMost {
		t.Errorf("ten hours of sleep count for %v", p.unserved)
	}
	now = now.Add(-time.Hour) // a clock that was set back
	p.Tick(Look{Now: now, Wanted: true, Servers: make([]Sign, 1)})
	if p.unserved > 10*tickMost || p.unserved < 9*tickMost {
		t.Errorf("a clock set back makes it %v", p.unserved)
	}
}

// A server that will serve later has a patience of its own. Being lost in
// between does not renew it.
func TestPatienceOfWaiting(t *testing.T) {
	p := New(2, time.Minute)
	now := time.Unix(1e9, 0)
	var tired []int
	p.Waits(0)
	for range 700 {
		now = now.Add(tick)
		if p.servers[0].state == Waiting && now.UnixMilli()%1000 == 0 {
			p.Waits(0)
		}
		a := p.Tick(Look{Now: now, Servers: make([]Sign, 2)})
		tired = append(tired, a.Tired...)
		if len(a.Tired) > 0 && (now.Sub(time.Unix(1e9, 0)) < 58*time.Second || p.servers[0].state != Out) {
			t.Errorf("tired after %v", now.Sub(time.Unix(1e9, 0)))
		}
	}
	if len(tired) != 1 || tired[0] != 0 {
		t.Errorf("tired of %v, want of the one that waits", tired)
	}
}

// What a server waited for one file does not count for the next one.
func TestWaitingForAnotherFile(t *testing.T) {
	const patience = 5 * time.Second
	p := New(1, patience)
	now := time.Unix(0, 0)
	for range 3 {
		p.Tries(0)
		p.Waits(0)
		for end := now.Add(patience - time.Second); now.Before(end); now = now.Add(100 * time.Millisecond) {
			if a := p.Tick(Look{Now: now, Servers: make([]Sign, 1)}); len(a.Tired) > 0 {
				t.Fatalf("tired at %v", now)
			}
		}
	}
}

// Waiting is told after a second without servers, after half a minute of
// silence, and then every half minute.
func TestWaitingIsTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(p *Presence)
		sign   Sign
		want   []time.Duration
		cause  Cause
	}{
		{"absent", lost, Sign{}, []time.Duration{time.Second, 31 * time.Second, 61 * time.Second}, Absent},
		{"silent", serves, Sign{Owes: true}, []time.Duration{30 * time.Second, 60 * time.Second}, Silent},
	} {
		p := New(1, patience)
		test.before(p)
		var said []time.Duration
		now := time.Unix(1e9, 0)
		for range 750 {
			now = now.Add(tick)
			a := p.Tick(Look{Now: now, Wanted: true, Servers: []Sign{test.sign}})
			if a.Say == None {
				continue
			}
			said = append(said, a.Lasted.Round(time.Second))
			if a.Say != test.cause || a.Lasted+a.Left != patience {
				t.Errorf("%s: said %+v", test.name, a)
			}
		}
		if len(said) != len(test.want) {
			t.Fatalf("%s: said at %v, want %v", test.name, said, test.want)
		}
		for i := range said {
			if said[i] != test.want[i] {
				t.Errorf("%s: said at %v, want %v", test.name, said, test.want)
			}
		}
	}
}

// A loss is told once until something good has come, and only when something is
// wanted.
func TestLossIsToldOnce(t *testing.T) {
	p := New(2, patience)
	now := time.Unix(1e9, 0)
	look := func(wanted bool) []int {
		now = now.Add(tick)
		return p.Tick(Look{Now: now, Wanted: wanted, Servers: make([]Sign, 2)}).Missed
	}
	p.Serves(0)
	p.Serves(1)
	look(true)
	if !p.Lost(0, false) {
		t.Error("a loss was not told")
	}
	p.Serves(0)
	if p.Lost(0, false) {
		t.Error("a loss was told twice")
	}
	p.Serves(0)
	if !p.Good(0) || p.Good(0) {
		t.Error("that a server is back was not told once")
	}
	look(false)
	if p.Lost(0, false) || p.Lost(1, false) {
		t.Error("a loss that does not matter was told")
	}
	p.Serves(1)
	if m := look(false); len(m) > 0 {
		t.Errorf("missed %v while nothing is wanted", m)
	}
	if m := look(true); len(m) != 1 || m[0] != 0 {
		t.Errorf("missed %v, want the one that is away", m)
	}
	if m := look(true); len(m) > 0 {
		t.Errorf("missed %v a second time", m)
	}
}

// A server is called silent once, if it sends nothing for half a minute and
// others do.
func TestSilentServerIsToldOnce(t *testing.T) {
	p := New(2, patience)
	p.Serves(0)
	p.Serves(1)
	now := time.Unix(1e9, 0)
	quiet := 0
	for i := range 1200 {
		now = now.Add(tick)
		signs := []Sign{{Owes: true}, {Owes: true, Came: 1000}}
		if i == 600 {
			signs[0].Came = 1
		}
		for _, s := range p.Tick(Look{Now: now, Wanted: true, Servers: signs}).Quiet {
			quiet++
			if s != 0 || i != 300 && i != 900 {
				t.Errorf("server %d is called silent at tick %d", s, i)
			}
		}
	}
	if quiet != 2 {
		t.Errorf("said %d times that it is silent, want once a silence", quiet)
	}
}

// Ranges that end early cause pauses that double. In the end the server is
// lost.
func TestEarlyEndsDoubleThePause(t *testing.T) {
	p := New(1, patience)
	p.Serves(0)
	want := retryPause
	for range mostFailing - 1 {
		pause, lost := p.Failed(0)
		if pause != min(want, retryMost) || lost {
			t.Fatalf("pause %v, lost %t, want %v", pause, lost, want)
		}
		want *= 2
	}
	if _, lost := p.Failed(0); !lost {
		t.Error("not lost after all")
	}
	p.Good(0)
	if pause, lost := p.Failed(0); pause != retryPause || lost {
		t.Errorf("after a good chunk: pause %v, lost %t", pause, lost)
	}
}

// A connection that owes bytes and brings none is useless after ten seconds, or
// after two if no packet comes. Another way is tried at once, and then less and
// less often, also by the connection that takes its place.
func TestUselessConnectionIsReplaced(t *testing.T) {
	now := time.Unix(1e9, 0)
	tries := func(w *Way, lasts time.Duration, seen func(i int) Seen) (at []time.Duration) {
		for i := range int(lasts / tick) {
			now = now.Add(tick)
			if w.Look(now, seen(i)) {
				at = append(at, (time.Duration(i+1) * tick).Round(time.Second))
			}
		}
		return at
	}
	alive := func(i int) uint64 { return uint64(i/10) + 1 }
	brings := func(i int) Seen { return Seen{Sign: Sign{Owes: true, Came: 1200}, Wanted: true, Packets: alive(i)} }
	owes := func(i int) Seen { return Seen{Sign: Sign{Owes: true}, Wanted: true, Packets: alive(i)} }
	s := time.Second
	for _, test := range []struct {
		name string
		seen func(i int) Seen
		want []time.Duration
	}{
		{"it brings bytes", brings, nil},
		{"it owes nothing", func(int) Seen { return Seen{Wanted: true} }, nil},
		{"its bytes wait for this machine", func(int) Seen { return Seen{Sign: Sign{Owes: true, Busy: true}, Wanted: true} }, nil},
		{"a byte now and then", func(i int) Seen { v := owes(i); v.Came = int64(1 - min(1, i%90)); return v }, nil},
		{"alive", owes, []time.Duration{10 * s, 20 * s, 40 * s, 80 * s}},
		{"noPacket", func(int) Seen { return Seen{Sign: Sign{Owes: true}, Wanted: true, Packets: 7} }, []time.Duration{2 * s, 12 * s, 32 * s, 72 * s}},
		{"noPacket, far away", func(int) Seen {
			return Seen{Sign: Sign{Owes: true}, Wanted: true, Packets: 7, RTT: time.Second}
		}, []time.Duration{6 * s, 16 * s, 36 * s, 76 * s}},
		{"nobody tells of packets", func(int) Seen { return Seen{Sign: Sign{Owes: true}, Wanted: true} }, []time.Duration{10 * s, 20 * s, 40 * s, 80 * s}},
		{"its work was given to others", func(i int) Seen { v := owes(i); v.Owes = i < 15; return v }, []time.Duration{10 * s, 20 * s, 40 * s, 80 * s}},
		{"its work was given to others soon", func(i int) Seen { v := owes(i); v.Owes = i < 5; return v }, nil},
		{"then nothing is wanted", func(i int) Seen { v := owes(i); v.Owes, v.Wanted = i < 15, i < 15; return v }, nil},
	} {
		var w Way
		if got := tries(&w, 100*time.Second, test.seen); !slices.Equal(got, test.want) {
			t.Errorf("%s: tried at %v, want %v", test.name, got, test.want)
		}
	}
	var w Way
	tries(&w, 11*time.Second, owes)
	next := w.Next()
	if got, want := tries(&next, 31*time.Second, owes), []time.Duration{10 * s, 30 * s}; !slices.Equal(got, want) {
		t.Errorf("the next way: another one is tried at %v, want %v", got, want)
	}
	tries(&next, 20*time.Second, brings)
	if got, want := tries(&next, 11*time.Second, owes), []time.Duration{10 * s}; !slices.Equal(got, want) {
		t.Errorf("after it has brought enough: another one is tried at %v, want %v", got, want)
	}
}
