package transport

import (
	"net"
	"runtime"
	"syscall"
)

// WantedBuffer is the size in bytes that a socket's buffers should have: what a
// link of 1 Gbit/s brings in 50 ms.
const WantedBuffer = 7 << 20

// A SmallBuffer is a buffer of a socket that the system made smaller than
// WantedBuffer, so that bursts are lost.
type SmallBuffer struct {
	Receive bool   // else it is that for sending
	Size    int    // bytes, as the system counts them
	Setting string // of the system, to be raised to WantedBuffer, as net.core.rmem_max; empty: not known
}

// SmallBuffers asks for the buffers of a socket that ListenUDP or DialUDP has
// opened, with force where the process may, and returns those that are too small:
// none when that cannot be found out. Any goroutine may call it.
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

// bufferSetting names what bounds the buffers on a system.
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
