package schedule_test

import (
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// last returns a desk with a server 0 of 10 chunks a second that has the last
// ten chunks in one range.
func last(t *testing.T, rtt time.Duration) (*desk, schedule.Range) {
	d := newDesk(t, layout(30*mb, mb))
	d.join(0, 10*mb, rtt)
	r := d.one(0)
	for c := r.First + r.Count; c < 30; c++ {
		d.Good(c)
	}
	if r.Count != 10 {
		t.Fatalf("%+v, want ten chunks", r)
	}
	return d, r
}

// An idle server takes a tail that has not begun, with which both finish
// together, if that gains more than two round trips.
func TestSteal(t *testing.T) {
	tests := []struct {
		name string
		rate int64 // of the idle server; 0: not known
		rtt  time.Duration
		came int64
		want int // chunks; 0: none
	}{
		{"half", 10 * mb, 0, 0, 5},
		{"less for a slow one", 5 * mb, 0, 0, 3},
		{"more for a quick one", 40 * mb, 0, 0, 8},
		{"one for a very slow one", mb + mb/2, 0, 0, 1},
		{"none when one chunk takes longer", mb - 1, 0, 0, 0},
		{"all but what has begun", 1000 * mb, 0, 3*mb + 1, 6},
		{"all that has not begun", 1000 * mb, 0, 3 * mb, 7},
		{"all but the first", 1000 * mb, 0, 0, 9},
		{"less when far", 10 * mb, 100 * time.Millisecond, 0, 4},
		{"little gain when further", 10 * mb, 199 * time.Millisecond, 0, 4},
		{"no gain when too far", 10 * mb, 201 * time.Millisecond, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, r := last(t, 0)
			d.sent(r, tt.came)
			d.join(1, tt.rate, tt.rtt)
			a := d.plan()
			if tt.want == 0 {
				if len(a.Fetch)+len(a.Shrink)+len(a.Cancel) > 0 {
					t.Fatalf("actions = %+v, want none", a)
				}
				return
			}
			keep := 10 - tt.want
			if want := []schedule.Shrink{{ID: r.ID, Count: keep}}; !slices.Equal(a.Shrink, want) {
				t.Errorf("shrinks %+v, want %+v", a.Shrink, want)
			}
			want := schedule.Range{ID: r.ID + 1, Server: 1, First: r.First + keep, Count: tt.want}
			if len(a.Fetch) == 0 || a.Fetch[0] != want {
				t.Errorf("ranges = %+v, want %+v", a.Fetch, want)
			}
		})
	}
}

// Work is taken from the range that finishes last, by the idle server that
// finishes it soonest.
func TestStealFromTheLatestByTheSoonest(t *testing.T) {
	d := newDesk(t, layout(60*mb, mb))
	d.join(0, 10*mb, 0)
	early := d.one(0)
	d.join(1, 10*mb, 0)
	late := d.one(1)
	for c := early.Count + late.Count; c < 60; c++ {
		d.Good(c)
	}
	d.sent(early, 4*mb)
	d.join(2, 10*mb, 50*time.Millisecond)
	d.join(3, 20*mb, 50*time.Millisecond)
	a := d.plan()
	if len(a.Shrink) == 0 || a.Shrink[0].ID != late.ID || a.Fetch[0].Server != 3 {
		t.Errorf("actions = %+v, want server 3 to take of range %d first", a, late.ID)
	}
}

// A server of unknown rate may take one chunk from a server that would need
// longer for it than it takes to know.
func TestStealByUnknown(t *testing.T) {
	d, r := last(t, 0)
	d.join(1, 0, 0)
	d.none()
	d.pass(4 * time.Second)
	d.Sample(0, 0, 0, d.now) // its rate falls to a seventh
	d.sent(r, 0)
	a := d.plan()
	if len(a.Fetch) != 1 || a.Fetch[0].Count != 1 || a.Fetch[0].First != 9 {
		t.Errorf("actions = %+v, want the last chunk for server 1", a)
	}
}

// At most a second of the idle server's rate is taken at once from a silent
// one.
func TestStealFromSilent(t *testing.T) {
	d, r := last(t, 0)
	d.pass(time.Second)
	d.join(1, 2*mb, 0)
	a := d.plan()
	if want := (schedule.Range{ID: r.ID + 1, Server: 1, First: 8, Count: 2}); len(a.Fetch) != 1 || a.Fetch[0] != want {
		t.Errorf("ranges = %+v, want %+v", a.Fetch, want)
	}
}

