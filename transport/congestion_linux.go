package transport

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// Congestion returns the congestion control of a TCP socket; empty: the system
// does not say.
func Congestion(ln net.Listener) (name string) {
	_ = onSocket(ln, func(fd int) (err error) {
		name, err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		return err
	})
	return name
}

// setCongestion sets the congestion control of the connections that the socket
// accepts from now on.
func setCongestion(ln net.Listener, name string) error {
	return onSocket(ln, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
}

func onSocket(ln net.Listener, do func(fd int) error) error {
	t, ok := ln.(*net.TCPListener)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	if failed := raw.Control(func(fd uintptr) { err = do(int(fd)) }); failed != nil {
		return failed
	}
	return err
}
