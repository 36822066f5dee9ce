package transport

import (
	"fmt"
	"net"
)

// SetCongestion sets the congestion control of a TCP socket's connections, such
// as "bbr", and reads it back. After an error they keep the former one. The
// error wraps fs.ErrNotExist if the system has none of that name,
// fs.ErrPermission if this user may not use it, and errors.ErrUnsupported if
// the system offers no choice.
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
