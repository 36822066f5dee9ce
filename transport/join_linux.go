package transport

import (
	"encoding/binary"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// newJoiner returns a joiner for a listener's socket. It returns nil if the
// kernel does not cut packets (GSO, Linux 4.18), or MALCOLM_NO_JOIN forbids it.
func newJoiner(inner *net.UDPConn) *joiner {
	if off, err := strconv.ParseBool(os.Getenv("MALCOLM_NO_JOIN")); err == nil && off {
		return nil
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return nil
	}
	var get error
	if err := raw.Control(func(fd uintptr) {
		_, get = unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	}); err != nil || get != nil {
		return nil
	}
	return makeJoiner(inner.WriteMsgUDP, gsoSegment)
}

// gsoSegment finds the control message by which the kernel is to cut packets:
// their size and the message's place in oob, or zeros.
func gsoSegment(oob []byte) (size, begin, end int) {
	for left := oob; len(left) >= unix.SizeofCmsghdr; {
		h, body, next, err := unix.ParseOneSocketControlMessage(left)
		if err != nil {
			break
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_SEGMENT && len(body) >= 2 {
			return int(binary.NativeEndian.Uint16(body)), len(oob) - len(left), len(oob) - len(next)
		}
		left = next
	}
	return 0, 0, 0
}