// A server takes nothing that others will have done before it.
func TestStealIsLeftToTheQuick(t *testing.T) {
	d := newDesk(t, layout(40*mb, mb))
	d.join(0, 10*mb, 0)
	quiet := d.one(0)
	d.pass(time.Second)
	d.join(1, 10*mb, 0)
	busy := d.fetch()
	for c := quiet.Count; c < 40; c++ {
		if c < busy[0].First || c >= busy[0].First+busy[0].Count {
			d.Good(c)
		}
	}
	for _, r := range busy[1:] {
		d.End(r.ID)
	}
	d.Arrived(quiet.ID, 0, d.now.Add(-time.Second))
	d.join(2, mb/10, 0)
	d.none()
	d.finish(busy[0])
	if f := d.plan().Fetch; len(f) == 0 || f[0].Server != 1 {
		t.Errorf("ranges = %+v, want one for server 1", f)
	}
}

// A server that owes less than it sends in two round trips counts as idle.
func TestStealWhenNearlyIdle(t *testing.T) {
	for _, tt := range []struct {
		name string
		owed int64
		want bool
	}{{"two round trips", 2 * mb, false}, {"less", 2*mb - 1, true}} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, layout(60*mb, mb))
			d.join(0, 10*mb, 0)
			slow := d.one(0)
			d.join(1, 10*mb, 100*time.Millisecond)
			quick := d.one(1)
			for c := slow.Count + quick.Count; c < 60; c++ {
				d.Good(c)
			}
			d.sent(quick, int64(quick.Count)*mb-tt.owed)
			if a := d.plan(); (len(a.Fetch) > 0) != tt.want {
				t.Errorf("actions = %+v, want a steal: %v", a, tt.want)
			}
		})
	}
}

// A server that was silent and is due for a probe may take one chunk from a
// server that would need longer for it than it takes to know.
func TestStealByProbe(t *testing.T) {
	d := newDesk(t, layout(30*mb, mb))
	d.join(1, 100*mb, 0)
	quiet := d.one(1)
	for c := range quiet.Count {
		d.Good(c)
	}
	d.pass(time.Second)
	d.cancels(quiet)
	d.join(0, 10*mb, 0)
	f := d.fetch()
	for c := f[0].First + f[0].Count; c < 30; c++ {
		d.Good(c)
	}
	for _, r := range f[1:] {
		d.End(r.ID)
	}
	d.Pause(0, d.now.Add(time.Hour))
	d.pass(2*time.Second - 1)
	d.none()
	d.pass(1)
	a := d.plan()
	if len(a.Fetch) != 1 || a.Fetch[0].Server != 1 || a.Fetch[0].Count != 1 {
		t.Errorf("actions = %+v, want one chunk for server 1", a)
	}
}

// crawling returns a desk whose one chunk is with server 0, which has sent a
// tenth of it and needs 18 s for the rest.
func crawling(t *testing.T, chunk int64) (*desk, schedule.Range) {
	d := newDesk(t, layout(chunk, chunk))
	d.join(0, 0, 0)
	r := d.one(0)
	d.pass(time.Second)
	d.Sample(0, chunk/20, 0, d.now)
	d.sent(r, chunk/10)
	return d, r
}

// A chunk that has begun is fetched a second time when that gains more than two
// round trips, and then no third time; the loser is cancelled once.
func TestSecondCopyIfItGains(t *testing.T) {
	for _, tt := range []struct {
		name string
		rtt  time.Duration
		want bool
	}{
		{"gain", 2600 * time.Millisecond, true}, // 10 s and three round trips are less than 18 s
		{"no gain", 2700 * time.Millisecond, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, r := crawling(t, 10*mb)
			d.join(1, mb, tt.rtt)
			if !tt.want {
				d.none()
				return
			}
			second := d.one(1)
			if want := (schedule.Range{ID: 2, Server: 1, First: 0, Count: 1, Second: true}); second != want {
				t.Fatalf("range = %+v, want %+v", second, want)
			}
			d.join(2, 1000*mb, 0)
			d.none()
			d.sent(second, 10*mb)
			d.Good(0)
			d.End(second.ID)
			a := d.plan()
			if !slices.Equal(a.Cancel, []int{r.ID}) {
				t.Errorf("cancels %v, want %d", a.Cancel, r.ID)
			}
			d.none()
			if got := d.Duplicates(); got != mb {
				t.Errorf("%d duplicate bytes, want %d", got, mb)
			}
		})
	}
}

