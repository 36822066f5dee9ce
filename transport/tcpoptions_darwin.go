package transport

import (
	"net"

	"golang.org/x/sys/unix"
)

// set: this system has no time-out of unacknowledged bytes that is counted as
// Linux does.
func (o tcpOptions) set(fd int) {
	if o.lowWater > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.lowWater)
	}
}

// kernelStats: x/sys has no call for it.
func kernelStats(net.Conn, *Stats) {}
