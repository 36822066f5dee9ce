package transport

import "time"

// initialPacketSize is the largest UDP payload in bytes before path MTU
// discovery (RFC 9000, section 14.1). QUIC promises to work wherever it
// arrives. quic-go's own 1,280 do not fit a path whose MTU is 1,280.
const initialPacketSize = 1200

// Limits of a listener, for each of its connections unless the comment says
// more.
const (
	// DefaultMaxStreams is the number of streams that a client may have
	// open.
	DefaultMaxStreams = 64
	// DefaultHandshakeTimeout is how long a handshake may take.
	DefaultHandshakeTimeout = 10 * time.Second

	// Receive windows in bytes. A request seldom has more than a stream's
	// window (256 spans have 12 KiB), so the windows never need to grow.
	// They bound what a client can make the server hold.
	serverStreamWindow = 16 << 10
	serverConnWindow   = 64 << 10

	// serverIdle is longer than the client's idle time. So the client
	// decides, which sends keep-alives and can dial again.
	serverIdle = 30 * time.Second
)

// Limits of the client.
const (
	// DefaultWindows is the sum in bytes of the connection receive windows
	// of all client connections that share a WindowBudget.
	DefaultWindows = 64 << 20
	// DefaultStreamWindow and DefaultConnWindow are the receive windows in
	// bytes with which a connection starts.
	DefaultStreamWindow = 512 << 10
	DefaultConnWindow   = 1 << 20

	// FurtherWindow is the receive window in bytes, of a stream too, with
	// which one more connection to a server starts. It carries 2 MB/s at
	// 100 ms, more than such a connection has on a path that needs it, and
	// grows if it must.
	FurtherWindow = 256 << 10

	// maxStreamWindow and maxConnWindow bound how far quic-go may grow the
	// windows, in bytes. It announces a new limit once a quarter of a
	// window is consumed. So three quarters must hold what is in flight at
	// 1 Gbit/s and 100 ms: 12.5 MB, on one stream too.
	maxStreamWindow = 20 << 20
	maxConnWindow   = 24 << 20

	// minConnWindow is the smallest connection window worth dialing with,
	// in bytes.
	minConnWindow = 64 << 10

	// clientHandshakeIdle matters only if the context of Dial has no
	// deadline.
	clientHandshakeIdle = 30 * time.Second
	// clientIdle is how long a server may send nothing, though keepAlive
	// asks it every second, before it is given up. It is long enough for a
	// router to restart or a laptop to change networks, and short enough to
	// dial again within a transfer.
	clientIdle = 15 * time.Second
	// keepAlive shows within about a second that a silent server is alive,
	// and keeps the mappings of NATs.
	keepAlive = time.Second
)

// InitialWindows returns the first receive windows in bytes of each of n
// connections, such that all fit into DefaultWindows at once.
func InitialWindows(n int) (stream, conn int64) {
	conn = min(DefaultConnWindow, DefaultWindows/int64(max(n, 1)))
	return min(DefaultStreamWindow, conn), conn
}

// orDefault returns v, or def when v is zero.
func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
