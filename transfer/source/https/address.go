package https

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// private are the networks besides those that [netip.Addr] knows where a
// stranger may not send us, though we can get there.
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // RFC 6890: this host
	netip.MustParsePrefix("100.64.0.0/10"),   // RFC 6598: shared by a carrier
	netip.MustParsePrefix("192.0.0.0/24"),    // RFC 6890: protocols
	netip.MustParsePrefix("198.18.0.0/15"),   // RFC 2544: benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("64:ff9b:1::/48"),  // RFC 8215: a translator of one's own
	netip.MustParsePrefix("100::/64"),        // RFC 6666: discarded
	netip.MustParsePrefix("2001::/32"),       // RFC 4380: Teredo
	netip.MustParsePrefix("fec0::/10"),       // RFC 3879: site-local
	netip.MustParsePrefix("2001:db8::/32"),   // RFC 3849: documents
	netip.MustParsePrefix("192.0.2.0/24"),    // RFC 5737: documents
	netip.MustParsePrefix("198.51.100.0/24"), // likewise
	netip.MustParsePrefix("203.0.113.0/24"),  // likewise
}

var (
	translated = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: IPv4 behind a translator
	tunnelled  = netip.MustParsePrefix("2002::/16")    // RFC 3056: IPv4 behind 6to4
	compatible = netip.MustParsePrefix("::/96")        // RFC 4291, section 2.5.5.1
)

// isPublic reports whether an address is one of the Internet. It is not if it
// is a loopback, link-local, private or multicast one, or leads to such an IPv4
// address.
func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range private {
		if p.Contains(a) {
			return false
		}
	}
	b := a.As16()
	switch {
	case translated.Contains(a), compatible.Contains(a):
		return isPublic(ipv4(b[12:]))
	case tunnelled.Contains(a):
		return isPublic(ipv4(b[2:]))
	}
	return true
}

func ipv4(b []byte) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(b))
	return netip.AddrFrom4(a)
}

func lower(host string) string { return strings.ToLower(host) }
