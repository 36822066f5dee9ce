package schedule_test

import (
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

func TestLengthOfFirstRange(t *testing.T) {
	tests := []struct {
		name   string
		size   int64
		chunk  int64
		rate   int64
		others int // servers of the same rate
		limit  int64
		want   int // chunks
	}{
		{"rate not known", 1000 * mb, mb, 0, 0, 0, 1},
		{"one second of the rate", 1000 * mb, mb, 10 * mb, 0, 0, 10},
		{"whole chunks only", 1000 * mb, mb, 10*mb + mb/2, 0, 0, 10},
		{"less than a chunk a second", 1000 * mb, mb, mb / 10, 0, 0, 1},
		{"most", 1 << 40, 1 << 20, 1 << 30, 0, 0, schedule.MaxRangeLen >> 20},
		{"chunks that are longer than a range", 1 << 40, 2 * schedule.MaxRangeLen, 1 << 30, 0, 0, 1},
		{"half of the queue", 40 * mb, mb, 100 * mb, 0, 0, 20},
		{"half of its share of the queue", 40 * mb, mb, 100 * mb, 4, 0, 4},
		{"half of the queue, with a short last chunk", 8*mb - mb/2, mb, 100 * mb, 0, 0, 3},
		{"a limit", 1000 * mb, mb, 10 * mb, 0, 3 * mb, 3},
		{"a limit of less than a chunk", 1000 * mb, mb, 10 * mb, 0, mb / 3, 1},
		{"the last chunk", mb, mb, 10 * mb, 0, 0, 1},
		{"a file of one short chunk", 7, mb, 10 * mb, 0, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := layout(tt.size, tt.chunk)
			cfg.Limit = tt.limit
			d := newDesk(t, cfg)
			for i := range 1 + tt.others {
				d.join(i, tt.rate, 0)
			}
			r := d.fetch()[0]
			if want := (schedule.Range{ID: 1, Server: 0, First: 0, Count: tt.want}); r != want {
				t.Errorf("range = %+v, want %+v", r, want)
			}
		})
	}
}

// Ranges get shorter towards the end, down to one chunk.
func TestRangesShrink(t *testing.T) {
	d := newDesk(t, layout(64*mb, mb))
	d.join(0, 1000*mb, 0)
	var got []int
	for !d.Done() {
		f := d.fetch()
		got = append(got, counts(f)...)
		for _, r := range f {
			d.finish(r)
		}
	}
	if want := []int{32, 16, 8, 4, 2, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("chunks a range = %d, want %d", got, want)
	}
}

// A range ends where the next chunk is not missing.
func TestRangeIsAdjoining(t *testing.T) {
	d := newDesk(t, layout(1000*mb, mb))
	d.Good(3)
	d.Good(4)
	d.join(0, 10*mb, 0)
	first := d.one(0)
	d.sent(first, 1)
	second := d.one(0)
	if got, want := []int{first.First, first.Count, second.First, second.Count}, []int{0, 3, 5, 10}; !slices.Equal(got, want) {
		t.Errorf("ranges = %d, want %d", got, want)
	}
}

func TestRangesAtOneServer(t *testing.T) {
	tests := []struct {
		name string
		rate int64
		rtt  time.Duration
		want []int // chunks of the ranges once a byte has come
	}{
		{"short path", 10 * mb, time.Millisecond, []int{10, 10}},
		{"two seconds of the rate owed", 10 * mb, time.Second, []int{10, 10, 10}},
		{"slow and far", mb, 3 * time.Second, []int{1, 1, 1, 1, 1, 1, 1}},
		{"most", mb, 100 * time.Second, slices.Repeat([]int{1}, schedule.MaxStreams)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, layout(1000*mb, mb))
			d.join(0, tt.rate, tt.rtt)
			first := d.one(0)
			d.none()
			d.sent(first, 1)
			got := append([]int{first.Count}, counts(d.fetch())...)
			if !slices.Equal(got, tt.want) {
				t.Errorf("chunks of the ranges = %d, want %d", got, tt.want)
			}
			d.none()
		})
	}
}

// With the fewest ranges under way, a server is asked for more only when it
// owes less than one chunk or two round trips of its rate.
func TestNextRangeWhenLittleIsOwed(t *testing.T) {
	for _, tt := range []struct {
		name string
		rtt  time.Duration
		owed int64 // below which it is asked
	}{{"one chunk", time.Millisecond, mb}, {"two round trips", 500 * time.Millisecond, 10 * mb}} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, layout(1000*mb, mb))
			d.join(0, 10*mb, tt.rtt)
			first := d.one(0)
			d.sent(first, 1)
			second := d.one(0)
			d.sent(first, 10*mb-1)
			d.sent(second, 10*mb-tt.owed)
			d.none()
			d.sent(second, 1)
			d.one(0)
		})
	}
}

