package transport

import "golang.org/x/sys/unix"

// forceBuffer sets a buffer beyond the system's bound, if the process may.
func forceBuffer(fd int, receive bool) {
	option := unix.SO_SNDBUFFORCE
	if receive {
		option = unix.SO_RCVBUFFORCE
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, WantedBuffer)
}
