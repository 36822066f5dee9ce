package transport

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// option returns an option of a socket as the kernel has it.
func option(t *testing.T, c net.Conn, level, name int) (value int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return value
}

// The kernel has each option of both ends: small writes leave at once, a silent
// peer is probed each second and given up after 15 s, and little waits unsent
// in a server's socket. A further TLS connection of a client has the same.
func TestTCPOptions(t *testing.T) {
	t.Parallel()
	_, client, server := tcpSockets(t, ListenOptions{StallTimeout: 7 * time.Second})
	type options map[string]int
	read := func(c net.Conn) options {
		return options{
			"TCP_NODELAY":       option(t, c, unix.IPPROTO_TCP, unix.TCP_NODELAY),
			"SO_KEEPALIVE":      option(t, c, unix.SOL_SOCKET, unix.SO_KEEPALIVE),
			"TCP_KEEPIDLE":      option(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE),
			"TCP_KEEPINTVL":     option(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL),
			"TCP_KEEPCNT":       option(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPCNT),
			"TCP_NOTSENT_LOWAT": option(t, c, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT),
			"TCP_USER_TIMEOUT":  option(t, c, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT),
		}
	}
	wants := func(lowWater, userTimeout int) options {
		return options{
			"TCP_NODELAY": 1, "SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 15,
			"TCP_NOTSENT_LOWAT": lowWater, "TCP_USER_TIMEOUT": userTimeout,
		}
	}
	further, err := client.(*tcpConn).d.further(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer further.cut(func() {})
	for _, end := range []struct {
		name string
		c    net.Conn
		want options
	}{
		{"server", server.(*tcpServerConn).link.raw, wants(128<<10, 7000)},
		{"client", client.(*tcpConn).links[0].raw, wants(0, 0)},
		{"client, further", further.raw, wants(0, 0)},
	} {
		if got := read(end.c); fmt.Sprint(got) != fmt.Sprint(end.want) {
			t.Errorf("%s: options %v, want %v", end.name, got, end.want)
		}
	}
}
