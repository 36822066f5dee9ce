package admission

import "time"

// Limits bounds what the connections of a [Book] may cost. A zero field means
// its default.
type Limits struct {
	Places     int   // connections at a time, half-open ones included
	Bytes      int64 // that they may make the server hold beyond their places
	Handshakes int   // a second: in all without a proof of the address, and of one client with it
	Wasted     int   // requests that may be wasted: see [Book.Account]

	OpenTime time.Duration // from the handshake until it is opened
	IdleTime time.Duration // without a reply
}

// The defaults and bounds of [Limits].
const (
	LeastPlaces       = 256
	DefaultPlaces     = 16384 // and the most that [PlacesOf] returns
	DefaultBytes      = 256 << 20
	DefaultHandshakes = 64
	DefaultWasted     = 256
	DefaultOpenTime   = 10 * time.Second
	DefaultIdleTime   = 30 * time.Minute

	// MostUnproved is the number of half-open connections from which a
	// client must prove its address.
	MostUnproved = 32
)

const (
	// placeSize is the cost of a connection, in bytes: 75 KiB of
	// goroutines, TLS and QUIC, a request, and free.
	placeSize = 128 << 10
	// free is the part of a connection's charge, in bytes, that its place
	// has paid for: the first congestion window and the smallest buffer.
	free = 48 << 10
	// requestSize is the cost of a request under way, in bytes: its
	// goroutine and its stream. While it is being read, it costs askSize
	// besides: the longest request. spanSize is the cost of a span asked
	// for.
	requestSize = 10 << 10
	askSize     = 16 << 10
	spanSize    = 48

	// placesPart and bytesPart are the parts of the memory that places and
	// bytes may take: an eighth and a quarter.
	placesPart = 8
	bytesPart  = 4
	leastBytes = 4 << 20

	// burst is the number of seconds of its handshake rate that a client
	// may begin at once. Enough for 200 people of an office with four
	// connections each.
	burst = 16
	// halfOpenPart is the part of the places that one client's half-open
	// connections may take: a quarter.
	halfOpenPart = 4

	// mostLeft is how many abandoned requests of one client may still be at
	// work before it may begin no more.
	mostLeft = 128

	// A connection that moves less than stillBytes in stillSpan may go when
	// places run out.
	stillBytes = 60 << 10
	stillSpan  = time.Minute
	// A connection that moves less than its charge in chargeSpan may go
	// when bytes run out.
	chargeSpan = 10 * time.Second
	// The budget counts as spent when 1/slowPart of it is left: an eighth,
	// since windows grow for a round trip more.
	slowPart = 8
	// sharePart is the part of the budget that connections share evenly
	// before they are slowed: a sixteenth.
	sharePart = 16
)

// PlacesOf returns the number of places for a machine with memory bytes; 0: not
// known.
func PlacesOf(memory int64) int {
	if memory <= 0 {
		return DefaultPlaces
	}
	return int(min(max(memory/placesPart/placeSize, LeastPlaces), DefaultPlaces))
}

// BytesOf returns the budget of bytes for a machine with memory bytes; 0: not
// known.
func BytesOf(memory int64) int64 {
	if memory <= 0 {
		return DefaultBytes
	}
	return min(max(memory/bytesPart, leastBytes), DefaultBytes)
}

// Granted returns the bytes of memory that conns connections may take in all.
func (l Limits) Granted(conns int) int64 {
	const step = 256 // so that the result seldom changes
	l = l.orDefaults()
	return l.Bytes + l.Bytes/sharePart + int64(conns+step-1)/step*step*placeSize
}

// orDefaults returns the limits with every zero replaced.
func (l Limits) orDefaults() Limits {
	return Limits{
		Places: or(l.Places, DefaultPlaces), Bytes: or(l.Bytes, DefaultBytes),
		Handshakes: or(l.Handshakes, DefaultHandshakes), Wasted: or(l.Wasted, DefaultWasted),
		OpenTime: or(l.OpenTime, DefaultOpenTime), IdleTime: or(l.IdleTime, DefaultIdleTime),
	}
}

func or[T int | int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
