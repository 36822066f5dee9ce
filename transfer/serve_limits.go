package transfer

import (
	"fmt"
	"time"

	"malcolm/transport"
)

// ServeLimits bounds what the clients of a [Serve] can cost. A zero field is its
// default; none can be switched off, and a negative one is refused.
type ServeLimits struct {
	// Clients bounds the connections of all virtual servers together, half-open
	// ones included; ClientsPerAddr those from one address to one virtual server.
	Clients, ClientsPerAddr int
	// Streams is how many requests a connection may have under way.
	Streams int
	// HandshakeRate is how many handshakes a second may begin without a proof of
	// the client's address, in all, and with one, from one address to one virtual
	// server.
	HandshakeRate int
	// Vain is how many more requests of a connection may come to nothing
	// (malformed, refused, given up by the client), or be one more hello, than
	// ranges and manifests were sent whole. As many may those of all connections
	// of one address, of which 16 seconds forgive as many; the next connections of
	// an address that has more wait for their turn.
	Vain int
	// Buffers is how many buffers of 1 MiB hold what is being sent, to all clients
	// together.
	Buffers int
	// Guesses is how many times in a minute one address may come without the right
	// token, when one is asked for and it has come so a few times.
	Guesses int

	HandshakeTimeout time.Duration // for a handshake
	HelloTimeout     time.Duration // from the handshake to the first request
	RequestTimeout   time.Duration // for the whole of one request
	StallTimeout     time.Duration // for which a reply may make no progress
	IdleTimeout      time.Duration // for which a connection may have no request under way
	IndexingTimeout  time.Duration // for which a client may wait until the file is hashed
}

// The defaults of [ServeLimits] that are not transport's.
const (
	DefaultVain            = 256
	DefaultBuffers         = 128
	DefaultGuesses         = 60
	DefaultHelloTimeout    = 30 * time.Second
	DefaultRequestTimeout  = 10 * time.Second
	DefaultStallTimeout    = 30 * time.Second
	DefaultIdleTimeout     = 30 * time.Minute
	DefaultIndexingTimeout = time.Hour
)

// orDefaults returns the limits with every zero replaced.
func (l ServeLimits) orDefaults() (ServeLimits, error) {
	for _, f := range []struct {
		name  string
		field *int
		value int
	}{
		{"clients", &l.Clients, transport.DefaultMaxConns},
		{"clients an address", &l.ClientsPerAddr, transport.DefaultMaxConnsPerAddr},
		{"streams", &l.Streams, transport.DefaultMaxStreams},
		{"handshakes a second", &l.HandshakeRate, transport.DefaultHandshakeRate},
		{"requests in vain", &l.Vain, DefaultVain},
		{"buffers", &l.Buffers, DefaultBuffers},
		{"guesses of the token a minute", &l.Guesses, DefaultGuesses},
	} {
		if err := orDefault(f.name, f.field, f.value); err != nil {
			return l, err
		}
	}
	for _, f := range []struct {
		name  string
		field *time.Duration
		value time.Duration
	}{
		{"the time for a handshake", &l.HandshakeTimeout, transport.DefaultHandshakeTimeout},
		{"the time to the first request", &l.HelloTimeout, DefaultHelloTimeout},
		{"the time for a request", &l.RequestTimeout, DefaultRequestTimeout},
		{"the time without progress", &l.StallTimeout, DefaultStallTimeout},
		{"the time without a request", &l.IdleTimeout, DefaultIdleTimeout},
		{"the time for indexing", &l.IndexingTimeout, DefaultIndexingTimeout},
	} {
		if err := orDefault(f.name, f.field, f.value); err != nil {
			return l, err
		}
	}
	return l, nil
}

func orDefault[T int | time.Duration](name string, field *T, value T) error {
	switch {
	case *field < 0:
		return fmt.Errorf("the limit of %s is negative", name)
	case *field == 0:
		*field = value
	}
	return nil
}
