package view

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"malcolm/certs"
	"malcolm/transfer/serve"
)

func TestAdvertisedHost(t *testing.T) {
	tests := []struct {
		bind, advertise string
		want            advertised
	}{
		{"", "example.com", advertised{host: "example.com", reachable: true}},
		{"127.0.0.1", "example.com", advertised{host: "example.com", reachable: true}},
		{"127.0.0.1", "", advertised{host: "127.0.0.1", reachable: false}},
		{"::1", "", advertised{host: "::1", reachable: false}},
		{"192.0.2.7", "", advertised{host: "192.0.2.7", reachable: true}},
		{"fe80::1%e0", "", advertised{host: "fe80::1%INTERFACE", reachable: true, linkLocal: true}},
	}
	for _, test := range tests {
		var bind netip.Addr
		if test.bind != "" {
			bind = netip.MustParseAddr(test.bind)
		}
		if got := hostOf(bind, test.advertise); !reflect.DeepEqual(got, test.want) {
			t.Errorf("--bind %q --advertise %q: got %v, want %v", test.bind, test.advertise, got, test.want)
		}
	}
	for _, bind := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		got := hostOf(bind, "")
		addr, err := netip.ParseAddr(got.host)
		if bind.IsValid() && addr.Is4() != bind.Is4() {
			t.Errorf("--bind %v: got %v, which is not listened on", bind, addr)
		}
		if err != nil || addr.IsUnspecified() || got.reachable == addr.IsLoopback() {
			t.Errorf("--bind %v: got %+v, want a global address, or the loopback one as not reachable", bind, got)
		}
	}
}

// TestOwnHosts: addresses of the default routes come first, then one of either
// kind of each other interface.
func TestOwnHosts(t *testing.T) {
	addrs := func(s string) (a []netip.Addr) {
		for _, f := range strings.Fields(s) {
			a = append(a, netip.MustParseAddr(f))
		}
		return a
	}
	bridge, lan, loop := "172.17.0.1 fe80::1", "fe80::2 192.168.1.20 192.168.1.21 2001:db8::20 2001:db8::21", "127.0.0.1 ::1"
	tests := []struct {
		name, routed string
		interfaces   []string
		want         string
	}{
		{"a bridge that was made first", "192.168.1.20", []string{loop, bridge, lan}, "192.168.1.20 172.17.0.1 2001:db8::20"},
		{"both kinds", "2001:db8::21 192.168.1.21", []string{loop, bridge, lan}, "192.168.1.21 2001:db8::21 172.17.0.1"},
		{"no default route", "", []string{loop, bridge, lan}, "172.17.0.1 192.168.1.20 2001:db8::20"},
		{"nothing but itself", "127.0.0.1 ::1", []string{loop}, ""},
		{"many", "10.0.0.1", strings.Fields("10.0.0.1 10.0.1.1 10.0.2.1 10.0.3.1 10.0.4.1 10.0.5.1 10.0.6.1 10.0.7.1 10.0.8.1"),
			"10.0.0.1 10.0.1.1 10.0.2.1 10.0.3.1 10.0.4.1 10.0.5.1 10.0.6.1 10.0.7.1"},
	}
	for _, test := range tests {
		var interfaces [][]netip.Addr
		for _, i := range test.interfaces {
			interfaces = append(interfaces, addrs(i))
		}
		got := ownHosts(addrs(test.routed), interfaces, func(netip.Addr) bool { return true })
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %v, want %s", test.name, got, test.want)
		}
		got = ownHosts(addrs(test.routed), interfaces, netip.Addr.Is6)
		if slices.ContainsFunc(got, func(s string) bool { return !strings.Contains(s, ":") }) {
			t.Errorf("%s: got %v for IPv6 alone", test.name, got)
		}
	}
}

// TestTicketOfHosts: a ticket names further hosts while there is room.
func TestTicketOfHosts(t *testing.T) {
	at := advertised{host: "192.0.2.1", more: []string{"192.0.2.2", "2001:db8::2"}}
	for ports, hosts := range map[int]int{4: 3, 400: 2, 1000: 1} {
		var all []int
		for p := range ports {
			all = append(all, p+1)
		}
		ticket, err := certs.ParseTicket(ticketOf(serve.Ready{Addrs: addrsOf(all...)}, at))
		want := append([]string{at.host}, at.more...)[:hosts]
		if err != nil || !slices.Equal(ticket.Hosts, want) {
			t.Errorf("%d ports: got %v, %v, want %v", ports, ticket.Hosts, err, want)
		}
	}
}
