//go:build unix

package transport

import "golang.org/x/sys/unix"

// setBuffer asks for a buffer of WantedBuffer bytes and returns the size that
// it then has; 0: not known.
func setBuffer(c bufferedConn, receive bool) (size int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	option, set := unix.SO_SNDBUF, c.SetWriteBuffer
	if receive {
		option, set = unix.SO_RCVBUF, c.SetReadBuffer
	}
	measure := func(fd uintptr) { size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option) }
	if raw.Control(measure) != nil || err != nil {
		return 0
	}
	if size >= WantedBuffer {
		return size
	}
	// The size read below shows what came of it.
	_ = set(WantedBuffer)
	if raw.Control(measure) != nil || err != nil {
		return 0
	}
	if size < WantedBuffer {
		_ = raw.Control(func(fd uintptr) { forceBuffer(int(fd), receive) })
		if raw.Control(measure) != nil || err != nil {
			return 0
		}
	}
	return size
}
