package serve

import (
	"fmt"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transport"
)

// Limits bounds what the clients of [Serve] can cost. Zero fields mean the
// defaults. None can be switched off; a negative one is refused.
type Limits struct {
	// Places bounds the connections of all virtual servers together,
	// half-open ones included. When they run out, idle clients have to go:
	// see [admission].
	Places int
	// Bytes bounds what clients can make the server hold beyond their
	// places: buffers, requests, and what is sent and not acknowledged.
	Bytes int64
	// Streams bounds a connection's requests under way.
	Streams int
	// HandshakeRate bounds the handshakes begun each second. Without a
	// proof of the client's address it counts for all together, with one
	// for each address.
	HandshakeRate int
	// Wasted bounds wasted requests: malformed, refused or abandoned ones,
	// and every hello after the first. A connection may waste this many
	// more than it completed (ranges and values sent whole), else it is
	// closed. One address, over all its connections, has the same budget,
	// which refills in 16 s. Connections from an address over its budget
	// are delayed.
	Wasted int

	HandshakeTimeout time.Duration // for a handshake
	HelloTimeout     time.Duration // from the handshake until the first request is accepted
	RequestTimeout   time.Duration // for the whole of one request
	StallTimeout     time.Duration // without progress of a reply
	IdleTimeout      time.Duration // without a reply under way
	IndexingTimeout  time.Duration // until the file is hashed
}

// The defaults of [Limits] that are not transport's or admission's.
const (
	DefaultRequestTimeout  = 10 * time.Second
	DefaultStallTimeout    = 30 * time.Second
	DefaultIndexingTimeout = time.Hour
)

// admission returns the limits of a book.
func (l *Limits) admission() admission.Limits {
	return admission.Limits{
		Places: l.Places, Bytes: l.Bytes, Handshakes: l.HandshakeRate, Wasted: l.Wasted,
		OpenTime: l.HelloTimeout, IdleTime: l.IdleTimeout,
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
		{"the time until a request is accepted", &l.HelloTimeout, admission.DefaultOpenTime},
		{"the time for a request", &l.RequestTimeout, DefaultRequestTimeout},
		{"the time without progress", &l.StallTimeout, DefaultStallTimeout},
		{"the time without a request", &l.IdleTimeout, admission.DefaultIdleTime},
		{"the time for indexing", &l.IndexingTimeout, DefaultIndexingTimeout},
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
