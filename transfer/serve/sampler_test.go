package serve

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transport"
	"malcolm/wire"
)

const ms = time.Millisecond

// look is how a test drives a sampler: a look each 10 ms.
type samplerRun struct {
	*sampler
	stats transport.Stats
	at    time.Duration
}

func newSamplerRun(rtt time.Duration) *samplerRun {
	s := transport.Stats{LatestRTT: rtt, SmoothedRTT: rtt, PacketsSent: 1000, PacketsLost: 30, BytesSent: 1 << 20, Window: 40_000}
	return &samplerRun{sampler: newSampler(s), stats: s}
}

// step sends a number of full packets, of which some are lost, and looks.
func (r *samplerRun) step(rtt time.Duration, sent, lost uint64) {
	r.at += 10 * ms
	r.stats.LatestRTT = rtt
	r.stats.PacketsSent += sent
	r.stats.BytesSent += sent * 1200
	r.stats.PacketsLost += lost
	r.look(r.stats, r.at)
}

// TestSamplerCounts: counts are since the request, and what is lost within one
// and a half round trips is one event.
func TestSamplerCounts(t *testing.T) {
	t.Parallel()
	r := newSamplerRun(20 * ms)
	if got, want := r.report(0), (wire.PathReport{Window: 40_000, MinRTT: 20 * ms, SmoothedRTT: 20 * ms, LowRTT: 20 * ms, HighRTT: 20 * ms}); got != want {
		t.Errorf("at first: got %+v, want %+v", got, want)
	}
	r.step(20*ms, 50, 0)
	r.step(20*ms, 50, 7)
	r.step(20*ms, 50, 0)
	r.step(20*ms, 50, 0)
	r.step(20*ms, 50, 1)
	if got := r.report(r.at); got.Sent != 250 || got.Lost != 8 || got.Events != 1 {
		t.Errorf("got %+v, want 250 sent, 8 lost, 1 event", got)
	}
	r.step(20*ms, 50, 1)
	if got := r.report(r.at); got.Sent != 300 || got.Lost != 9 || got.Events != 2 {
		t.Errorf("got %+v, want 300 sent, 9 lost, 2 events", got)
	}
	r.stats.PacketsLost -= 4 // late ones have come
	r.step(20*ms, 10, 0)
	r.step(20*ms, 10, 4)
	if got := r.report(r.at); got.Sent != 320 || got.Lost != 9 || got.Events != 2 {
		t.Errorf("some came late: got %+v, want 320 sent, 9 lost, 2 events", got)
	}
}

// TestSamplerRanks: a loss ranks by the share of round trips that are shorter.
func TestSamplerRanks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		rtt  time.Duration // when the packet is lost
		want uint64
	}{
		{"in a full queue", 300 * ms, 996},
		{"with an empty queue", 1 * ms, 0},
		{"between", 64*ms + 500*time.Microsecond, 246},
		{"not known", 0, 1000},
	} {
		r := newSamplerRun(0)
		for i := range 300 { // the ring forgets the first of them
			r.step(time.Duration(i%256+1)*ms, 1, 0)
		}
		r.step(tt.rtt, 1, 1)
		if got := r.report(r.at).Ranks; got < tt.want-min(tt.want, 2) || got > tt.want+2 {
			t.Errorf("%s: got rank %d, want %d", tt.name, got, tt.want)
		}
	}
	r := newSamplerRun(0)
	r.step(0, 5, 1)
	if got := r.report(r.at); got.Ranks != 1000 || got.MinRTT != 0 || got.HighRTT != 0 {
		t.Errorf("no round trip: got %+v, want rank 1000 and no round trips", got)
	}
}

// TestSamplerPercentiles: they are of the last four round trips.
func TestSamplerPercentiles(t *testing.T) {
	t.Parallel()
	r := newSamplerRun(900 * ms)
	r.stats.SmoothedRTT = 100 * ms
	for i := range 10 { // 100 ms
		r.step(time.Duration(500+i)*ms, 1, 0)
	}
	for i := range 41 { // 410 ms: 41 of them are in the last 400 ms
		r.step(time.Duration(100+i)*ms, 1, 0)
	}
	got := r.report(r.at)
	if got.LowRTT != 104*ms || got.HighRTT != 136*ms || got.MinRTT != 100*ms || got.SmoothedRTT != 100*ms {
		t.Errorf("got %+v, want 104 and 136 ms, least 100 ms", got)
	}
	r.at += time.Hour
	if got := r.report(r.at); got.LowRTT != 140*ms || got.HighRTT != 140*ms {
		t.Errorf("nothing for an hour: got %v and %v, want the latest, 140 ms", got.LowRTT, got.HighRTT)
	}
}

