package view

import (
	"net"
	"net/netip"
	"slices"

	"malcolm/certs"
	"malcolm/transfer/serve"
)

// mostHosts is the largest number of hosts in a ticket.
const mostHosts = 8

// anyInterface stands for the name of an interface of the reader's machine.
const anyInterface = "INTERFACE"

// advertised is where to reach serve, for the command to paste and the ticket.
type advertised struct {
	host      string
	more      []string // further hosts, for the ticket
	reachable bool     // from other machines
	linkLocal bool     // host contains anyInterface
}

// hostOf returns how others reach what listens on bind. advertise is the host
// that the user gave. Both may be empty.
func hostOf(bind netip.Addr, advertise string) advertised {
	switch {
	case advertise != "":
		return advertised{host: advertise, reachable: true}
	case bind.IsLinkLocalUnicast() && bind.Is6():
		return advertised{host: bind.WithZone(anyInterface).String(), reachable: true, linkLocal: true}
	case bind.IsValid() && !bind.IsUnspecified():
		return advertised{host: bind.String(), reachable: !bind.IsLoopback()}
	}
	hosts := ownHosts(routedAddrs(), interfaceAddrs(), func(a netip.Addr) bool {
		return !bind.IsValid() || a.Is4() == bind.Is4()
	})
	switch {
	case len(hosts) > 0:
		return advertised{host: hosts[0], more: hosts[1:], reachable: true}
	case bind.Is6():
		return advertised{host: "::1"}
	}
	return advertised{host: "127.0.0.1"}
}

// ownHosts orders the addresses of this machine that others may reach. First
// come those that packets to anywhere are sent from, IPv4 before IPv6; then the
// first of either kind of each interface.
func ownHosts(routed []netip.Addr, interfaces [][]netip.Addr, listens func(netip.Addr) bool) []string {
	var hosts []string
	for _, addrs := range slices.Insert(slices.Clone(interfaces), 0, routed) {
		for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
			of := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
				return !is(a) || !a.IsGlobalUnicast() || !listens(a)
			})
			named := slices.ContainsFunc(of, func(a netip.Addr) bool { return slices.Contains(hosts, a.String()) })
			if len(of) > 0 && !named && len(hosts) < mostHosts {
				hosts = append(hosts, of[0].String())
			}
		}
	}
	return hosts
}

// routedAddrs returns the addresses from which the system sends packets to the
// internet: the sources of the default routes. Nothing is sent.
func routedAddrs() (addrs []netip.Addr) {
	for network, to := range map[string]string{"udp4": "192.0.2.1:9", "udp6": "[2001:db8::1]:9"} { // RFC 5737, RFC 3849
		c, err := net.Dial(network, to)
		if err != nil {
			continue // no such route
		}
		if local, ok := c.LocalAddr().(*net.UDPAddr); ok {
			addrs = append(addrs, local.AddrPort().Addr().Unmap())
		}
		c.Close()
	}
	return addrs
}

// interfaceAddrs returns the addresses of each interface that is up and
// connected.
func interfaceAddrs() (all [][]netip.Addr) {
	const works = net.FlagUp | net.FlagRunning
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&works != works {
			continue
		}
		var of []netip.Addr
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				of = append(of, prefix.Addr().Unmap())
			}
		}
		all = append(all, of)
	}
	return all
}

// ticketOf returns the ticket of what is served; empty: others cannot use the
// host. It names further hosts while there is room.
func ticketOf(e serve.Ready, at advertised) string {
	t := certs.Ticket{IDs: []certs.ServerID{e.ID}, Tree: e.Tree != nil, Checksum: e.Checksum, Name: e.Offered}
	for _, a := range e.Addrs {
		t.Ports = append(t.Ports, uint16(a.(*net.UDPAddr).Port))
	}
	for n := len(at.more); n >= 0; n-- {
		t.Hosts = append([]string{at.host}, at.more[:n]...)
		if t.Check() == nil {
			return t.String()
		}
	}
	return ""
}
