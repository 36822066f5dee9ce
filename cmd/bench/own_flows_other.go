//go:build !linux

package main

import (
	"errors"
	"net"
)

// setCongestion always fails.
func setCongestion(*net.TCPConn, string) error {
	return errors.New("the congestion control of a connection is set on Linux only")
}
