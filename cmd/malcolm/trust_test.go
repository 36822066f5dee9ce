package main

import (
	"slices"
	"testing"

	"malcolm/certs"
)

// A ticket's server has to satisfy the ticket and the flags. Neither overrides
// the other.
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
		err := checkTickets(test.flags, test.tickets)
		lists := slices.Concat(test.flags.Demands("", "h", 1), test.tickets.Demands("", "h", 1))
		if got := certs.Common(lists); (err != nil) != (test.want == nil) || err == nil && !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}