// If the first copy is quicker after all, the second is cancelled, unless it is
// just ending by itself.
func TestSlowerSecondCopyIsCancelled(t *testing.T) {
	for _, tt := range []struct {
		name string
		came int64 // bytes of the second copy
		want bool  // is it cancelled?
	}{{"not one byte", 0, true}, {"a part", 5 * mb, true}, {"nearly whole", 10*mb - 1, true}, {"whole", 10 * mb, false}} {
		t.Run(tt.name, func(t *testing.T) {
			d, r := crawling(t, 10*mb)
			d.join(1, 100*mb, 0)
			second := d.one(1)
			d.sent(second, tt.came)
			d.sent(r, 9*mb)
			d.Good(0)
			d.End(r.ID)
			if tt.want {
				d.cancels(second)
			}
			d.none()
			if got := d.Duplicates(); got != tt.came {
				t.Errorf("%d duplicate bytes, want %d", got, tt.came)
			}
		})
	}
}

// If the server of one copy fails, the other goes on, and another server may
// have the chunk again.
func TestSecondWhenOneEnds(t *testing.T) {
	for i, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			d, r := crawling(t, 10*mb)
			d.join(1, 2*mb, 0)
			both := []schedule.Range{r, d.one(1)}
			d.Leave(both[i].Server)
			d.End(both[i].ID)
			d.join(2, 100*mb, 0)
			if next := d.one(2); !next.Second || next.First != 0 {
				t.Errorf("%+v, want a second copy", next)
			}
			d.End(both[1-i].ID)
			d.Leave(both[1-i].Server)
			d.none()
		})
	}
}

// A busy server that would finish sooner than the idle one gets the chunk when
// it is free, whether the server that has it is silent or slow.
func TestSecondWaitsForTheQuick(t *testing.T) {
	for _, silent := range []bool{true, false} {
		secondWaits(t, silent)
	}
}

func secondWaits(t *testing.T, silent bool) {
	d := newDesk(t, layout(20*mb, 10*mb))
	d.join(0, 0, 0)
	quiet := d.one(0)
	d.join(1, 10*mb, 0)
	busy := d.one(1)
	d.join(2, mb, 0)
	d.pass(time.Second)
	d.sent(busy, mb)
	if !silent {
		d.sent(quiet, 1)
		d.Sample(0, mb/10, 0, d.now)
	}
	d.none()
	d.finish(busy)
	if next := d.one(1); next.First != quiet.First || !next.Second {
		t.Errorf("%+v, want a second copy of chunk %d", next, quiet.First)
	}
}

// Second copies at once are bounded in bytes, but one is always allowed.
func TestSecondCopiesAreBoundedInBytes(t *testing.T) {
	tests := []struct {
		name  string
		chunk int64
		bytes int64
		want  int
	}{
		{"no bound given", 8 << 20, 0, 4},
		{"no bound given, long chunks", 20 << 20, 0, 1},
		{"chunks longer than the bound", 40 << 20, 0, 1},
		{"three", mb, 3 * mb, 3},
		{"less than three", mb, 3*mb - 1, 2},
		{"less than one", mb, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := layout(6*tt.chunk, tt.chunk)
			cfg.MaxCopyBytes = tt.bytes
			d := newDesk(t, cfg)
			for i := range 6 {
				d.join(i, 0, 0)
			}
			if n := len(d.fetch()); n != 6 {
				t.Fatalf("%d ranges, want 6", n)
			}
			for i := range 6 {
				d.join(10+i, tt.chunk, 0)
			}
			d.none()
			d.pass(time.Second)
			f := d.fetch()
			if len(f) != tt.want {
				t.Errorf("%d second copies, want %d", len(f), tt.want)
			}
			d.finish(f[0])
			if next := d.plan(); len(next.Fetch) != 1 {
				t.Errorf("then %+v, want one more", next)
			}
		})
	}
}

// Second copies from servers that are not silent waste at most 2 % of the file
// or four chunks. Wasted is what the first copy has by then, or the whole
// second copy if it is not sure to win.
func TestSecondCopiesWasteLittle(t *testing.T) {
	tests := []struct {
		name   string
		chunks int
		came   int64 // of each chunk
		rate   int64 // of each server that has one
		want   int
	}{
		{"four chunks", 20, 9 * mb / 10, mb / 100, 4},
		{"four chunks of many", 200, 9 * mb / 10, mb / 100, 4},
		{"2 %", 300, 9 * mb / 10, mb / 100, 6},
		{"little is wasted", 20, mb / 10, mb / 100, 10},
		{"not sure to win", 20, mb / 10, 5 * mb, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, layout(int64(tt.chunks)*mb, mb))
			for c := 10; c < tt.chunks; c++ {
				d.Good(c)
			}
			for i := range 10 {
				d.join(i, 0, 0)
			}
			for _, r := range d.fetch() {
				d.sent(r, tt.came)
				d.Sample(r.Server, tt.rate, 0, d.now.Add(time.Second))
			}
			for i := range 10 {
				d.join(10+i, 10*mb, 0)
			}
			f := d.fetch()
			if len(f) != tt.want {
				t.Fatalf("%d second copies, want %d", len(f), tt.want)
			}
			for _, r := range f {
				d.finish(r)
			}
			for _, id := range d.plan().Cancel {
				d.End(id)
			}
			if n := len(d.fetch()); n != 0 && tt.came > mb/2 {
				t.Errorf("%d more second copies when those were good", n)
			}
		})
	}
}

