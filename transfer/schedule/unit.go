package schedule

import "malcolm/transfer/content"

// Chunks differ in length: a small file is one short chunk. A request for one
// of them alone is waste. So work is handed out in units. A unit is one chunk,
// or adjoining shorter ones that have together at most the length of a small
// file's full chunk, 256 KiB. A request for a unit costs about the same time
// wherever it lies.

// A unit is the least that is asked for at once at a place.
type unit struct {
	first int   // chunk
	count int   // chunks, at least 1
	bytes int64 // of them
	// class is bytes, rounded up to 256 KiB times a power of two. Forecasts
	// count in it, so that there are few of them.
	class int64
}

// Unit returns the number of chunks of the unit that begins with first.
func Unit(c *content.Content, first int) int {
	return max(1, c.Whole(first, c.SmallChunk(), MaxFiles))
}

// unitAt returns the unit that begins with first.
func (s *Schedule) unitAt(first int) unit { return s.newUnit(first, Unit(s.content, first)) }

func (s *Schedule) newUnit(first, count int) unit {
	u := unit{first: first, count: count, bytes: s.content.Length(first, count), class: s.content.SmallChunk()}
	for u.class < u.bytes {
		u.class *= 2
	}
	return u
}

// longestUnit returns the most bytes that a unit can have.
func (s *Schedule) longestUnit() int64 {
	return max(s.content.LongestChunk(), s.content.SmallChunk())
}
