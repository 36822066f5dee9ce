//go:build !windows

package transport

import (
	"net"
	"syscall"
)

var (
	errnoInUse   = []syscall.Errno{syscall.EADDRINUSE}
	errnoRefused = []syscall.Errno{syscall.ECONNREFUSED}
	// errnoUnreachable means that packets do not reach the peer's host.
	errnoUnreachable = []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN}
	// errnoProhibited is Linux's error for a prohibiting route, and for a
	// firewall that drops what is sent. errnoNoWay is its error for a
	// black-hole route, and for a source such as 127.0.0.1, when a socket
	// is connected.
	errnoProhibited = []syscall.Errno{syscall.EACCES, syscall.EPERM}
	errnoNoWay      = []syscall.Errno{syscall.EINVAL}
	errnoNoAddress  = []syscall.Errno{syscall.EADDRNOTAVAIL}
	// errnoGone says that the peer's system does not have the TCP
	// connection, errnoTimedOut that it does not acknowledge.
	errnoGone     = []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}
	errnoTimedOut = []syscall.Errno{syscall.ETIMEDOUT}
	// errnoAccept are the errors of accept after which it may succeed: the
	// client is gone, or the system is out of something.
	errnoAccept = []syscall.Errno{
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EPROTO, syscall.EINTR, syscall.EPERM, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EOPNOTSUPP, syscall.ENOPROTOOPT,
	}
	// errnoICMP are the errors that a system makes of ICMP messages; see
	// icmp_err_convert in Linux' net/ipv4/icmp.c and icmpv6_err_convert in
	// net/ipv6/icmp.c.
	errnoICMP = []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN,
		syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EACCES, syscall.EPROTO,
	}
	// errnoFull is returned by a write if the system has no room for the
	// packet right now.
	errnoFull = []syscall.Errno{syscall.ENOBUFS, syscall.ENOMEM, syscall.EAGAIN}
	// errnoTooLarge is what quic-go acts on: a packet larger than the
	// link's MTU, and a device that cannot send joined packets (GSO).
	errnoTooLarge = []syscall.Errno{syscall.EMSGSIZE, syscall.EIO}
	// errnoNoGSO is the latter alone.
	errnoNoGSO = []syscall.Errno{syscall.EIO}
)

// enableRefusals does nothing: a connected socket reports refusals.
func enableRefusals(*net.UDPConn) {}
