//go:build !linux

package transport

import "net"

// newJoiner returns nil: only Linux cuts packets.
func newJoiner(*net.UDPConn) *joiner { return nil }
