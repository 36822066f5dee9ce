//go:build !linux && !darwin

package transport

import "net"

// set does nothing: the system has no such options.
func (tcpOptions) set(int) {}

// kernelStats: the system does not tell.
func kernelStats(net.Conn, *Stats) {}
