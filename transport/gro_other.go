//go:build !linux

package transport

import "net"

// newGRO returns nil: only Linux joins packets.
func newGRO(*net.UDPConn) *groReader { return nil }
