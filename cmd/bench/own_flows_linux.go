package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// setCongestion sets the congestion control of a connection, and makes sure of
// it.
func setCongestion(conn *net.TCPConn, name string) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var got string
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); failed == nil {
			got, failed = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		}
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return fmt.Errorf("set the congestion control %q: %w", name, failed)
	case got != name:
		return fmt.Errorf("the congestion control is %q, not %q", got, name)
	}
	return nil
}
