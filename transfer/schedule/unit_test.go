package schedule_test

import (
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

const kib = 1 << 10

// alike returns n files of size bytes.
func alike(n int, size int64) []int64 { return slices.Repeat([]int64{size}, n) }

// A unit is one chunk, or shorter ones of 256 KiB together.
func TestUnit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int64
		first int
		want  int
	}{
		{"4 KiB", alike(1000, 4*kib), 3, 64},
		{"4 KiB, at the end", alike(1000, 4*kib), 990, 10},
		{"1 KiB: no more than 256 files", alike(1000, kib), 0, 256},
		{"1 byte", alike(1000, 1), 0, 256},
		{"200 KiB", alike(10, 200*kib), 0, 1},
		{"128 KiB", alike(10, 128*kib), 0, 2},
		{"one file", []int64{10<<20 + 1}, 0, 1},
		{"one file, its last two chunks", []int64{10<<20 + 1}, 39, 1},
		{"its last chunk and small files", append([]int64{10<<20 + 1}, alike(10, 4*kib)...), 40, 11},
		{"long chunks", []int64{40 << 30}, 0, 1},
		{"small files before a long chunk", append(alike(10, 4*kib), 40<<30), 0, 10},
	} {
		if got := schedule.Unit(tree(tt.sizes).Content, tt.first); got != tt.want {
			t.Errorf("%s: %d chunks, want %d", tt.name, got, tt.want)
		}
	}
}

// A range over small files is a unit without a rate, and about a second of the
// rate with one: at most 256 files and 64 MiB.
func TestFirstRangeOfFiles(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int64
		rate int64
		want int
	}{
		{"no rate", 4 * kib, 0, 64},
		{"a second", 40_000, 4 * mb, 100},
		{"256 files", 4 * kib, 4 * mb, 256},
		{"less than a unit a second", 4 * kib, 10_000, 64},
		{"64 MiB of files of several chunks", 1 << 20, 1000 * mb, 256},
	} {
		d := newDesk(t, tree(alike(10_000, tt.size)))
		d.join(0, tt.rate, 0)
		r := d.fetch()[0]
		if spans := d.cfg.Content.Spans(r.First, r.Count); r.Count != tt.want || len(spans) > schedule.MaxFiles {
			t.Errorf("%s: %d chunks of %d files, want %d chunks", tt.name, r.Count, len(spans), tt.want)
		}
	}
}

// Ranges over small files are short, so a server has several: a second of its
// rate is asked for ahead, over all of its connections.
func TestAheadOfSmallFiles(t *testing.T) {
	for _, tt := range []struct {
		name        string
		connections int
		rate        int64
		want        int
	}{
		{"slow", 1, 1 << 20, 2},
		{"a second", 1, 8<<20 - kib, 8},
		{"at most 16", 1, 100 << 20, 16},
		{"over connections", 4, 8<<20 - kib, 8},
		{"a unit a connection, and one when bytes have come", 4, 400 * kib, 5},
	} {
		d := newDesk(t, tree(alike(100_000, 4*kib)))
		d.join(0, tt.rate, 0)
		d.Connections(0, tt.connections, tt.connections)
		f := d.fetch()
		d.sent(f[0], 1)
		d.Connections(0, tt.connections, tt.connections-len(f))
		if n := len(f) + len(d.fetch()); n != tt.want {
			t.Errorf("%s: %d ranges, want %d", tt.name, n, tt.want)
		}
	}
}

// What is taken of small files is a unit at least, or what the idle server
// sends in 100 ms.
func TestStealSmallFiles(t *testing.T) {
	for _, tt := range []struct {
		name string
		rate int64
		want int
	}{
		{"all that has not begun", 100 * mb, 63},
		{"a share", 100_000, 21},
		{"100 ms", 30_000, 8},
		{"that takes too long", 20_000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, tree(alike(64, 4*kib)))
			d.join(0, 200*kib, 0)
			r := d.one(0)
			d.sent(r, 1)
			d.join(1, tt.rate, 0)
			a := d.plan()
			if tt.want == 0 {
				if len(a.Shrink)+len(a.Fetch) > 0 {
					t.Errorf("%+v, want nothing", a)
				}
				return
			}
			want := schedule.Range{ID: r.ID + 1, Server: 1, First: 64 - tt.want, Count: tt.want}
			if r.Count != 64 || len(a.Fetch) == 0 || a.Fetch[0] != want {
				t.Errorf("%+v, then %+v, want %+v", r, a.Fetch, want)
			}
		})
	}
}

// Where the end of a server's longest range is too long for an idle server, the
// end of another range is taken.
func TestStealFromAnotherRange(t *testing.T) {
	d := newDesk(t, tree([]int64{128 << 30, 2 << 20}))
	second := d.cfg.Content.FirstChunk(1)
	for c := range second - 4 {
		d.Good(c)
	}
	d.join(0, 40*mb, 0)
	long := d.one(0)
	d.sent(long, 1)
	d.Good(second - 2)
	d.Good(second - 1)
	short := d.one(0)
	for c := short.First + short.Count; c < second+8; c++ {
		d.Good(c)
	}
	if long.Count != 2 || short.First != second || short.Count < 2 {
		t.Fatalf("%+v and %+v, want two long chunks, and several of the second file", long, short)
	}
	d.join(1, 2*mb, 0)
	a := d.plan()
	if len(a.Shrink) != 1 || a.Shrink[0].ID != short.ID || len(a.Fetch) != 1 || a.Fetch[0].First+a.Fetch[0].Count != short.First+short.Count {
		t.Errorf("%+v, want the end of %+v taken", a, short)
	}
}

// Of a window over small files whole units are let in, unless nobody could go
// on without less.
func TestWindowOfSmallFiles(t *testing.T) {
	cfg := tree(alike(1000, 4*kib))
	d := &desk{schedule.New(cfg), t, cfg, time.Unix(1_000_000_000, 0)}
	queued := func(front, end, want int) {
		t.Helper()
		d.Window(front, end)
		if got := int(d.Queued() / (4 * kib)); got != want {
			t.Errorf("a window from %d to %d: %d files are let in, want %d", front, end, got, want)
		}
	}
	queued(0, 100, 64)
	queued(0, 127, 64)
	queued(1, 128, 128)
	queued(2, 129, 128)
	for c := range 128 {
		d.Good(c)
	}
	queued(128, 150, 22)
	queued(130, 999, 22+64*13)
	queued(131, 1000, 1000-128)
}

// Bytes are counted for the chunks that they belong to, whatever the lengths.
func TestDuplicatesOfFiles(t *testing.T) {
	d := newDesk(t, tree([]int64{100, 300 * kib, 1, 50 * kib}))
	d.join(0, 10*mb, 0)
	r := schedule.Range{ID: 1, Server: 0, Count: 5}
	if !d.Give(r, d.now) {
		t.Fatal("the server cannot have the chunks")
	}
	d.sent(r, 50)
	d.sent(r, 50+256*kib+10)
	d.Good(0)
	d.Good(1)
	d.End(r.ID) // what came of chunk 2 is lost
	r = d.fetch()[0]
	if r.First != 2 {
		t.Fatalf("%+v, want what is left", r)
	}
	d.sent(r, 44*kib+1+50*kib)
	if got := d.Duplicates(); got != 10 {
		t.Errorf("%d duplicate bytes, want 10", got)
	}
	d.sent(r, 7)
	if got := d.Duplicates(); got != 17 {
		t.Errorf("%d duplicate bytes, want 17", got)
	}
}
