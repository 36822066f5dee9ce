package transport

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	errnoInUse = []syscall.Errno{windows.WSAEADDRINUSE, windows.WSAEACCES}
	// Windows reports a closed port as a reset.
	errnoRefused = []syscall.Errno{windows.WSAECONNRESET, windows.WSAECONNREFUSED}
	// errnoUnreachable means that packets do not reach the peer's host.
	errnoUnreachable = []syscall.Errno{
		windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAEHOSTDOWN, windows.WSAENETDOWN,
		windows.WSAENETRESET,
	}
	errnoProhibited = []syscall.Errno{windows.WSAEACCES}
	errnoNoWay      = []syscall.Errno{}
	errnoNoAddress  = []syscall.Errno{windows.WSAEADDRNOTAVAIL}
	// errnoGone says that the peer's system does not have the TCP
	// connection, errnoTimedOut that it does not acknowledge.
	errnoGone     = []syscall.Errno{windows.WSAECONNRESET, windows.WSAECONNABORTED, windows.WSAESHUTDOWN}
	errnoTimedOut = []syscall.Errno{windows.WSAETIMEDOUT}
	// errnoAccept are the errors of accept after which it may succeed: the
	// client is gone, or the system is out of something.
	errnoAccept = []syscall.Errno{
		windows.WSAECONNRESET, windows.WSAECONNABORTED, windows.WSAEMFILE, windows.WSAENOBUFS, windows.WSAENETDOWN,
	}
	// errnoICMP are the errors that the system makes of ICMP messages.
	errnoICMP = []syscall.Errno{
		windows.WSAECONNRESET, windows.WSAECONNREFUSED, windows.WSAENETRESET,
		windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAEHOSTDOWN,
	}
	// errnoFull is returned by a write if the system has no room for the
	// packet right now.
	errnoFull = []syscall.Errno{windows.WSAENOBUFS, windows.ERROR_NOT_ENOUGH_MEMORY}
	// errnoTooLarge is what quic-go acts on: a packet larger than the
	// link's MTU.
	errnoTooLarge = []syscall.Errno{windows.WSAEMSGSIZE}
	errnoNoGSO    = []syscall.Errno{}
)

// enableRefusals makes c report closed ports, which package net turns off. If
// it fails, a closed port is found by the timeout of Dial.
func enableRefusals(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		on, returned := uint32(1), uint32(0)
		_ = windows.WSAIoctl(windows.Handle(fd), windows.SIO_UDP_CONNRESET,
			(*byte)(unsafe.Pointer(&on)), uint32(unsafe.Sizeof(on)), nil, 0, &returned, nil, 0)
	})
}
