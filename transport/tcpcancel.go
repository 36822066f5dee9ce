package transport

import "time"

const (
	// A reply that is not wanted is read to its end, to keep the link, if
	// at most leastDrain bytes or drainRTTs round trips of its rate are
	// left. drainTime bounds the reading.
	leastDrain = 256 << 10
	drainRTTs  = 2
	drainTime  = 2 * time.Second
	// guessTime is drainTime if nobody knows how much there is to read.
	guessTime = 250 * time.Millisecond
)

func (s *tcpStream) CancelRead(code uint64, left int64) {
	s.mu.Lock()
	over := s.end != nil || s.over.Err() != nil
	p, sent := s.at, s.sent
	if !over {
		s.left = left
		s.quit(&LocalError{Kind: LocalCanceled})
	}
	s.mu.Unlock()
	if over {
		if !sent {
			s.CancelWrite(code) // else the link would wait for the request's end
		}
		return
	}
	select {
	case <-p.turn:
		s.readLimit.set(past) // wakes a pending read
		go s.dispose()
	default: // when it is its turn
	}
}

// dispose reads the rest of a reply that is not wanted, or ends its link.
func (s *tcpStream) dispose() {
	p := s.place()
	s.reading.Lock()
	defer s.reading.Unlock()
	if p.link == nil || p.link.why() != nil || s.finished() {
		return
	}
	most, limit := s.worth(p)
	if !s.asked() || p.salute.unheard() || most < 0 {
		s.c.drop(p.link)
		return
	}
	buf := make([]byte, 32<<10)
	p.link.setRead(time.Now().Add(limit))
	for n := int64(0); n <= most; {
		k, err := p.link.in.read(buf)
		n += int64(k)
		switch {
		case err == nil:
		case isMessageEnd(err):
			s.replied(p, &LocalError{Kind: LocalCanceled})
			return
		case isDeadline(err):
			n = most + 1
		default:
			s.c.failed(p.link, err, nil)
			return
		}
	}
	s.c.drop(p.link)
}

// worth returns how many bytes are worth reading to keep the link, and for how
// long; less than 0: none.
func (s *tcpStream) worth(p *tcpPlace) (most int64, limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most = leastDrain
	if took := time.Since(s.began); s.bytes > 0 && took > 0 {
		rate := float64(s.bytes) / took.Seconds()
		most = max(most, int64(drainRTTs*p.link.pipe.stats().SmoothedRTT.Seconds()*rate))
	}
	switch {
	case s.left < 0:
		return most, guessTime
	case s.left > most:
		return -1, 0
	}
	return most, drainTime
}