// There are at most MaxStreamsTotal ranges, but at least one for each server.
// What is free goes to the servers in turn.
func TestRangesInAll(t *testing.T) {
	for _, tt := range []struct{ servers, first, more int }{
		{200, 200, 0}, {128, 128, 0}, {100, 100, 28}, {10, 10, 10},
	} {
		d := newDesk(t, layout(10_000*mb, mb))
		for i := range tt.servers {
			d.join(i, mb, 0)
		}
		first := d.fetch()
		for _, r := range first {
			d.sent(r, 1)
		}
		if more := d.fetch(); len(first) != tt.first || len(more) != tt.more {
			t.Errorf("%d servers: %d ranges, then %d, want %d and %d", tt.servers, len(first), len(more), tt.first, tt.more)
		}
	}
}

func TestTurns(t *testing.T) {
	d := newDesk(t, layout(10_000*mb, mb))
	for i := range 100 {
		d.join(i, mb, 0)
	}
	for _, r := range d.fetch() {
		d.sent(r, 1)
	}
	second := d.fetch()
	for i := range 150 {
		d.finish(second[i])
		next := d.fetch()
		if want := (28 + i) % 100; len(next) != 1 || next[0].Server != want {
			t.Fatalf("a free range goes to %d, want %d", servers(next), want)
		}
		second = append(second, next[0])
	}
}

// A server that leaves does not shift the turn.
func TestTurnsWhenOneLeaves(t *testing.T) {
	d := newDesk(t, layout(10_000*mb, mb))
	for i := range 100 {
		d.join(i, mb, 0)
	}
	for _, r := range d.fetch() {
		d.sent(r, 1)
	}
	second := d.fetch()
	d.Leave(5)
	d.finish(second[0])
	d.one(len(second))
}

func TestIdleServersFirst(t *testing.T) {
	d := newDesk(t, layout(3*mb, mb))
	d.join(0, 0, 0)
	d.join(1, 0, 0)
	f := d.fetch()
	d.sent(f[0], 1)
	d.finish(f[1])
	if r := d.one(1); r.First != 2 {
		t.Errorf("chunk %d, want 2", r.First)
	}
}

func TestLimit(t *testing.T) {
	cfg := layout(1000*mb, mb)
	cfg.Limit = 4 * mb
	d := newDesk(t, cfg)
	d.join(0, 100*mb, time.Second)
	first := d.one(0)
	if first.Count != 4 {
		t.Fatalf("%d chunks asked for, want one second of the limit", first.Count)
	}
	d.sent(first, mb-1)
	d.none()
	d.sent(first, 1)
	d.sent(d.one(0), 0)
	d.join(1, 100*mb, time.Second)
	if r := d.one(1); r.Count != 1 {
		t.Errorf("%d chunks for a second server, want 1 beyond the limit", r.Count)
	}
	d.none()
	d.Leave(0)
	if f := d.fetch(); len(f) != 0 {
		t.Errorf("ranges = %+v for a server from which nothing has come", f)
	}
}

// What servers that left owed does not count against the limit.
func TestLimitForgetsThoseWhoLeft(t *testing.T) {
	cfg := layout(1000*mb, mb)
	cfg.Limit = 4 * mb
	d := newDesk(t, cfg)
	d.join(0, 100*mb, 0)
	d.join(1, 100*mb, 0)
	f := d.fetch()
	if got := counts(f); !slices.Equal(got, []int{4, 1}) {
		t.Fatalf("chunks asked for = %d", got)
	}
	d.sent(f[1], 1)
	d.none()
	d.Leave(0)
	if r := d.one(1); r.Count != 3 {
		t.Errorf("%d chunks asked for, want 3", r.Count)
	}
}

// A slow server leaves chunks that the others would finish before it. It takes
// them when the others leave.
func TestLastChunksGoToTheQuick(t *testing.T) {
	d := newDesk(t, layout(10*mb, mb))
	d.join(0, mb/100, 0)
	d.join(1, 10*mb, 0)
	r := d.one(1)
	d.none()
	d.Leave(1)
	d.End(r.ID)
	if r := d.one(0); r.First != 0 {
		t.Errorf("chunk %d, want 0", r.First)
	}
}

