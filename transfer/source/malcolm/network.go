package malcolm

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"malcolm/transfer/source"
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
			addrs, err := network.Resolve(ctx, t.Absolute())
			if err != nil || len(addrs) == 0 {
				found[i] = []source.Target{t}
				return
			}
			for _, a := range addrs[:min(len(addrs), most)] {
				one := t
				if one.Host = a.Unmap().String(); one.Host != t.Host {
					one.Name = t.Host
				}
				found[i] = append(found[i], one)
			}
		})
	}
	wg.Wait()
	return slices.Concat(found...)
}
