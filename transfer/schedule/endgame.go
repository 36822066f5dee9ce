package schedule

import (
	"math"
	"time"
)

// An endgame gives idle servers work that others have. It holds for one Plan.
type endgame struct {
	*Schedule
	a      *Actions
	now    time.Time
	queue  forecast
	front  unit // of the queue, where no server lacks chunks; zero when it is empty
	idle   []idleServer
	passed map[*rangeState]bool // nothing can be taken from these in this call
}

// An idleServer has nothing to do, or will have nothing within a round trip.
type idleServer struct {
	*server
	start float64 // seconds until the first byte of a further range can come
	rate  float64 // bytes a second; infinity when it is not known
}

// finish returns the seconds until it would have sent n more bytes.
func (t idleServer) finish(n int64) float64 { return t.start + float64(n)/t.rate }

// pays reports whether finish beats other by more than asking costs, which is
// two round trips. Both are in seconds.
func (t idleServer) pays(finish, other float64) bool {
	return other-finish > 2*t.rtt.Seconds()
}

// known reports whether its rate is known.
func (t idleServer) known() bool { return !math.IsInf(t.rate, 1) }

// before reports whether t should get a piece of work of length bytes rather
// than other. Servers with a known rate come first, then the one that finishes
// sooner.
func (t idleServer) before(other idleServer, length int64) bool {
	if t.known() != other.known() {
		return t.known()
	}
	return t.finish(length) < other.finish(length)
}

func (s *Schedule) endgame(a *Actions, o outlook) {
	if len(s.ranges) == 0 {
		return
	}
	e := endgame{Schedule: s, a: a, now: o.now}
	e.refresh(o)
	if len(e.idle) > 0 {
		e.replaceSilent()
	}
	for len(e.idle) > 0 {
		v, tail, last := e.latest()
		switch {
		case v == nil:
			return
		case tail != nil && e.steal(tail) || last != nil && e.copyLast(last):
			e.refresh(s.outlook(o.now))
		default:
			e.pass(v, tail, last)
		}
	}
}

// pass notes that the range that was tried, tail or last, cannot be taken from
// a server. In one file the server's other ranges cannot help either: their
// chunks are as long.
func (e *endgame) pass(v *server, tail, last *rangeState) {
	if e.passed == nil {
		e.passed = make(map[*rangeState]bool)
	}
	tried := v.ranges
	switch {
	case e.content.Files() == 1 && e.lacking == 0:
	case tail != nil:
		tried = []*rangeState{tail}
	default:
		tried = []*rangeState{last}
	}
	for _, r := range tried {
		e.passed[r] = true
	}
}

// refresh takes stock of the servers: which are idle, or will be within a round
// trip, and get nothing from the queue.
func (e *endgame) refresh(o outlook) {
	e.queue = forecast{s: e.Schedule, o: o}
	e.front = unit{}
	if e.queued > 0 && e.lacking == 0 {
		e.front = e.unitAt(e.missing.first())
	}
	e.idle = e.idle[:0]
	clear(e.passed)
	for _, v := range e.order {
		if t, ok := e.asIdle(v); ok {
			e.idle = append(e.idle, t)
		}
	}
}

func (e *endgame) asIdle(v *server) (idleServer, bool) {
	if v.resting(e.now) || v.silent(e.now) {
		return idleServer{}, false
	}
	rate := v.rate.Rate()
	if v.pause > 0 || rate == 0 {
		// What it is given may be lost for as long as it takes to know.
		t := idleServer{server: v, start: (2 * v.silence()).Seconds(), rate: math.Inf(1)}
		return t, len(v.ranges) == 0 && e.unitFor(v).count == 0
	}
	if v.owed > 0 && (float64(v.owed) >= 2*rate*v.rtt.Seconds() || !e.mayHaveMore(v, 1)) {
		return idleServer{}, false
	}
	t := idleServer{server: v, start: max(v.rtt.Seconds(), float64(v.owed)/rate), rate: rate}
	u := e.unitFor(v)
	return t, u.count == 0 || e.queue.tooSlow(v, u)
}

