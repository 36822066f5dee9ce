package main

import (
	"slices"
	"testing"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer"
)

// A server of a ticket has to satisfy the ticket and the flags: neither makes the
// other void.
func TestPinsOfFlagsAndTickets(t *testing.T) {
	a, b := certs.ServerID{1}, certs.ServerID{2}
	at := func(host string, port uint16, id certs.ServerID) certs.Pin {
		return certs.Pin{Host: host, Port: port, ID: id}
	}
	for _, test := range []struct {
		name           string
		flags, tickets certs.Pins
		want           []certs.ServerID // of h:1; nil: the two contradict each other
	}{
		{"only a ticket", nil, certs.Pins{at("h", 1, a), at("h", 1, b)}, []certs.ServerID{a, b}},
		{"only flags", certs.Pins{at("", 0, a)}, nil, []certs.ServerID{a}},
		{"the same", certs.Pins{at("", 0, a)}, certs.Pins{at("h", 1, a)}, []certs.ServerID{a}},
		{"one of the ticket's", certs.Pins{at("h", 0, b)}, certs.Pins{at("h", 1, a), at("h", 1, b)}, []certs.ServerID{b}},
		{"another host", certs.Pins{at("other", 0, b)}, certs.Pins{at("h", 1, a)}, []certs.ServerID{a}},
		{"every server", certs.Pins{at("", 0, b)}, certs.Pins{at("h", 1, a)}, nil},
		{"the host", certs.Pins{at("h", 0, b)}, certs.Pins{at("h", 1, a)}, nil},
		{"the server", certs.Pins{at("h", 1, b)}, certs.Pins{at("h", 1, a)}, nil},
		{"one of two servers", certs.Pins{at("h", 2, b)}, certs.Pins{at("h", 1, a), at("h", 2, a)}, nil},
	} {
		pins, err := joinPins(test.flags, test.tickets)
		if got := pins.IDs("h", 1); (err != nil) != (test.want == nil) || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func TestIdlePins(t *testing.T) {
	id := certs.ServerID{1}
	f := TrustFlags{Pins: []flags.Pin{
		{Pin: certs.Pin{ID: id}}, {Pin: certs.Pin{Host: "h", ID: id}}, {Pin: certs.Pin{Host: "h", Port: 1, ID: id}},
		{Pin: certs.Pin{Host: "g", ID: id}}, {Pin: certs.Pin{Host: "h", Port: 2, ID: id}}, {Pin: certs.Pin{Host: "::1", Port: 1, ID: id}},
	}}
	want := []string{"g", "h:2", "[::1]:1"}
	if got := f.idle([]transfer.Target{{Host: "h", Port: 1}}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
