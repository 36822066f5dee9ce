//go:build !windows

package transport

import (
	"net"
	"syscall"
)

var (
	errnoInUse   = []syscall.Errno{syscall.EADDRINUSE}
	errnoRefused = []syscall.Errno{syscall.ECONNREFUSED}
	// errnoUnreachable means that packets do not get to the peer's host.
	errnoUnreachable = []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN}
	// errnoProhibited is what Linux makes of a route that prohibits, and of a firewall
	// that drops what is sent; errnoNoWay, besides, of a route that is a black hole, and
	// of a source such as 127.0.0.1, when a socket is connected.
	errnoProhibited = []syscall.Errno{syscall.EACCES, syscall.EPERM}
	errnoNoWay      = []syscall.Errno{syscall.EINVAL}
	errnoNoAddress  = []syscall.Errno{syscall.EADDRNOTAVAIL}
	// errnoICMP is what a system makes of ICMP messages; see icmp_err_convert in
	// Linux' net/ipv4/icmp.c and icmpv6_err_convert in net/ipv6/icmp.c.
	errnoICMP = []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN,
		syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EACCES, syscall.EPROTO,
	}
	// errnoFull is what a write returns when the system has no room for the packet
	// at this moment.
	errnoFull = []syscall.Errno{syscall.ENOBUFS, syscall.ENOMEM, syscall.EAGAIN}
	// errnoTooLarge is what quic-go acts on: a packet larger than the link's MTU, and
	// a device that cannot send joined packets (GSO).
	errnoTooLarge = []syscall.Errno{syscall.EMSGSIZE, syscall.EIO}
)

// enableRefusals does nothing: a connected socket reports refusals.
func enableRefusals(*net.UDPConn) {}
