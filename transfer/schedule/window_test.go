package schedule_test

import (
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// newWindowDesk returns a desk of 100 chunks of which nothing is in the queue.
func newWindowDesk(t *testing.T) *desk {
	cfg := layout(100*mb, mb)
	return &desk{schedule.New(cfg), t, cfg, time.Unix(1_000_000_000, 0)}
}

func chunksOf(ranges []schedule.Range) (chunks []int) {
	for _, r := range ranges {
		for c := r.First; c < r.First+r.Count; c++ {
			chunks = append(chunks, c)
		}
	}
	slices.Sort(chunks)
	return chunks
}

// Only chunks in the window are asked for, each once, also when the window
// moves on, up to behind the last chunk.
func TestWindowLetsIn(t *testing.T) {
	d := newWindowDesk(t)
	d.join(0, 1000*mb, 0)
	d.none()
	var asked []int
	for _, w := range []struct{ front, end int }{{0, 3}, {0, 3}, {2, 4}, {97, 110}} {
		d.Window(w.front, w.end)
		f := d.fetch()
		asked = append(asked, chunksOf(f)...)
		for _, c := range asked {
			if c >= w.end {
				t.Fatalf("chunk %d is asked for with a window to %d", c, w.end)
			}
		}
		for _, r := range f {
			d.finish(r)
		}
		for more := d.fetch(); len(more) > 0; more = d.fetch() {
			asked = append(asked, chunksOf(more)...)
			for _, r := range more {
				d.finish(r)
			}
		}
	}
	slices.Sort(asked)
	for i, c := range asked {
		if i != c {
			t.Fatalf("asked for %v, want each once", asked)
		}
	}
	if len(asked) != 100 || !d.Done() {
		t.Errorf("asked for %d chunks, done: %v, want all 100", len(asked), d.Done())
	}
}

// jam returns a desk whose window of ten chunks is all fetched except a range
// at its front. A slow server has sent part of that range, and a quick server
// is idle.
func jam(t *testing.T, rate int64, came int64) (*desk, schedule.Range) {
	d := newWindowDesk(t)
	d.Window(0, 10)
	d.join(0, 6*mb, 0)
	slow := d.one(0)
	if slow.First != 0 || slow.Count < 2 {
		t.Fatalf("%+v, want some chunks at the front", slow)
	}
	for c := slow.Count; c < 10; c++ {
		d.Good(c)
	}
	d.sent(slow, came)
	d.Sample(0, 0, 0, d.now)
	d.join(1, rate, 0)
	return d, slow
}

// The chunk at the front, which has begun, is fetched a second time by an idle
// server. What its first server has behind it goes to quick servers.
func TestFrontIsFetchedTwice(t *testing.T) {
	d, slow := jam(t, 100*mb, mb/4)
	a := d.plan()
	if want := []schedule.Shrink{{ID: slow.ID, Count: 1}}; !slices.Equal(a.Shrink, want) {
		t.Errorf("shrinks %+v, want %+v", a.Shrink, want)
	}
	if len(a.Fetch) == 0 || a.Fetch[0] != (schedule.Range{ID: slow.ID + 1, Server: 1, First: 0, Count: 1, Second: true}) {
		t.Fatalf("ranges = %+v, want the front a second time first", a.Fetch)
	}
	for _, r := range a.Fetch[1:] {
		if r.Second || r.Server != 1 {
			t.Errorf("%+v, want what is behind the front once, from the quick one", r)
		}
	}
	if again := d.plan(); len(again.Shrink)+len(again.Cancel) > 0 || slices.ContainsFunc(again.Fetch, func(r schedule.Range) bool { return r.Second }) {
		t.Errorf("then %+v, want no more copies", again)
	}
	d.Good(0)
	d.End(a.Fetch[0].ID)
	if a := d.plan(); !slices.Equal(a.Cancel, []int{slow.ID}) {
		t.Errorf("then %+v, want the slow one's range cancelled", a)
	}
}

// The front is not fetched twice if nobody would be sooner, if it is almost
// there, or if the queue still has something for all.
func TestFrontIsFetchedOnce(t *testing.T) {
	second := func(a schedule.Actions) bool {
		return slices.ContainsFunc(a.Fetch, func(r schedule.Range) bool { return r.Second })
	}
	d, _ := jam(t, 4*mb, mb/4)
	if a := d.plan(); second(a) {
		t.Errorf("a slower server: %+v", a)
	}
	d, slow := jam(t, 100*mb, mb-1000)
	if a := d.plan(); second(a) {
		t.Errorf("all but there: %+v", a)
	}
	d, slow = jam(t, 100*mb, mb/4)
	d.Window(0, 100)
	if a := d.plan(); second(a) || len(a.Shrink) > 0 {
		t.Errorf("with a queue: %+v", a)
	}
	// A range of one chunk that is not the front has time.
	d = newWindowDesk(t)
	d.Window(0, 1)
	d.join(0, mb, 0)
	slow = d.one(0)
	d.Good(0)
	d.End(slow.ID)
	d.Window(1, 3)
	d.Good(1)
	slow = d.one(0)
	d.sent(slow, mb/4)
	d.join(1, 100*mb, 0)
	if a := d.plan(); second(a) {
		t.Errorf("the front is good, and nobody waits: %+v", a)
	}
	d.Window(2, 3)
	if a := d.plan(); !second(a) {
		t.Errorf("it has come to the front: %+v, want a second copy", a)
	}
}

// What a silent server has is fetched by others before it comes to the front.
func TestSilentBehindTheFront(t *testing.T) {
	d := newWindowDesk(t)
	d.Window(0, 2)
	d.Good(0)
	d.join(0, mb, 0)
	r := d.one(0)
	d.sent(r, mb/4)
	d.join(1, mb, 0)
	d.none()
	d.pass(1500 * time.Millisecond)
	d.Arrived(r.ID, 0, d.now.Add(-1500*time.Millisecond))
	if second := d.one(1); !second.Second || second.First != 1 {
		t.Errorf("%+v, want a second copy of chunk 1", second)
	}
}

// At the end of the file the endgame is as without a window.
func TestWindowAtTheEnd(t *testing.T) {
	d := newWindowDesk(t)
	for c := range 99 {
		d.Good(c)
	}
	d.Window(98, 100) // chunk 98 waits for its reader
	d.join(0, mb, 0)
	r := d.one(0)
	d.sent(r, mb/4)
	d.join(1, 100*mb, 0)
	if second := d.one(1); !second.Second || second.First != 99 {
		t.Errorf("%+v, want a second copy of the last chunk", second)
	}
}
