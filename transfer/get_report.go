package transfer

import "time"

// meterTime is the time constant of the average rate that is told, and that the
// time left is told by: it weighs about as much of the past as a plain average
// over twice the time.
const meterTime = 1500 * time.Millisecond

// good returns how many bytes are known to be good.
func (g *getting) good() int64 { return g.result.Fetched + g.result.Resumed }

func (g *getting) emitProgress() {
	p := Progress{
		Phase:    g.phase(),
		Size:     g.layout.Size,
		Good:     g.good(),
		Resumed:  g.result.Resumed,
		Checked:  g.checked,
		Check:    g.toCheck,
		Reserved: g.space.done,
		Rate:     g.meter.Rate(),
		Left:     -1,
		Servers:  g.reports(),
		Map:      g.result.Map,
		Interval: g.cfg.Interval,
	}
	if g.hashed != nil {
		p.Checked = g.hashed.Load()
	}
	// What is still being looked at is not known to be missing.
	if missing := p.Size - p.Good - max(0, p.Check-p.Checked); p.Rate > 0 && g.schedule != nil && missing > 0 {
		p.Left = time.Duration(float64(missing) / p.Rate * float64(time.Second))
	}
	g.emit(p)
}

// A reservation is how far the space of the part file is reserved.
type reservation struct {
	since time.Time // zero: it has not begun
	done  int64     // bytes
}

func (r *reservation) reached(done int64, now time.Time) {
	if r.since.IsZero() {
		r.since = now
	}
	r.done = done
}

// isSlow reports whether it is worth a word.
func (r *reservation) isSlow(now time.Time) bool {
	return !r.since.IsZero() && now.Sub(r.since) >= time.Second
}

func (g *getting) phase() Phase {
	switch {
	case g.voted == nil:
		return PhaseAsking
	case g.schedule == nil && g.space.isSlow(time.Now()):
		return PhaseReserving
	case g.schedule == nil:
		return PhasePreparing
	case g.streams:
		return PhaseFetching
	case g.schedule.Done() && g.hashed != nil:
		return PhaseReadingBack
	case g.schedule.Done():
		return PhaseFinishing
	}
	return PhaseFetching
}

func (g *getting) reports() []ServerReport {
	reports := make([]ServerReport, len(g.peers))
	for i, p := range g.peers {
		r := ServerReport{Target: p.target, ID: p.id, State: p.state, Bytes: p.bytes, BadChunks: p.bad, Err: p.err}
		if p.state == PeerIndexing {
			r.Indexing = p.indexed
		}
		if p.state == PeerServing && len(p.conns) > 0 {
			r.RTT, r.Conns = p.conns[0].conn.Stats().SmoothedRTT, len(p.conns)
			if g.schedule != nil {
				r.Rate = g.schedule.Rate(p.index)
			}
		}
		reports[i] = r
	}
	return reports
}
