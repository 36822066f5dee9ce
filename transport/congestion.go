package transport

import (
	"fmt"
	"net"
)

// SetCongestion has the connections of a TCP socket send with a congestion
// control of the system, such as "bbr", and reads back that they do. The error
// wraps the system's: fs.ErrNotExist where it has none of that name,
// fs.ErrPermission where this user may not use it, and errors.ErrUnsupported
// where it cannot be chosen. Connections then send with the one before.
func SetCongestion(ln net.Listener, name string) error {
	err := setCongestion(ln, name)
	if err == nil {
		if got := Congestion(ln); got != name {
			err = fmt.Errorf("the system uses %q instead", got)
		}
	}
	if err != nil {
		return fmt.Errorf("set congestion control %q: %w", name, err)
	}
	return nil
}
