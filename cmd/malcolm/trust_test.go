package main

import (
	"slices"
	"testing"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
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
		lists := slices.Concat(test.flags.Demands(1, "h"), test.tickets.Demands(1, "h"))
		if got := certs.Common(lists); (err != nil) != (test.want == nil) || err == nil && !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

// What a file and a directory of one checksum are is not the same.
func TestWantedChecksum(t *testing.T) {
	sum := [32]byte{1}
	file, dir := &flags.Checksum{Sum: sum}, &flags.Checksum{Sum: sum, Kind: flags.OfTree}
	sha := &flags.Checksum{Sum: sum, Kind: flags.OfSHA256}
	for _, test := range []struct {
		name         string
		flag, ticket *flags.Checksum
		wrong        bool
		wanted, tree bool
	}{
		{"nothing", nil, nil, false, false, false},
		{"a file", file, nil, false, true, false},
		{"a directory", dir, nil, false, true, true},
		{"a SHA-256", sha, nil, false, false, false},
		{"a ticket of a directory", nil, dir, false, true, true},
		{"a SHA-256 and a ticket", sha, file, false, true, false},
		{"the same twice", dir, dir, false, true, true},
		{"a file, and a ticket of a directory", file, dir, true, false, false},
	} {
		var q query
		err := q.want(test.flag, test.ticket)
		if (err != nil) != test.wrong || (q.ballot.Checksum != nil) != test.wanted || q.ballot.Tree != test.tree {
			t.Errorf("%s: got %v, checksum %v, tree %v", test.name, err, q.ballot.Checksum, q.ballot.Tree)
		}
		if (q.sha256 != nil) != (test.flag == sha) {
			t.Errorf("%s: got the SHA-256 %v", test.name, q.sha256)
		}
	}
}
