package malcolm

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transport"
)

// serverOf returns a server of an SRV name.
func serverOf(name, host string) source.Target {
	return source.Target{Service: name, Host: host, Port: 7}
}

// What the user pins for an SRV name holds for each of its servers, besides
// what is pinned for its host, and makes voters of them.
func TestPinsOfServices(t *testing.T) {
	const name = "_malcolm._udp.x"
	a, b, c := certs.ServerID{1}, certs.ServerID{2}, certs.ServerID{3}
	for _, test := range []struct {
		name string
		pins certs.Pins
		want []certs.ServerID
	}{
		{"nothing", nil, nil},
		{"the name", certs.Pins{{Host: name, ID: a}, {Host: name, ID: b}}, []certs.ServerID{a, b}},
		{"the host", certs.Pins{{Host: "h", ID: a}}, []certs.ServerID{a}},
		{"the host and the name", certs.Pins{{Host: "h", ID: a}, {Host: name, ID: b}, {Host: name, ID: a}}, []certs.ServerID{a}},
		{"the name and everything", certs.Pins{{ID: c}, {Host: name, ID: b}}, []certs.ServerID{b}},
		{"another name", certs.Pins{{Host: "_malcolm._tcp.x", ID: b}}, nil},
		{"the domain", certs.Pins{{Host: "x", ID: b}}, nil},
	} {
		trust := Trust{Pins: test.pins}
		for _, target := range []source.Target{serverOf(name, "h"), serverOf(name+".", "h"), {Service: name, Host: "10.0.0.1", Name: "h", Port: 7}} {
			if got := trust.named(target); !slices.Equal(got, test.want) {
				t.Errorf("%s: %+v: got %v, want %v", test.name, target, got, test.want)
			}
		}
	}
	both := certs.Pins{{Host: "h", ID: a}, {Host: name, ID: b}}
	if _, err := (&Trust{Pins: both}).judge(serverOf(name, "h"), a, false); err == nil {
		t.Error("a server is accepted that its SRV name does not allow")
	}
}

// A pin of a host that joins later is no mistake where servers may join.
func TestPinsOfWhoJoins(t *testing.T) {
	pins := certs.Pins{{Host: "later", ID: certs.ServerID{1}}}
	targets := []source.Target{{Host: "h", Port: 7}}
	var pin *PinError
	if err := (&Trust{Pins: pins}).ready(targets); !errors.As(err, &pin) || pin.Place != "later" {
		t.Errorf("got %v", err)
	}
	if err := (&Trust{Pins: pins, Joining: true}).ready(targets); err != nil {
		t.Errorf("got %v", err)
	}
	if err := CheckPins(certs.Pins{{Host: "_m._udp.x", ID: certs.ServerID{1}}}, []source.Target{{Service: "_m._udp.x"}}); err != nil {
		t.Errorf("the pin of an SRV name: %v", err)
	}
}

// The transport of an SRV name is that of its servers, unless the user says
// which.
func TestTransportOfServices(t *testing.T) {
	for _, test := range []struct {
		name string
		flag transport.Protocol
		want []transport.Protocol
	}{
		{"_malcolm._udp.x", 0, both},
		{"_malcolm._tcp.x", 0, []transport.Protocol{transport.TCP}},
		{"_malcolm._udp.x", transport.TCP, []transport.Protocol{transport.TCP}},
		{"_malcolm._udp.x", transport.QUIC, []transport.Protocol{transport.QUIC}},
	} {
		s := &server{c: &client{Config: Config{Transport: test.flag}}, target: serverOf(test.name, "h")}
		if got := s.order(nil); !slices.Equal(got, test.want) {
			t.Errorf("%s with %v: got %v, want %v", test.name, test.flag, got, test.want)
		}
	}
}

// An askedNetwork only notes what it is asked for.
type askedNetwork struct {
	Network
	hosts *[]string
}

func (n askedNetwork) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	*n.hosts = append(*n.hosts, host)
	return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}, nil
}

// A host that DNS names is asked for as it is, without the search domains of
// this machine. Its addresses are servers of the same name.
func TestHostsOfServices(t *testing.T) {
	var hosts []string
	network := askedNetwork{hosts: &hosts}
	s := &server{c: &client{Config: Config{Network: network, ConnectTimeout: DefaultConnectTimeout}}, target: serverOf("_m._udp.x", "h.x")}
	if _, err := s.resolve(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := spread(t.Context(), network, []source.Target{serverOf("_m._udp.x", "h.x")}, DefaultConnectTimeout)
	if !slices.Equal(hosts, []string{"h.x.", "h.x."}) {
		t.Errorf("asked for %q", hosts)
	}
	if len(all) != 2 || all[1] != (source.Target{Service: "_m._udp.x", Host: "10.0.0.2", Name: "h.x", Port: 7}) {
		t.Errorf("got %+v", all)
	}
}
