package transport

import (
	"net"
	"time"
)

// tcpOptions are a socket's options beside those that all have.
type tcpOptions struct {
	// lowWater is how many unsent bytes the system holds at most; 0: the
	// system decides. What is sent next waits behind them.
	lowWater int
	// userTimeout is how long sent bytes may stay unacknowledged; 0: the
	// system decides.
	userTimeout time.Duration
}

const (
	// keepAliveProbes is how many probes in a row may stay unanswered.
	// Together they take clientIdle.
	keepAliveProbes = int(clientIdle / keepAlive)
	// serverLowWater is the server's tcpOptions.lowWater, in bytes.
	serverLowWater = 128 << 10
)

// setTCPOptions sets the options of a connection that is a socket. What a
// system does not have is left out: it costs speed, or the time until a dead
// peer is noticed.
func setTCPOptions(c net.Conn, o tcpOptions) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	_ = t.SetNoDelay(true)
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: keepAliveProbes})
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { o.set(int(fd)) })
	}
}
