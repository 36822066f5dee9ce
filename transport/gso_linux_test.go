package transport

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func kernelHasGSO(t *testing.T, c *net.UDPConn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var supported bool
	if err := raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		supported = err == nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("the kernel has GSO: %v", supported)
	return supported
}