// unitFor returns the first unit of the queue that a server has; zero: none.
func (e *endgame) unitFor(v *server) unit {
	if e.lacking == 0 {
		return e.front
	}
	first := e.firstFor(v)
	if first < 0 {
		return unit{}
	}
	return e.unitAt(first)
}

// latest returns the server expected to finish last among those worth taking
// work from, and the range to take it from: tail if chunks at its end have not
// begun, last if only its last open chunk is left.
func (e *endgame) latest() (victim *server, tail, last *rangeState) {
	least := e.content.ShortestChunk()
	latest := math.Inf(1)
	for _, t := range e.idle {
		latest = min(latest, t.finish(least)+2*t.rtt.Seconds())
	}
	for _, v := range e.order {
		if v.owed == 0 {
			continue
		}
		finish := e.finish(v)
		if finish <= latest {
			continue
		}
		if t, l := e.stealable(v); t != nil || l != nil {
			victim, tail, last, latest = v, t, l, finish
		}
	}
	return victim, tail, last
}

// stealable returns what can be taken from a server: tail, its longest range
// with chunks at the end that have not begun, else last, the longest of which
// no other range has a chunk.
func (e *endgame) stealable(v *server) (tail, last *rangeState) {
	tails := false
	for _, r := range v.ranges {
		if r.owed == 0 {
			continue
		}
		e.trim(r)
		has := e.tailLen(r) > 0
		tails = tails || has
		switch {
		case e.passed[r]:
		case has:
			if tail == nil || r.owed > tail.owed {
				tail = r
			}
		case r.rival == nil && e.lastOpen(r) >= 0:
			if last == nil || r.owed > last.owed {
				last = r
			}
		}
	}
	if tails {
		return tail, nil
	}
	return nil, last
}

// unbegun returns how many chunks at the end of a range have not begun, as far
// as is known. The first chunk counts as begun.
func (r *rangeState) unbegun() int {
	return max(0, r.Count-max(r.begun(), 1))
}

// lastOpen returns the last chunk of a range that is not good; -1 if all are.
func (e *endgame) lastOpen(r *rangeState) int {
	for c := r.First + r.Count - 1; c >= r.First; c-- {
		if e.chunks[c] != good {
			return c
		}
	}
	return -1
}

// tailLen returns how many chunks at the end of a range may be taken from it.
func (s *Schedule) tailLen(r *rangeState) (n int) {
	for most := r.unbegun(); n < most && s.chunks[r.First+r.Count-1-n] == underway; {
		n++
	}
	return n
}

// trim cuts off the good chunks at the end of a range. There are some when a
// range that this one was taken from was quicker than expected.
func (e *endgame) trim(r *rangeState) {
	n := r.Count
	for least := n - r.unbegun(); n > least && e.chunks[r.First+n-1] == good; {
		n--
	}
	if n < r.Count {
		e.shrink(r, n)
	}
}

// finish returns the seconds until a server is expected to have sent all that
// it owes: 0 if its rate is not known, infinity if it is silent.
func (e *endgame) finish(v *server) float64 {
	switch rate := v.rate.Rate(); {
	case v.silent(e.now):
		return math.Inf(1)
	case rate == 0:
		return 0
	default:
		return float64(v.owed) / rate
	}
}

// finishBytes is finish for the next owed bytes of one range, which shares the
// server's rate evenly with its other ranges.
func (e *endgame) finishBytes(r *rangeState, owed int64) float64 {
	finish := e.finish(r.by)
	if finish == 0 || math.IsInf(finish, 1) {
		return finish
	}
	var bytes int64
	for _, other := range r.by.ranges {
		bytes += min(other.owed, owed)
	}
	return float64(bytes) / r.by.rate.Rate()
}

