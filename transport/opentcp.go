package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// OpenTCP opens the TCP socket of a virtual server for [ListenTCP], with the
// arguments of [ListenUDP]. The error wraps the system's; see [InUse].
func OpenTCP(bind string, port uint16) (net.Listener, error) {
	hostPort := net.JoinHostPort(bind, strconv.Itoa(int(port)))
	network := "tcp"
	if a, err := netip.ParseAddr(bind); err == nil {
		network = "tcp6"
		if a.Unmap().Is4() {
			network = "tcp4"
		}
	}
	conf := net.ListenConfig{KeepAlive: -1} // see tcpOptions
	// The kernel's options and counts are those of one path.
	conf.SetMultipathTCP(false)
	ln, err := conf.Listen(context.Background(), network, hostPort)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", hostPort, err)
	}
	return ln, nil
}
