package admission

import "net/netip"

// The bits of an address that tell clients and networks apart. An IPv6 host may
// take any address within a /64; a customer has a /56 or a /48.
const (
	clientBits6  = 64
	networkBits4 = 24
	networkBits6 = 48
)

// Client returns what counts as one client: an IPv4 address, the first 64 bits
// of an IPv6 address, or a link. All hosts on a link with link-local addresses
// have the same 64 bits.
func Client(host netip.Addr) netip.Addr {
	host = host.Unmap()
	if !host.Is6() {
		return host
	}
	return masked(host, clientBits6)
}

// Network returns the network of a client: an IPv4 /24, an IPv6 /48, or a link.
func Network(client netip.Addr) netip.Addr {
	if client.Is6() {
		return masked(client, networkBits6)
	}
	return masked(client, networkBits4)
}

// masked returns the first bits of an address, in its zone.
func masked(a netip.Addr, bits int) netip.Addr {
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Addr{} // an invalid address: all of them share one record
	}
	return p.Addr().WithZone(a.Zone())
}