// cannotHelp reports whether t is too slow to take over a unit of a silent
// victim.
func (e *endgame) cannotHelp(t idleServer, victim *server, u unit) bool {
	return victim.silent(e.now) && t.known() && e.queue.tooSlow(t.server, u)
}

// steal moves the tail of a range to the idle server that would finish it
// soonest.
func (e *endgame) steal(r *rangeState) bool {
	best, count := -1, 0
	last := e.lastUnit(r)
	for i, t := range e.idle {
		if t.server == r.by || t.absent.has(r.First+r.Count-1, 1) || e.cannotHelp(t, r.by, last) {
			continue
		}
		n, finish := e.share(r, t)
		if t.pays(finish, e.finish(r.by)) && (best < 0 || t.before(e.idle[best], last.class)) {
			best, count = i, n
		}
	}
	if best < 0 {
		return false
	}
	g := Range{First: r.First + r.Count - count, Count: count}
	e.shrink(r, r.Count-count)
	e.hand(e.idle[best].server, g)
	return true
}

// lastUnit returns the unit at the end of a range's tail.
func (e *endgame) lastUnit(r *rangeState) unit {
	n := min(e.tailLen(r), e.wholeBefore(r, e.content.SmallChunk()))
	return e.newUnit(r.First+r.Count-n, n)
}

// wholeBefore returns how many chunks at the end of a range have at most n
// bytes together, but at least one.
func (e *endgame) wholeBefore(r *rangeState, n int64) int {
	return max(1, e.content.WholeBefore(r.First+r.Count, n))
}

// share returns how many chunks of a range's tail t should take so that both
// servers finish together, and the seconds until then. It is a unit at least,
// or what t sends in the time of a part, or all of the tail.
func (e *endgame) share(r *rangeState, t idleServer) (count int, finish float64) {
	v, most := r.by, e.tailFor(t.server, r, e.tailLen(r))
	var rate float64
	if !v.silent(e.now) {
		rate = v.rate.Rate()
	}
	both := func(n int) float64 {
		taken := e.content.Length(r.First+r.Count-n, n)
		if rate == 0 {
			return t.finish(taken)
		}
		return max(t.finish(taken), float64(v.owed-taken)/rate)
	}
	least := min(most, e.wholeBefore(r, min(e.content.SmallChunk(), partLen(t.rate))))
	if !t.known() {
		return least, both(least)
	}
	most = max(least, min(most, e.wholeBefore(r, t.rangeMost())))
	count = most
	if rate > 0 {
		bytes := (float64(v.owed)/rate - t.start) / (1/rate + 1/t.rate)
		count = max(least, min(most, e.wholeBefore(r, int64(max(0, bytes)))))
		if count < most && both(count+1) < both(count) {
			count++
		}
	}
	return count, both(count)
}

// copyLast has the last open chunk of a range fetched a second time, if there
// is an idle server for it.
func (e *endgame) copyLast(r *rangeState) bool {
	chunk := e.lastOpen(r)
	if e.waits(chunk, r.by, e.queue.o) {
		return false
	}
	best, cost := e.copier(r, chunk, r.owed)
	if best < 0 {
		return false
	}
	e.copy(r, chunk, best, cost)
	return true
}

// copier returns the idle server that should fetch a chunk a second time: the
// one that would finish it soonest, unless a busy server would be sooner still;
// -1 if none should. owed is what the first copy lacks, cost what the second
// will probably waste, both in bytes.
func (e *endgame) copier(r *rangeState, chunk int, owed int64) (best int, cost int64) {
	length, first := e.length(chunk), e.finishBytes(r, owed)
	u := e.newUnit(chunk, 1)
	best = -1
	for i, t := range e.idle {
		if t.server == r.by || t.absent.has(chunk, 1) || e.cannotHelp(t, r.by, u) || !t.pays(t.finish(length), first) {
			continue
		}
		if best < 0 || t.before(e.idle[best], length) {
			best = i
		}
	}
	if best < 0 {
		return -1, 0
	}
	finish := e.idle[best].finish(length)
	cost = costOf(length, owed, first, finish)
	if e.busyFinish(r.by, chunk, length) < finish || !e.mayCopy(length, cost) {
		return -1, 0
	}
	return best, cost
}

