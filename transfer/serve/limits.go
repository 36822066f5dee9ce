package serve

import (
	"fmt"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transport"
	"malcolm/wire"
)

// Limits bounds what the clients of [Serve] can cost. Zero fields mean the
// defaults. None can be switched off; a negative one is refused.
type Limits struct {
	// Places bounds the connections of all virtual servers together,
	// half-open ones included. When they run out, idle clients are sent
	// away: see [admission].
	Places int
	// Bytes bounds what clients can make the server hold beyond their
	// places: buffers, requests, and what is sent and not acknowledged.
	Bytes int64
	// Streams bounds a connection's requests under way. One of them is
	// kept for path reports; 1 allows one of each.
	Streams int
	// HandshakeRate bounds the handshakes begun each second. It bounds
	// those of one address with a proof of it, and all those without a
	// proof together.
	HandshakeRate int
	// Wasted bounds wasted requests: those that were refused, or cancelled
	// before a byte of the reply was taken, and every stat after the first.
	// A connection may waste this many more than were answered whole, else
	// it is closed. One address, over all its connections, has the same
	// budget, which refills in 16 s. Connections from an address over its
	// budget are delayed.
	Wasted int

	HandshakeTimeout time.Duration // for a handshake
	OpenTimeout      time.Duration // from the handshake until the connection is opened
	RequestTimeout   time.Duration // for the whole of one request
	StallTimeout     time.Duration // without progress of a reply
	IdleTimeout      time.Duration // without a reply under way
	IndexingTimeout  time.Duration // until the file is hashed
	DrainTime        time.Duration // for requests under way when the server stops
}

// The defaults of [Limits] that are not transport's or admission's.
const (
	DefaultRequestTimeout  = 10 * time.Second
	DefaultStallTimeout    = 30 * time.Second
	DefaultIndexingTimeout = time.Hour
	DefaultDrainTime       = 5 * time.Second
)

const (
	// longestRequest bounds the bytes that one request for ranges asks for.
	longestRequest = 1 << 30
	// flightOfStream is the part of a connection's bytes of ranges under
	// way that each of its streams adds.
	flightOfStream = 64 << 20
)

// announced returns what a client is told of the limits. One of the streams is
// kept for path reports, which do not count as one.
func (l *Limits) announced() wire.Limits {
	return wire.Limits{
		Streams: max(l.Streams-1, 1), Flight: max(int64(l.Streams)*flightOfStream, longestRequest), Longest: longestRequest,
		Wasted: l.Wasted,
	}
}

// admission returns the limits of a book.
func (l *Limits) admission() admission.Limits {
	return admission.Limits{
		Places: l.Places, Bytes: l.Bytes, Handshakes: l.HandshakeRate, Wasted: l.Wasted,
		OpenTime: l.OpenTimeout, IdleTime: l.IdleTimeout,
	}
}

// orDefaults returns the limits with every zero replaced.
func (l Limits) orDefaults() (Limits, error) {
	for _, f := range []struct {
		name  string
		field *int
		value int
	}{
		{"places", &l.Places, admission.DefaultPlaces},
		{"streams", &l.Streams, transport.DefaultMaxStreams},
		{"handshakes a second", &l.HandshakeRate, admission.DefaultHandshakes},
		{"wasted requests", &l.Wasted, admission.DefaultWasted},
	} {
		if err := orDefault(f.name, f.field, f.value); err != nil {
			return l, err
		}
	}
	if err := orDefault("bytes", &l.Bytes, admission.DefaultBytes); err != nil {
		return l, err
	}
	for _, f := range []struct {
		name  string
		field *time.Duration
		value time.Duration
	}{
		{"the time for a handshake", &l.HandshakeTimeout, transport.DefaultHandshakeTimeout},
		{"the time until a connection is opened", &l.OpenTimeout, admission.DefaultOpenTime},
		{"the time for a request", &l.RequestTimeout, DefaultRequestTimeout},
		{"the time without progress", &l.StallTimeout, DefaultStallTimeout},
		{"the time without a request", &l.IdleTimeout, admission.DefaultIdleTime},
		{"the time for indexing", &l.IndexingTimeout, DefaultIndexingTimeout},
		{"the time to drain", &l.DrainTime, DefaultDrainTime},
	} {
		if err := orDefault(f.name, f.field, f.value); err != nil {
			return l, err
		}
	}
	return l, nil
}

func orDefault[T int | int64 | time.Duration](name string, field *T, value T) error {
	switch {
	case *field < 0:
		return fmt.Errorf("the limit of %s is negative", name)
	case *field == 0:
		*field = value
	}
	return nil
}