// What a second copy would have wasted is free again when the first copy fails.
func TestSecondsAreNotCountedWhenTheFirstFails(t *testing.T) {
	d := newDesk(t, layout(10*mb, mb))
	for i := range 10 {
		d.join(i, 0, 0)
	}
	first := d.fetch()
	for _, r := range first {
		d.sent(r, 9*mb/10)
		d.Sample(r.Server, mb/100, 0, d.now.Add(time.Second))
	}
	for i := range 10 {
		d.join(10+i, 10*mb, 0)
	}
	for range 2 {
		f := d.fetch()
		if len(f) != 4 {
			t.Fatalf("%d second copies, want 4", len(f))
		}
		for _, second := range f {
			i := slices.IndexFunc(first, func(r schedule.Range) bool { return r.First == second.First })
			d.Leave(first[i].Server)
			d.End(first[i].ID)
			d.finish(second)
		}
	}
}

// A second copy from a silent server gives way to another, while the first goes
// on. A server of unknown rate gets it only if no other can.
func TestSilentSecondGivesWay(t *testing.T) {
	d, _ := crawling(t, 10*mb)
	d.join(1, 0, 0)
	second := d.one(1)
	d.join(2, 0, 0)
	d.join(3, mb, 0)
	d.none()
	d.pass(time.Second)
	d.sent(schedule.Range{ID: 1}, 1)
	d.cancels(second)
	if third := d.one(3); !third.Second || third.First != 0 {
		t.Errorf("%+v, want a second copy", third)
	}
}

// A second copy that is alone now, and silent, gives way when another needs its
// room.
func TestSilentLoneCopyGivesWay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int64
		want  bool // is it cancelled?
	}{{"no room", 10 * mb, true}, {"room", 20 * mb, false}} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := layout(10*mb, 10*mb)
			cfg.MaxCopyBytes = tt.bytes
			d := newDesk(t, cfg)
			d.join(0, 0, 0)
			first := d.one(0)
			d.pass(time.Second)
			d.join(1, mb, 0)
			second := d.one(1)
			d.Leave(0)
			d.End(first.ID)
			d.pass(time.Second)
			d.join(2, mb, 0)
			if tt.want {
				d.cancels(second)
			}
			if next := d.one(2); next.Second == tt.want {
				t.Errorf("%+v", next)
			}
		})
	}
}

// Chunks at the end of a range that turned out good are cut off.
func TestGoodTailIsCutOff(t *testing.T) {
	d, r := last(t, 0)
	d.Good(9)
	d.join(1, 10*mb, 0)
	a := d.plan()
	if len(a.Shrink) != 1 || len(a.Fetch) != 1 || a.Shrink[0].ID != r.ID ||
		a.Fetch[0].First != a.Shrink[0].Count || a.Fetch[0].First+a.Fetch[0].Count != 9 {
		t.Errorf("actions = %+v, want the chunks before 9 shared", a)
	}
}

// A chunk that was taken from a range may become good on either side, and the
// range may end before or after it knows.
func TestLateShrink(t *testing.T) {
	d, r := last(t, 0)
	d.join(1, 10*mb, 0)
	a := d.plan()
	tail := a.Fetch[0]
	d.sent(r, 6*mb) // one chunk more than it keeps
	for c := range 6 {
		d.Good(c)
	}
	d.End(r.ID)
	d.sent(tail, 5*mb)
	for c := 6; c < 10; c++ {
		d.Good(c)
	}
	d.End(tail.ID)
	if !d.Done() || d.Duplicates() != mb {
		t.Errorf("done: %v, %d duplicate bytes, want true, %d", d.Done(), d.Duplicates(), mb)
	}
	d.none()
}

