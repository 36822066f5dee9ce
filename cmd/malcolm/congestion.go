package main

import (
	"cmp"
	"errors"
	"io/fs"
	"net"

	"malcolm/cmd/malcolm/human"
	"malcolm/transport"
)

// control returns the congestion control with which TCP sends; empty: it is not
// known, or the sockets differ. It warns if it is not the one that the flag
// asks for.
func (c *serveCmd) control(t *terminal, tcp []net.Listener) (name string) {
	names := make(map[string]bool)
	var refused error
	for _, ln := range tcp {
		if ln == nil {
			continue
		}
		if c.Congestion != "" {
			refused = cmp.Or(refused, transport.SetCongestion(ln, c.Congestion))
		}
		name = transport.Congestion(ln)
		names[name] = true
	}
	if len(names) != 1 {
		name = ""
	}
	if refused != nil {
		t.Warn("congestion control %s: %s; TCP sends with the system's", human.Quote(c.Congestion), controlReason(refused))
	}
	return name
}

func controlReason(err error) string {
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return "this system cannot choose one"
	case errors.Is(err, fs.ErrNotExist):
		return "this system has none of that name"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not choose it (sysctl net.ipv4.tcp_allowed_congestion_control)"
	}
	return err.Error()
}
