package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// newGRO returns a reader that has the kernel join packets of inner. It returns
// nil if the kernel cannot (before Linux 5.0), or MALCOLM_NO_GRO forbids it.
func newGRO(inner *net.UDPConn) *groReader {
	if off, err := strconv.ParseBool(os.Getenv("MALCOLM_NO_GRO")); err == nil && off {
		return nil
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return nil
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	}); err != nil || set != nil {
		return nil
	}
	return newGROReader(func(b, oob []byte) (n, oobn int, from netip.AddrPort, err error) {
		n, oobn, _, from, err = inner.ReadMsgUDPAddrPort(b, oob)
		return n, oobn, from, err
	}, groSegment)
}

// groSegment returns the size of the packets that the kernel has joined, 0 if
// it gives none, and the other control messages. It moves them within oob.
func groSegment(oob []byte) (size int, rest []byte) {
	rest = oob[:0]
	for left := oob; len(left) >= unix.SizeofCmsghdr; {
		h, body, next, err := unix.ParseOneSocketControlMessage(left)
		if err != nil {
			break
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO {
			if len(body) >= 4 {
				size = int(int32(binary.NativeEndian.Uint32(body)))
			}
		} else {
			rest = append(rest, left[:len(left)-len(next)]...)
		}
		left = next
	}
	return size, rest
}