// TestSamplerFloor: the least round trip is that of the last minute, and of the
// last 256.
func TestSamplerFloor(t *testing.T) {
	t.Parallel()
	r := newSamplerRun(10 * ms)
	changing := func(n int) {
		for i := range n {
			r.step(50*ms+time.Duration(i%2)*ms, 1, 0)
		}
	}
	changing(5000) // 50 s
	if got := r.report(r.at).MinRTT; got != 10*ms {
		t.Errorf("after 50 s: got %v, want 10 ms", got)
	}
	changing(2600)
	if got := r.report(r.at).MinRTT; got != 50*ms {
		t.Errorf("after 76 s: got %v, want 50 ms", got)
	}
	r = newSamplerRun(10 * ms)
	r.at = time.Hour
	changing(1)
	if got := r.report(r.at).MinRTT; got != 10*ms {
		t.Errorf("one more after an hour: got %v, want 10 ms, of the last 256", got)
	}
}

func TestSamplerPause(t *testing.T) {
	t.Parallel()
	for rtt, want := range map[time.Duration]time.Duration{
		0: 5 * ms, ms: 5 * ms, 40 * ms: 5 * ms, 80 * ms: 10 * ms, 200 * ms: 25 * ms, time.Second: 25 * ms,
	} {
		if got := newSampler(transport.Stats{LatestRTT: rtt}).pause(); got != want {
			t.Errorf("%v: got %v, want %v", rtt, got, want)
		}
	}
}

// TestSamplerNews: a report is due when something was sent that is no
// acknowledgement and no report, or is known to be lost.
func TestSamplerNews(t *testing.T) {
	t.Parallel()
	r := newSamplerRun(20 * ms)
	if !r.news {
		t.Error("at first: no report is due")
	}
	check := func(name string, want bool, do func()) {
		t.Helper()
		r.report(r.at)
		do()
		if r.news != want {
			t.Errorf("%s: a report is due: %t, want %t", name, r.news, want)
		}
	}
	check("nothing", false, func() { r.step(20*ms, 0, 0) })
	check("acknowledgements and a report", false, func() { r.stats.BytesSent += 999; r.step(21*ms, 0, 0) })
	check("a packet", true, func() { r.step(20*ms, 1, 0) })
	check("a loss", true, func() { r.step(20*ms, 0, 1) })

	r.at += time.Second - 20*ms
	check("just under a second later", false, func() { r.step(20*ms, 0, 0) })
	if r.rests(r.at) {
		t.Error("rests before a second is over")
	}
	check("a second later", false, func() { r.step(20*ms, 0, 0) })
	if !r.rests(r.at) {
		t.Error("does not rest after a second")
	}
	check("a packet", true, func() { r.step(20*ms, 1, 0) })
	if r.report(r.at); r.rests(r.at) {
		t.Error("rests after a packet")
	}
}

// TestSamplerReports: whatever the library says, a report is one of the
// protocol, and no count falls.
func TestSamplerReports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Uint64())
		rtt := func(label string) time.Duration {
			return time.Duration(rapid.OneOf(rapid.Int64Range(0, 1e6), rapid.Int64Range(0, 1e12)).Draw(t, label))
		}
		stats := func() transport.Stats {
			return transport.Stats{
				LatestRTT: rtt("latest"), SmoothedRTT: rtt("smoothed"), PacketsSent: number.Draw(t, "sent"),
				PacketsLost: number.Draw(t, "lost"), BytesSent: number.Draw(t, "bytes"), Window: number.Draw(t, "window"),
			}
		}
		s := stats()
		w, at, last := newSampler(s), time.Duration(0), wire.PathReport{}
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			next := stats()
			next.PacketsSent = max(next.PacketsSent, s.PacketsSent) // alone never falls
			s = next
			at += time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "later"))
			w.look(s, at)
			got := w.report(at)
			if p, err := wire.ParsePathReport(got.Append(nil)); err != nil || p != got {
				t.Fatalf("got %+v, read as %+v, %v", got, p, err)
			}
			if got.Sent < last.Sent || got.Lost < last.Lost || got.Events < last.Events || got.Ranks < last.Ranks {
				t.Fatalf("fell from %+v to %+v", last, got)
			}
			last = got
		}
	})
}
