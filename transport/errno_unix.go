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
	// errnoICMP is what a system makes of ICMP messages; see icmp_err_convert in
	// Linux' net/ipv4/icmp.c and icmpv6_err_convert in net/ipv6/icmp.c.
	errnoICMP = []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN,
		syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EACCES, syscall.EPROTO,
	}
	// errnoLost is what a write returns when the packet did not leave this host
	// now, although a later one may: full queue, no route or address while
	// networks change, a firewall.
	errnoLost = []syscall.Errno{syscall.ENOBUFS, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EPERM}
)

// enableRefusals does nothing: a connected socket reports refusals.
func enableRefusals(*net.UDPConn) {}
