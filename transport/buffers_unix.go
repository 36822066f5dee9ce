//go:build unix

package transport

import "golang.org/x/sys/unix"

// setBuffer asks for a buffer of WantedBuffer bytes and returns the size that it
// has then; 0 when that is not known.
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
	// What came of it is seen below.
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
