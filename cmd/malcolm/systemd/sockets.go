package systemd

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// firstSocket is the descriptor of the first socket that is handed over.
const firstSocket = 3

// listenVars are the variables that hand over sockets.
var listenVars = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}

// A Socket is an IP socket that the manager has opened: one for UDP that is
// bound, or one for TCP that listens.
type Socket struct {
	Number int            // its descriptor, from 3 on
	Name   string         // as its unit says; empty: it does not
	UDP    net.PacketConn // a *net.UDPConn; nil: it is for TCP
	TCP    net.Listener   // a *net.TCPListener; nil: it is for UDP
}

// Addr returns the address that a socket is bound to.
func (s Socket) Addr() net.Addr {
	if s.UDP != nil {
		return s.UDP.LocalAddr()
	}
	return s.TCP.Addr()
}

// Close closes the socket here; the manager may keep it open.
func (s Socket) Close() {
	if s.UDP != nil {
		s.UDP.Close()
	} else {
		s.TCP.Close()
	}
}

// A SocketError says that the manager hands over something that cannot be used.
type SocketError struct {
	Number int    // of the socket; 0: it is about all of them
	Name   string // of the socket; empty: it has no name
	Why    string
}

func (e *SocketError) Error() string {
	switch {
	case e.Number == 0:
		return "the service manager's sockets: " + e.Why
	case e.Name == "":
		return fmt.Sprintf("the service manager's socket %d: %s", e.Number, e.Why)
	}
	return fmt.Sprintf("the service manager's socket %d, %.64q: %s", e.Number, e.Name, e.Why)
}

// Sockets takes over the sockets that the environment of the process pid names;
// nil: it names none, or those of another process. They belong to the caller.
// The variables are unset, so that no child takes them for its own. It is
// called once. After an error, a [*SocketError], all of them are closed.
func Sockets(getenv func(string) string, unset func(string) error, pid int) ([]Socket, error) {
	of, count, names := getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES")
	for _, name := range listenVars {
		if getenv(name) != "" {
			if err := unset(name); err != nil {
				return nil, &SocketError{Why: err.Error()}
			}
		}
	}
	if of != strconv.Itoa(pid) || count == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return nil, &SocketError{Why: fmt.Sprintf("LISTEN_FDS=%.20q is no number of sockets", count)}
	}
	all := make([]Socket, n)
	for i := range all {
		all[i].Number = firstSocket + i
	}
	if names != "" {
		named := strings.Split(names, ":")
		if len(named) != len(all) {
			return nil, &SocketError{Why: fmt.Sprintf("LISTEN_FDNAMES has %d names for %d sockets", len(named), len(all))}
		}
		for i := range all {
			all[i].Name = named[i]
		}
	}
	return open(all)
}

// open makes sockets of descriptors.
func open(all []Socket) ([]Socket, error) {
	var failed error
	for i := range all {
		s := &all[i]
		if why := s.open(); why != "" && failed == nil {
			failed = &SocketError{s.Number, s.Name, why}
		}
	}
	if failed == nil {
		return all, nil
	}
	for _, s := range all {
		if s.UDP != nil || s.TCP != nil {
			s.Close()
		}
	}
	return nil, failed
}
