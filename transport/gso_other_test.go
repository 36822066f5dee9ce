//go:build !linux

package transport

import (
	"net"
	"testing"
)

func kernelHasGSO(*testing.T, *net.UDPConn) bool { return false }
