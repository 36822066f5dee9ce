package admission

import (
	"net/netip"
	"testing"
)

func TestClientAndNetwork(t *testing.T) {
	for _, test := range []struct {
		a, b          string
		client, other bool // one client, one network
	}{
		{"2001:db8::1", "2001:db8::ffff:1:2:3", true, true},
		{"2001:db8::1", "2001:db8:0:1::1", false, true},
		{"2001:db8::1", "2001:db8:1::1", false, false},
		{"10.0.0.1", "10.0.0.2", false, true},
		{"10.0.0.1", "10.0.1.1", false, false},
		{"10.0.0.1", "::ffff:10.0.0.1", true, true},
		{"fe80::1%eth0", "fe80::2%eth0", true, true},
		{"fe80::1%eth0", "fe80::1%eth1", false, false},
	} {
		a, b := Client(host(test.a)), Client(host(test.b))
		if (a == b) != test.client || (Network(a) == Network(b)) != test.other {
			t.Errorf("%s and %s are %v and %v, want one client: %v, one network: %v", test.a, test.b, a, b, test.client, test.other)
		}
	}
	if got := Network(Client(netip.Addr{})); got.IsValid() {
		t.Errorf("no address is in %v", got)
	}
}
