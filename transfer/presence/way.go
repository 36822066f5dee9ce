package presence

import "time"

const (
	// useless is how long a connection may owe bytes and bring none; deaf how long, when no packet at all comes, though a
	// keep-alive asks for one each second.
	useless = 10 * time.Second
	deaf    = 2 * time.Second
	// againMost bounds the time between two tries of another way, which doubles each time, until a connection has brought
	// so many bytes.
	againMost = time.Minute
	enough    = 64 << 10
	// suspect is the silence after which it goes on although the work was given to others, and nothing is owed any more.
	suspect = time.Second
)

// A Way is one connection to a server that takes part. It says when the connection is of no use although it is alive:
// the path has become narrower than its packets, or leads nowhere. Then another way to the server is to be tried, and
// the one that brings bytes is to be kept. The zero Way is a new connection.
type Way struct {
	looked  time.Time
	quiet   time.Duration // in which it owed bytes and brought none
	nothing time.Duration // of these, since the last packet
	packets uint64        // that had come at the last look
	brought int64         // bytes
	tried   time.Duration // since another way was tried last
	pause   time.Duration // between two tries; 0: the next one is the first
}

// Seen is what is seen of a connection at a tick.
type Seen struct {
	Sign
	Wanted  bool   // bytes are wanted, of whatever server
	Packets uint64 // that have come in all; looked at while bytes are owed
}

// Look is called several times a second. It reports whether another way is to be tried now.
func (w *Way) Look(now time.Time, s Seen) (another bool) {
	passed := since(w.looked, now)
	w.looked = now
	w.tried += passed
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
	if s.Packets != w.packets {
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
func (w *Way) Useless() bool { return w.quiet >= useless || w.nothing >= deaf }

// Next returns the Way of the connection that takes this one's place. As long as that brings nothing either, another one
// is tried less and less often.
func (w *Way) Next() Way { return Way{pause: w.pause} }