func TestDuplicates(t *testing.T) {
	tests := []struct {
		name string
		do   func(d *desk)
		want int64
	}{
		{"nothing", func(d *desk) {}, 0},
		{"whole", func(d *desk) { d.finish(d.one(0)) }, 0},
		{"partly, then whole", func(d *desk) {
			r := d.one(0)
			d.sent(r, mb/4)
			d.End(r.ID)
			d.finish(d.one(0))
		}, mb / 4},
		{"partly, then the rest", func(d *desk) {
			r := d.one(0)
			d.sent(r, mb/4)
			d.End(r.ID)
			r = d.one(0)
			d.sent(r, mb-mb/4)
			d.Good(0)
			d.End(r.ID)
		}, 0},
		{"more than was asked for", func(d *desk) { d.sent(d.one(0), mb+7) }, 7},
		{"good before its bytes are counted", func(d *desk) {
			r := d.one(0)
			d.sent(r, mb/4)
			d.End(r.ID)
			r = d.one(0)
			d.Good(0)
			d.sent(r, mb)
			d.End(r.ID)
		}, mb / 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, layout(mb, mb))
			d.join(0, 0, 0)
			tt.do(d)
			if got := d.Duplicates(); got != tt.want {
				t.Errorf("%d duplicate bytes, want %d", got, tt.want)
			}
		})
	}
}

// A server with several connections has one or two ranges on each, each of a
// second of the connection's rate.
func TestConnections(t *testing.T) {
	tests := []struct {
		connections int
		rtt         time.Duration
		ranges      int
		chunks      int // of each
	}{
		{0, time.Second, 3, 16}, {1, time.Second, 3, 16}, {2, time.Millisecond, 2, 8}, {4, time.Millisecond, 4, 4},
		{4, time.Second, 8, 4}, {32, time.Millisecond, 33, 1}, {32, 2 * time.Second, 64, 1}, {100, 20 * time.Second, schedule.MaxStreamsTotal, 1},
	}
	for _, tt := range tests {
		d := newDesk(t, layout(10_000*mb, mb))
		d.join(0, 16*mb, tt.rtt)
		d.Connections(0, tt.connections, 0)
		d.sent(d.one(0), 1)
		f := d.fetch()
		if len(f)+1 != tt.ranges || slices.ContainsFunc(f, func(r schedule.Range) bool { return r.Count != tt.chunks }) {
			t.Errorf("%d connections, round trip %v: 1 + %d ranges of %d chunks, want %d of %d",
				tt.connections, tt.rtt, len(f), counts(f), tt.ranges, tt.chunks)
		}
	}
}

// Ranges get shorter towards the end, as with one connection.
func TestConnectionsShareTheQueue(t *testing.T) {
	d := newDesk(t, layout(64*mb, mb))
	d.join(0, 1000*mb, 0)
	d.Connections(0, 4, 0)
	if r := d.one(0); r.Count != 8 {
		t.Errorf("%d chunks, want an eighth of the queue", r.Count)
	}
}

// With several connections, a range that is nearly done is followed by another.
func TestNextRangeOfAConnection(t *testing.T) {
	d := newDesk(t, layout(1000*mb, mb))
	d.join(0, 16*mb, time.Millisecond)
	d.Connections(0, 4, 0)
	first := d.one(0)
	d.sent(first, 1)
	if n := len(d.fetch()); n != 3 {
		t.Fatalf("%d more ranges, want 3", n)
	}
	d.sent(first, 3*mb-1)
	d.none()
	d.sent(first, 1)
	d.one(0)
}

// A connection without a range gets one, whatever the others have.
func TestIdleConnection(t *testing.T) {
	d := newDesk(t, layout(1000*mb, mb))
	d.join(0, 16*mb, time.Second)
	first := d.one(0)
	d.sent(first, 1)
	if n := len(d.fetch()); n < 2 {
		t.Fatalf("%d more ranges, want enough for two round trips", n)
	}
	d.Connections(0, 2, 0)
	d.none()
	d.Connections(0, 2, 1)
	if r := d.one(0); r.Count != 8 {
		t.Errorf("%d chunks, want a second of the connection's rate", r.Count)
	}
	d.none()
}

// What a connection would need more than 4 s for goes back to the queue: it
// shares the path with others now.
func TestOverlongWorkGoesBackToTheQueue(t *testing.T) {
	for _, tt := range []struct {
		connections int
		want        []schedule.Shrink
	}{{1, nil}, {4, nil}, {5, []schedule.Shrink{{ID: 1, Count: 6}}}} {
		d := newDesk(t, layout(1000*mb, mb))
		d.join(0, 16*mb, time.Millisecond)
		r := d.one(0)
		d.sent(r, 2*mb-1)
		d.Connections(0, tt.connections, 0)
		if got := d.plan().Shrink; !slices.Equal(got, tt.want) {
			t.Errorf("%d connections: shrunk %+v, want %+v", tt.connections, got, tt.want)
		}
	}
}
