package serve

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transport"
	"malcolm/wire"
)

// A sampler ranks a loss by the round trips before it, counts packets that are
// lost together as one event, and knows the least round trip of late.
func TestSampler(t *testing.T) {
	const ms = time.Millisecond
	now := time.Unix(1e9, 0)
	var s sampler
	v := transport.Stats{PacketsSent: 1000, PacketsLost: 10, Window: 5000}
	look := func(rtt time.Duration, lost uint64) {
		now = now.Add(10 * ms)
		v.LatestRTT, v.SmoothedRTT = rtt, 50*ms
		v.PacketsSent += 10
		v.PacketsLost += lost
		s.look(now, v)
	}
	for i := range 100 {
		look(50*ms+time.Duration(i)*ms/10, 0)
	}
	look(60*ms, 7) // above all others
	look(49*ms, 0)
	look(52*ms+ms/20, 1) // above those of the first 21 looks and the last
	r := s.reported(now)
	if r.Sent != 1020 || r.Lost != 8 || r.Events != 2 || r.Window != 5000 {
		t.Errorf("report = %+v, want 1020 sent, 8 lost at 2 times", r)
	}
	if want := uint64(100*1000/101 + 22*1000/103); r.Ranks != want {
		t.Errorf("ranks = %d, want %d", r.Ranks, want)
	}
	if r.MinRTT != 49*ms || r.LowRTT > r.HighRTT || r.HighRTT > 60*ms {
		t.Errorf("round trips = %v, %v to %v", r.MinRTT, r.LowRTT, r.HighRTT)
	}
	now = now.Add(floorTime)
	look(80*ms, 0)
	if got := s.reported(now).MinRTT; got != 49*ms {
		t.Errorf("least after a minute = %v, want 49 ms", got)
	}
	now = now.Add(floorTime)
	look(81*ms, 0)
	if got := s.reported(now).MinRTT; got != 80*ms {
		t.Errorf("least after two minutes = %v, want 80 ms", got)
	}
}

// Whatever a connection counts, the report can be read, and its counts do not
// fall.
func TestSamplerReports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sampler
		var v transport.Stats
		var last wire.PathReport
		now := time.Unix(1e9, 0)
		for range rapid.IntRange(1, 400).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "passed")))
			v.PacketsSent += rapid.Uint64Range(0, 1000).Draw(t, "sent")
			v.PacketsLost = min(v.PacketsSent, max(v.PacketsLost, 2)+rapid.Uint64Range(0, 12).Draw(t, "lost")-2)
			v.LatestRTT = time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "latest"))
			v.SmoothedRTT = v.LatestRTT
			s.look(now, v)
			r := s.reported(now)
			if got, err := wire.ParsePathReport(r.Append(nil)); err != nil || got != r {
				t.Fatalf("report %+v is read as %+v, %v", r, got, err)
			}
			if r.Sent < last.Sent || r.Lost < last.Lost || r.Events < last.Events || r.Ranks < last.Ranks {
				t.Fatalf("%+v follows %+v", r, last)
			}
			last = r
		}
	})
}