// copy has a chunk of a range fetched a second time by an idle server.
func (e *endgame) copy(r *rangeState, chunk, by int, cost int64) {
	e.chunks[chunk] = twice
	e.copyBytes += e.length(chunk)
	e.waste += cost
	second := e.hand(e.idle[by].server, Range{First: chunk, Count: 1, Second: true})
	second.cost = cost
	if r.by.silent(e.now) {
		second.before = e.bytesOf(r, chunk)
	}
	r.rival, second.rival = second, r
}

// costOf estimates the bytes wasted by fetching a chunk of length bytes twice.
// The first copy lacks owed bytes and needs first seconds, the second copy
// needs second. If the second clearly wins, what the first has by then is
// wasted, else the whole second copy. Bytes of a silent server do not count:
// they are lost anyway.
func costOf(length, owed int64, first, second float64) int64 {
	if math.IsInf(first, 1) {
		return 0
	}
	if sureFactor*second > first {
		return length
	}
	return min(length, max(0, length-int64(float64(owed)*(1-second/first))))
}

// mayCopy reports whether the bounds allow a second copy of length bytes that
// probably wastes cost bytes.
func (e *endgame) mayCopy(length, cost int64) bool {
	most := e.cfg.MaxCopyBytes
	if most == 0 {
		most = defaultCopyBytes
	}
	if e.copyBytes > 0 && e.copyBytes+length > most {
		return false
	}
	return cost == 0 || e.waste+cost <= max(e.content.Size()/duplicateShare, duplicateUnits*e.longestUnit())
}

// busyFinish returns the seconds that the soonest busy server needs to send a
// chunk of length bytes after its own work. Only servers that have the chunk
// count, and except does not.
func (e *endgame) busyFinish(except *server, chunk int, length int64) float64 {
	soonest := math.Inf(1)
	for _, v := range e.order {
		rate := v.rate.Rate()
		if v == except || v.owed == 0 || rate == 0 || !v.working(e.now) || v.absent.has(chunk, 1) {
			continue
		}
		start := max(v.rtt.Seconds(), float64(v.owed)/rate)
		soonest = min(soonest, start+float64(length)/rate)
	}
	return soonest
}

// replaceSilent cancels second copies from silent servers, so that a third
// server can have the chunk. A copy whose first has ended is cancelled only if
// another copy needs its room.
func (e *endgame) replaceSilent() {
	for _, v := range e.order {
		if !v.silent(e.now) {
			continue
		}
		for _, r := range v.ranges {
			if !r.Second || r.owed == 0 || r.rival == nil && e.mayCopy(e.length(r.First), 0) {
				continue
			}
			e.cancel(r, e.now)
			v.lost = v.lost || r.came > 0
			e.a.Cancel = append(e.a.Cancel, r.ID)
		}
	}
}

// shrink leaves a range its first n chunks.
func (e *endgame) shrink(r *rangeState, n int) {
	e.cut(r, n, e.now)
	for i := range e.a.Fetch {
		if e.a.Fetch[i].ID == r.ID {
			e.a.Fetch[i].Count = n
			return
		}
	}
	for i := range e.a.Shrink {
		if e.a.Shrink[i].ID == r.ID {
			e.a.Shrink[i].Count = n
			return
		}
	}
	e.a.Shrink = append(e.a.Shrink, Shrink{ID: r.ID, Count: n})
}

// hand gives a range to a server.
func (e *endgame) hand(v *server, g Range) *rangeState {
	g.Server = v.id
	r := e.Schedule.hand(v, g, e.now)
	e.a.Fetch = append(e.a.Fetch, r.Range)
	return r
}
