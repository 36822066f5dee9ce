package schedule_test

import (
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

const mb = 1_000_000 // the chunk size of most tests

// A desk drives one Schedule by hand.
type desk struct {
	*schedule.Schedule
	t   *testing.T
	cfg schedule.Config
	now time.Time
}

// newDesk returns a desk whose chunks are all in the queue.
func newDesk(t *testing.T, cfg schedule.Config) *desk {
	d := &desk{schedule.New(cfg), t, cfg, time.Unix(1_000_000_000, 0)}
	for c := range cfg.Content.Chunks() {
		d.Add(c)
	}
	return d
}

// join lets a server join with a known rate in bytes a second; 0: not known.
func (d *desk) join(id int, rate int64, rtt time.Duration) {
	d.Join(id, rtt, d.now.Add(-time.Second))
	d.Sample(id, rate, rtt, d.now)
}

func (d *desk) pass(t time.Duration) { d.now = d.now.Add(t) }

func (d *desk) plan() schedule.Actions { return d.Plan(d.now) }

// fetch plans, wants no cancel, and returns the ranges.
func (d *desk) fetch() []schedule.Range {
	d.t.Helper()
	a := d.plan()
	if len(a.Cancel) > 0 {
		d.t.Fatalf("cancels %v, want none", a.Cancel)
	}
	return a.Fetch
}

// one plans, and wants exactly one range for the server and no cancel.
func (d *desk) one(server int) schedule.Range {
	d.t.Helper()
	f := d.fetch()
	if len(f) != 1 || f[0].Server != server {
		d.t.Fatalf("ranges = %+v, want one for server %d", f, server)
	}
	return f[0]
}

// none plans, and wants nothing to be done.
func (d *desk) none() {
	d.t.Helper()
	if f := d.fetch(); len(f) > 0 {
		d.t.Fatalf("ranges = %+v, want none", f)
	}
}

// cancels plans, wants exactly these ranges cancelled and none begun, and ends
// them.
func (d *desk) cancels(want ...schedule.Range) {
	d.t.Helper()
	a := d.plan()
	var ids []int
	for _, r := range want {
		ids = append(ids, r.ID)
	}
	if !slices.Equal(a.Cancel, ids) || len(a.Fetch) > 0 {
		d.t.Fatalf("actions = %+v, want cancel %v", a, ids)
	}
	for _, id := range ids {
		d.End(id)
	}
}

// sent lets bytes of a range arrive now.
func (d *desk) sent(r schedule.Range, bytes int64) { d.Arrived(r.ID, bytes, d.now) }

// finish lets a whole range arrive.
func (d *desk) finish(r schedule.Range) {
	n := d.cfg.Content.Length(r.First, r.Count)
	d.sent(r, n)
	for c := r.First; c < r.First+r.Count; c++ {
		d.Good(c)
	}
	d.End(r.ID)
}

func counts(ranges []schedule.Range) (n []int) {
	for _, r := range ranges {
		n = append(n, r.Count)
	}
	return n
}

func servers(ranges []schedule.Range) (n []int) {
	for _, r := range ranges {
		n = append(n, r.Server)
	}
	return n
}
