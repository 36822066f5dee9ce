package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"malcolm/transport"
)

// A SystemNetwork is the real network. Zero: the system makes every choice.
type SystemNetwork struct {
	Family int        // 4 or 6: only addresses of that IP version; 0: both
	Local  netip.Addr // address to send from; zero: the system's choice
}

// Resolve asks the system for a host's addresses.
func (n SystemNetwork) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs := []netip.Addr(nil)
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, addr)
	} else if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	found := len(addrs)
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		is4 := a.Unmap().Is4()
		return n.Family == 4 && !is4 || n.Family == 6 && is4 || n.Local.IsValid() && n.Local.Unmap().Is4() != is4
	})
	if len(addrs) == 0 && found > 0 {
		return nil, &FamilyError{Is4: n.Family == 4 || n.Local.Unmap().Is4()}
	}
	return addrs, nil
}

// A FamilyError says that a host has addresses only of the IP version that is
// not to be used.
type FamilyError struct{ Is4 bool } // no address is IPv4; else none is IPv6

func (e *FamilyError) Error() string {
	if e.Is4 {
		return "no IPv4 address"
	}
	return "no IPv6 address"
}

// Open opens a connected UDP socket.
func (n SystemNetwork) Open(remote netip.AddrPort) (net.PacketConn, error) {
	return transport.DialUDP(n.Local, remote)
}

// Dial makes a TCP connection.
func (n SystemNetwork) Dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	return transport.DialSocket(net.IP(n.Local.AsSlice()), remote.String())(ctx)
}

// ErrNoSuchHost is for a resolver that returned no address and no error.
var ErrNoSuchHost = errors.New("host has no address")

// ResolveFault says why a host has no address.
func ResolveFault(host string, err error) *Fault {
	f := &Fault{What: NoHost, Words: fmt.Sprintf("host %q: %v", host, err), Err: err}
	if _, ok := errors.AsType[*FamilyError](err); ok {
		f.What, f.Words = NoFamily, fmt.Sprintf("host %q has %v", host, err)
		return f
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
	case dns.IsNotFound:
		f.Words = fmt.Sprintf("host %q is not known", host)
	case dns.IsTimeout:
		f.Words = fmt.Sprintf("host %q: the name server does not answer", host)
	default:
		f.Words = fmt.Sprintf("host %q: the name server has no answer: %s", host, dns.Err)
	}
	return f
}

// InTurn sorts addresses so that the families alternate, beginning with that of
// the first one (RFC 8305, section 4).
func InTurn(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, a := range addrs {
		if a.Unmap().Is4() == addrs[0].Unmap().Is4() {
			families[0] = append(families[0], a)
		} else {
			families[1] = append(families[1], a)
		}
	}
	var sorted []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) {
				sorted = append(sorted, f[i])
			}
		}
	}
	return sorted
}
