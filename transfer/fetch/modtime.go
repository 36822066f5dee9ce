package fetch

import (
	"math"
	"time"
)

// NoModTime says that the file keeps the time at which it was written: no
// server of the majority names one that a file system could hold. For a tree it
// says that nobody gives the list of times that most servers name.
type NoModTime struct{}

// remoteTime returns the modification time that most of the majority's servers
// name, of those that have answered; nil: no server names one. In a tie the
// first server on the command line wins.
func (s *Session) remoteTime() *time.Time {
	var times []time.Time
	for _, v := range s.roster.servers {
		if o := v.offer; o.SameFile(s.download.offer) && isStorable(o.ModTime) {
			times = append(times, o.ModTime)
		}
	}
	var best *time.Time
	most := 0
	for i, t := range times {
		n := 0
		for _, other := range times {
			if other.Equal(t) {
				n++
			}
		}
		if n > most {
			best, most = &times[i], n
		}
	}
	return best
}

// isStorable reports whether file systems can hold a time. Go tells it to them
// in 64 bits of nanoseconds since 1970.
func isStorable(t time.Time) bool {
	const most = math.MaxInt64/int64(time.Second) - 1
	return t.Unix() > -most && t.Unix() < most
}
