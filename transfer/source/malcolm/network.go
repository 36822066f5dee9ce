package malcolm

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
)

// A Network finds and opens the way to a server. Without one, the system's is
// used; tests give a simulated one. Any goroutine may call it.
type Network interface {
	// Resolve returns the addresses of a host, best first.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
	// Open returns a UDP socket that reaches one server.
	Open(remote netip.AddrPort) (net.PacketConn, error)
	// Dial makes a TCP connection.
	Dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error)
}

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
type FamilyError struct{ Is4 bool } // the addresses are IPv4

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

// mostServers bounds the targets that spread makes. Each host has an even share
// of it, and at least one address.
const mostServers = 1024

// spread makes a target of each address of each target's host. A host that
// cannot be found stays as it is, so that its error is told.
func spread(ctx context.Context, network Network, targets []source.Target, timeout time.Duration) []source.Target {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found := make([][]source.Target, len(targets))
	most := max(1, mostServers/len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			addrs, err := network.Resolve(ctx, t.Host)
			if err != nil || len(addrs) == 0 {
				found[i] = []source.Target{t}
				return
			}
			for _, a := range addrs[:min(len(addrs), most)] {
				one := source.Target{Host: a.Unmap().String(), Port: t.Port}
				if one.Host != t.Host {
					one.Name = t.Host
				}
				found[i] = append(found[i], one)
			}
		})
	}
	wg.Wait()
	return slices.Concat(found...)
}
