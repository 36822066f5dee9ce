package transport

import (
	"net"
	"runtime"
	"syscall"
)

// WantedBuffer is the wanted size of a socket's buffers in bytes: what a link
// of 1 Gbit/s brings in 50 ms.
const WantedBuffer = 7 << 20

// A SmallBuffer is a socket's buffer that the system made smaller than
// WantedBuffer, so that bursts are lost.
type SmallBuffer struct {
	Receive bool   // false: the buffer for sending
	Size    int    // bytes, as the system counts them
	Setting string // system setting to raise to WantedBuffer, as net.core.rmem_max; empty: not known
}

// SmallBuffers asks for the buffers of a socket that ListenUDP or DialUDP has
// opened, with force if the process may. It returns the buffers that are too
// small, or nothing if that cannot be found out. Any goroutine may call it.
func SmallBuffers(pc net.PacketConn) (small []SmallBuffer) {
	c, ok := pc.(bufferedConn)
	if !ok {
		return nil
	}
	for _, receive := range []bool{true, false} {
		if size := setBuffer(c, receive); size > 0 && size < WantedBuffer {
			small = append(small, SmallBuffer{receive, size, bufferSetting(runtime.GOOS, receive)})
		}
	}
	return small
}

type bufferedConn interface {
	syscall.Conn
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

// bufferSetting names the setting that bounds a buffer on a system.
func bufferSetting(goos string, receive bool) string {
	switch {
	case goos == "linux" && receive:
		return "net.core.rmem_max"
	case goos == "linux":
		return "net.core.wmem_max"
	case goos == "darwin", goos == "freebsd":
		return "kern.ipc.maxsockbuf"
	default:
		return ""
	}
}
