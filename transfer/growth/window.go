package growth

import (
	"slices"
	"time"
)

const (
	// mostSamples bounds the history: 25 s of steps.
	mostSamples = 256
	// freshTime is how long a report says how things are. A connection
	// that sends has about ten a second.
	freshTime = 2 * time.Second
)

// A sample is how things were at a step.
type sample struct {
	at time.Time
	sums
	known     bool          // reports say what follows, means over the connections
	low, high time.Duration // the queue, at its lowest and highest of late
	window    float64       // of all connections, bytes
}

// A history has the samples of the last while, the oldest first.
type history []sample

func (h *history) add(s sample) {
	if len(*h) == mostSamples {
		*h = slices.Delete(*h, 0, mostSamples/8)
	}
	*h = append(*h, s)
}

// last returns the newest sample. There is one.
func (h history) last() sample { return h[len(h)-1] }

// since returns the samples from a time on, at least the newest.
func (h history) since(t time.Time) history {
	i := len(h) - 1
	for i > 0 && !h[i-1].at.Before(t) {
		i--
	}
	return h[i:]
}

// rate returns the bytes a second over the history.
func (h history) rate() float64 {
	took := h.last().at.Sub(h[0].at).Seconds()
	if took <= 0 {
		return 0
	}
	return (h.last().came - h[0].came) / took
}

// A loss is how many packets were lost of those sent.
type loss struct{ sent, lost float64 }

// rate returns the share that was lost, 0 to 1.
func (l loss) rate() float64 { return min(l.lost/max(l.sent, 1), 1) }

// variance returns that of the rate, as of a Poisson process.
func (l loss) variance() float64 { return l.rate() * l.rate() / max(l.lost, 1) }

// loss returns the losses over the history, and the packets that they belong
// to: those sent from a round trip before it until a round trip before its end.
func (h history) loss(rtt time.Duration) loss {
	last := h.last()
	return loss{h.since(last.at.Add(-rtt))[0].sent - h[0].sent, last.lost - h[0].lost}
}

// highest returns the most that a queue had.
func (h history) highest() (most time.Duration) {
	for _, s := range h {
		most = max(most, s.high)
	}
	return most
}

// ranks returns the mean rank of the loss events over the history, and their
// number.
func (h history) ranks() (mean, events float64) {
	events = h.last().events - h[0].events
	return (h.last().ranks - h[0].ranks) / max(events, 1), events
}

// sample returns how things are now.
func (s *server) sample(now time.Time) sample {
	v := sample{at: now, sums: s.sums}
	floor := s.floor()
	n := time.Duration(0)
	for _, p := range s.paths {
		if p.fresh {
			p.fresh, p.heard = false, now
		}
		if floor == 0 || now.Sub(p.heard) > freshTime {
			continue
		}
		n++
		v.low += above(floor, p.LowRTT)
		v.high += above(floor, p.HighRTT)
		v.window += float64(p.Window)
	}
	if n > 0 {
		v.known, v.low, v.high = true, v.low/n, v.high/n
	}
	return v
}

// above returns how much longer a round trip is than the least one.
func above(floor, rtt time.Duration) time.Duration { return max(min(rtt, mostRTT)-floor, 0) }
