//go:build unix

package systemd

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// open makes a socket of its descriptor, which it closes. why says why the
// descriptor is of no use; then it stays open, since it may be one of Go's own.
// Empty: all is well.
func (s *Socket) open() (why string) {
	kind, why := kindOf(s.Number)
	if why != "" {
		return why
	}
	unix.CloseOnExec(s.Number)
	f := os.NewFile(uintptr(s.Number), "socket")
	defer f.Close()
	var err error
	if kind == unix.SOCK_DGRAM {
		s.UDP, err = net.FilePacketConn(f)
	} else {
		s.TCP, err = net.FileListener(f)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// kindOf returns what kind of socket a descriptor is. why says why it is of no
// use; empty: it can be used.
func kindOf(fd int) (kind int, why string) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch err {
	case nil:
	case unix.EBADF:
		return 0, "is not open"
	case unix.ENOTSOCK:
		return 0, "is no socket"
	default:
		return 0, err.Error()
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err.Error()
	}
	port := 0
	switch at := at.(type) {
	case *unix.SockaddrInet4:
		port = at.Port
	case *unix.SockaddrInet6:
		port = at.Port
	default:
		return 0, "is no socket for IP: ListenStream= and ListenDatagram= need a port"
	}
	_, unconnected := unix.Getpeername(fd)
	switch kind {
	case unix.SOCK_DGRAM:
		if unconnected == nil {
			return 0, "is connected to one client"
		}
	case unix.SOCK_STREAM:
		if unconnected == nil {
			return 0, "is a connection: its unit needs Accept=no"
		}
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
			return 0, "does not listen"
		}
	default:
		return 0, "is neither for UDP nor for TCP"
	}
	if port == 0 {
		return 0, "is bound to no port"
	}
	return kind, ""
}
