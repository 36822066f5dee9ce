package malcolm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"malcolm/transfer/source"
)

// names is a network in which names have addresses, and nothing can be reached.
type names map[string][]string

func (n names) Resolve(_ context.Context, host string) (addrs []netip.Addr, err error) {
	for _, a := range n[host] {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

func (n names) Open(netip.AddrPort) (net.PacketConn, error) { return nil, errors.ErrUnsupported }

func (n names) Dial(context.Context, netip.AddrPort) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// An endless DNS answer makes a bounded number of servers.
func TestSpreadIsBounded(t *testing.T) {
	many := make([]string, 5000)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String()
	}
	network := names{"many": many, "few": {"10.2.0.1", "10.2.0.2"}}
	got := spread(t.Context(), network, []source.Target{{Host: "many", Port: 1}, {Host: "few", Port: 1}}, time.Second)
	if len(got) > mostServers || len(got) < mostServers/2 || got[len(got)-1].Host != "10.2.0.2" {
		t.Errorf("%d servers, the last %v; want at most %d, and those of both names", len(got), got[len(got)-1], mostServers)
	}
}