// A server that owes more than it can send until the end counts as zero in the
// forecast, not as less than zero.
func TestForecastWithOneThatOwesMuch(t *testing.T) {
	d := newDesk(t, layout(100*mb, mb))
	d.join(2, 50*mb, 0)
	r := d.one(2)
	d.pass(20 * time.Second)
	d.Sample(2, 0, 0, d.now) // its rate falls to nearly nothing
	d.sent(r, 0)
	for c := 60; c < 100; c++ {
		d.Good(c)
	}
	d.join(0, 10*mb/7, 0) // 0.7 s for a chunk
	d.join(1, 10*mb, 0)
	d.join(3, 10*mb, 0) // these two have done ten chunks in 0.5 s
	f := d.fetch()
	if r.Count != 50 || !slices.Equal(servers(f), []int{1, 3, 0}) || f[0].First < 50 || f[1].First < 50 || f[2].First >= 50 {
		t.Errorf("%d chunks, then ranges = %+v, want 50, then some of the queue for 1 and 3, and of those 50 for 0", r.Count, f)
	}
}

func TestSlowServerGetsItsShare(t *testing.T) {
	d := newDesk(t, layout(1000*mb, mb))
	d.join(0, mb/10, 0) // one chunk while the other takes 100 s for the file
	d.join(1, 10*mb, 0)
	if got, want := servers(d.fetch()), []int{0, 1}; !slices.Equal(got, want) {
		t.Errorf("ranges for %d, want %d", got, want)
	}
}

func TestQueue(t *testing.T) {
	tests := []struct {
		name string
		do   func(d *desk)
		want []int // chunks that are handed out then, one a server
	}{
		{"nothing added", func(d *desk) {}, nil},
		{"added", func(d *desk) { d.Add(2); d.Add(1) }, []int{1, 2}},
		{"added twice", func(d *desk) { d.Add(2); d.Add(2) }, []int{2}},
		{"good in the queue", func(d *desk) { d.Add(1); d.Add(2); d.Good(1) }, []int{2}},
		{"good, then added", func(d *desk) { d.Good(1); d.Add(1) }, nil},
		{"added while under way", func(d *desk) { d.Add(1); d.one(0); d.Add(1) }, nil},
		{"ended", func(d *desk) { d.Add(1); d.End(d.one(0).ID) }, []int{1}},
		{"ended twice", func(d *desk) { d.Add(1); r := d.one(0); d.End(r.ID); d.End(r.ID) }, []int{1}},
		{"ended when good", func(d *desk) { d.Add(1); r := d.one(0); d.Good(1); d.End(r.ID) }, nil},
		{"unknown to the schedule", func(d *desk) {
			d.End(77)
			d.Arrived(77, 1, d.now)
			d.Leave(77)
			d.Sample(77, 1, 0, d.now)
			d.Pause(77, d.now.Add(time.Hour))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := layout(4*mb, mb)
			d := &desk{schedule.New(cfg), t, cfg, time.Unix(1_000_000_000, 0)}
			d.join(0, 0, 0)
			tt.do(d)
			for i := 1; i < 5; i++ {
				d.join(i, 0, 0)
			}
			var got []int
			for _, r := range d.fetch() {
				got = append(got, r.First)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("handed out %d, want %d", got, tt.want)
			}
		})
	}
}

// End puts back only those chunks of a range that are not good.
func TestEndPutsBackTheRest(t *testing.T) {
	d := newDesk(t, layout(8*mb, mb))
	d.join(0, 100*mb, 0)
	r := d.one(0)
	d.Good(0)
	d.Good(2)
	d.End(r.ID)
	var got []int
	for i := 1; i < 9; i++ {
		d.join(i, 0, 0)
	}
	d.Leave(0)
	for _, r := range d.fetch() {
		got = append(got, r.First)
	}
	if want := []int{1, 3, 4, 5, 6, 7}; r.Count != 4 || !slices.Equal(got, want) {
		t.Errorf("%d chunks, then %d, want 4, then %d", r.Count, got, want)
	}
}

func TestDone(t *testing.T) {
	if !schedule.New(layout(0, mb)).Done() {
		t.Error("an empty file is not done")
	}
	d := newDesk(t, layout(3*mb, mb))
	for i, c := range []int{2, 2, 0, 0, 1} {
		if d.Done() {
			t.Errorf("done before call %d", i)
		}
		d.Good(c)
	}
	if !d.Done() {
		t.Error("not done")
	}
	d.join(0, mb, 0)
	d.none()
}

func TestServers(t *testing.T) {
	d := newDesk(t, layout(3*mb, mb))
	d.join(5, mb, 0)
	d.join(5, 2*mb, 0)
	d.join(7, 0, 0)
	if n := d.Servers(); n != 2 {
		t.Errorf("%d servers, want 2", n)
	}
	d.Leave(5)
	if n, rate := d.Servers(), d.Rate(5)+d.Rate(7); n != 1 || rate != 0 {
		t.Errorf("%d servers, rate %v, want 1 and 0", n, rate)
	}
}
