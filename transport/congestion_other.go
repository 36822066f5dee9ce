//go:build !linux

package transport

import (
	"errors"
	"net"
)

// Congestion: the system does not say.
func Congestion(net.Listener) string { return "" }

func setCongestion(net.Listener, string) error { return errors.ErrUnsupported }
