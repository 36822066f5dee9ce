package serve

import (
	"math"
	"slices"
	"time"

	"malcolm/transport"
	"malcolm/wire"
)

const (
	// rttSamples is how many round trips a loss is ranked against.
	rttSamples = 256
	// recentRTTs is how many round trips back the percentiles look.
	recentRTTs = 4
	// floorSpan is how long the least round trip is remembered, at least.
	floorSpan  = time.Minute
	floorParts = 4
	// A sampler looks looksPerRTT times in the least round trip, but at
	// least each longestLook.
	looksPerRTT  = 8
	shortestLook = 5 * time.Millisecond
	longestLook  = 25 * time.Millisecond
	// eventHalves is how long a loss event lasts from its first loss, in
	// half round trips. Packets sent until then are lost in the same queue.
	// Their loss is seen when it has drained, and the sender has rested
	// meanwhile.
	eventHalves = 3
	// fullPacket is a size in bytes. If less was sent between two looks, it
	// was only acknowledgements and a report.
	fullPacket = 1000
	// restTime is how long nothing was sent when a sampler needs to look no
	// more.
	restTime = time.Second
)

// A sampler makes path reports of what a connection's counts were at each look.
// It is pure: times are those since it began. It belongs to one goroutine.
type sampler struct {
	first, last transport.Stats // of the first and of the latest look
	lost        uint64          // the most packets lost so far
	events      uint64          // loss events
	eventAt     time.Duration   // when the last one began
	ranks       uint64          // sum over the events
	ring        rttRing
	floor       rttFloor
	sentAt      time.Duration // when a look last saw that something was sent
	news        bool          // something was sent since the last report
}

// newSampler begins to count. The first report is due at once.
func newSampler(s transport.Stats) *sampler {
	w := &sampler{first: s, last: s, lost: s.PacketsLost, news: true}
	w.measure(s.LatestRTT, 0)
	return w
}

// measure takes a round trip.
func (w *sampler) measure(rtt, at time.Duration) {
	if rtt > 0 {
		w.ring.add(rtt, at)
		w.floor.add(rtt, at)
	}
}

// look takes the counts of now.
func (w *sampler) look(s transport.Stats, at time.Duration) {
	if s.LatestRTT != w.last.LatestRTT {
		w.measure(s.LatestRTT, at)
	}
	if s.PacketsLost > w.lost {
		w.lost = s.PacketsLost
		w.news, w.sentAt = true, at
		if w.events == 0 || at-w.eventAt > eventHalves*s.SmoothedRTT/2 {
			w.events++
			w.eventAt = at
			w.ranks += w.ring.rank(s.LatestRTT)
		}
	}
	if s.BytesSent >= w.last.BytesSent+fullPacket {
		w.news, w.sentAt = true, at
	}
	w.last = s
}

// pause returns the time until the next look.
func (w *sampler) pause() time.Duration {
	return min(max(w.floor.least()/looksPerRTT, shortestLook), longestLook)
}

// rests reports whether nothing is on its way, so that no look is due before
// something is sent.
func (w *sampler) rests(at time.Duration) bool { return !w.news && at-w.sentAt >= restTime }

// report returns what the looks saw. It keeps every field within its limits.
func (w *sampler) report(at time.Duration) wire.PathReport {
	w.news = false
	p := wire.PathReport{
		Sent:   min(w.last.PacketsSent-w.first.PacketsSent, wire.MaxPackets),
		Window: min(w.last.Window, wire.MaxWindow),
	}
	// Packets that were sent before the request may be lost after it.
	p.Lost = min(w.lost-w.first.PacketsLost, p.Sent)
	p.Events = min(w.events, p.Lost)
	p.Ranks = min(w.ranks, wire.MaxRank*p.Events)
	if w.ring.count == 0 {
		return p
	}
	low, high := w.ring.percentiles(at - recentRTTs*w.last.SmoothedRTT)
	p.MinRTT = reported(min(w.floor.least(), w.ring.least()))
	p.SmoothedRTT = reported(w.last.SmoothedRTT)
	p.LowRTT, p.HighRTT = reported(low), reported(high)
	return p
}

// reported returns a round trip in the form of a report.
func reported(rtt time.Duration) time.Duration {
	return min(max(rtt.Truncate(time.Microsecond), time.Microsecond), wire.MaxRTT)
}

// An rttRing holds the last round trips and when each was measured.
type rttRing struct {
	rtts, at [rttSamples]time.Duration
	count    int // of those that are there
	next     int // where the next one goes
}

func (r *rttRing) add(rtt, at time.Duration) {
	r.rtts[r.next], r.at[r.next] = rtt, at
	r.next = (r.next + 1) % rttSamples
	r.count = min(r.count+1, rttSamples)
}

// rank returns the share of the round trips that are shorter than rtt, in
// thousandths. If rtt or the others are not known, it is the highest rank: then
// a loss is no sign of a free path.
func (r *rttRing) rank(rtt time.Duration) uint64 {
	if r.count == 0 || rtt == 0 {
		return wire.MaxRank
	}
	shorter := 0
	for _, o := range r.rtts[:r.count] {
		if o < rtt {
			shorter++
		}
	}
	return uint64(shorter * wire.MaxRank / r.count)
}

func (r *rttRing) least() time.Duration { return slices.Min(r.rtts[:r.count]) }

// percentiles returns the 10th and the 90th percentile of the round trips that
// were measured since a time; if none was, of the latest one.
func (r *rttRing) percentiles(since time.Duration) (low, high time.Duration) {
	var recent [rttSamples]time.Duration
	n := 0
	for i, rtt := range r.rtts[:r.count] {
		if r.at[i] >= since {
			recent[n] = rtt
			n++
		}
	}
	if n == 0 {
		latest := r.rtts[(r.next+rttSamples-1)%rttSamples]
		return latest, latest
	}
	slices.Sort(recent[:n])
	return recent[(n-1)/10], recent[n-1-(n-1)/10]
}

// An rttFloor remembers the least round trip of the last floorSpan, and of up
// to a quarter of that before.
type rttFloor struct {
	parts [floorParts + 1]time.Duration // 0: none was measured
	part  int64                         // the number of the latest part since the beginning
}

func (f *rttFloor) add(rtt, at time.Duration) {
	part := int64(at / (floorSpan / floorParts))
	for f.part = max(f.part, part-int64(len(f.parts))); f.part < part; {
		f.part++
		f.parts[f.part%int64(len(f.parts))] = 0
	}
	if p := &f.parts[f.part%int64(len(f.parts))]; *p == 0 || rtt < *p {
		*p = rtt
	}
}

// least returns the least round trip; 0: none was measured.
func (f *rttFloor) least() time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, p := range f.parts {
		if p > 0 {
			least = min(least, p)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}
