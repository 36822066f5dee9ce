package presence

import "time"

const (
	// useless is how long a connection may owe bytes and bring none.
	// noPacket is the same while no packet at all comes, though a
	// keep-alive asks for one each second. It does not apply where the
	// system does not count packets. On a long path noPacket is noAnswer
	// round trips instead: quic-go asks after 1.5 probe time-outs, and one
	// of those may be 3 round trips (RFC 9002, 6.2).
	useless  = 10 * time.Second
	noPacket = 2 * time.Second
	noAnswer = 6
	// againMost bounds the time between two tries of another way. That time
	// doubles with each try, until a connection has brought enough bytes.
	againMost = time.Minute
	enough    = 64 << 10
	// A silence longer than suspect goes on counting after the work went to
	// others and nothing is owed any more.
	suspect = time.Second
)

// A Way is one connection to a server that takes part. It says when the
// connection is alive but of no use: the path has become narrower than its
// packets, or leads nowhere. Then try another way to the server and keep the
// one that brings bytes. The zero Way is a new connection.
type Way struct {
	looked  time.Time
	quiet   time.Duration // in which it owed bytes and brought none
	nothing time.Duration // the part of quiet since the last packet
	rtt     time.Duration // round trip at the last call
	packets uint64        // that had come at the last call
	brought int64         // bytes
	tried   time.Duration // since another way was tried last
	pause   time.Duration // between two tries; 0: the next one is the first
}

// Seen is what a tick sees of a connection.
type Seen struct {
	Sign
	Wanted  bool   // bytes are wanted, from whatever server
	Packets uint64 // that have come in all; 0: the system does not tell
	RTT     time.Duration
}

// Look reports whether to try another way now. Call it several times a second.
func (w *Way) Look(now time.Time, s Seen) (another bool) {
	passed := since(w.looked, now)
	w.looked = now
	w.tried += passed
	w.rtt = s.RTT
	if w.brought += s.Came; w.brought >= enough {
		w.pause = 0
	}
	switch {
	case s.Came > 0, s.Busy, !s.Owes && w.quiet < suspect:
		w.quiet, w.nothing = 0, 0
		w.packets = s.Packets
		return false
	case !s.Owes && !s.Wanted:
		return false
	}
	w.quiet += passed
	w.nothing += passed
	if s.Packets == 0 || s.Packets != w.packets {
		w.packets, w.nothing = s.Packets, 0
	}
	if !w.Useless() || w.pause > 0 && w.tried < w.pause {
		return false
	}
	w.tried, w.brought = 0, 0
	w.pause = min(max(2*w.pause, useless), againMost)
	return true
}

// Useless reports whether the connection brings nothing of what it owes.
func (w *Way) Useless() bool {
	return w.quiet >= useless || w.nothing >= max(noPacket, noAnswer*w.rtt)
}

// Next returns the Way of the connection that takes this one's place. Until
// that brings bytes, other ways are tried less and less often.
func (w *Way) Next() Way { return Way{pause: w.pause} }
