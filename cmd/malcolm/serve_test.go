package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/screen"
)

func TestServePorts(t *testing.T) {
	n := func(n int) *int { return &n }
	tests := []struct {
		name     string
		number   *int
		words    flags.PortWords
		want     []uint16
		warnings int
		err      string
	}{
		{"nothing", nil, nil, make([]uint16, 4), 0, ""},
		{"number", n(2), nil, make([]uint16, 2), 0, ""},
		{"most", n(1024), nil, make([]uint16, 1024), 0, ""},
		{"none", n(0), nil, nil, 0, "-n 0: from 1 to 1,024 virtual servers are possible"},
		{"too many", n(1025), nil, nil, 0, "-n 1025: from 1 to 1,024 virtual servers are possible"},
		{"ports", nil, flags.PortWords{"1", "3-4"}, []uint16{1, 3, 4}, 0, ""},
		{"both", n(3), flags.PortWords{"1,3-4"}, []uint16{1, 3, 4}, 0, ""},
		{"fewer", n(4), flags.PortWords{"1", "3-4"}, nil, 0, "-n 4 asks for 4 servers, but -p names 3 ports"},
		{"more", n(1), flags.PortWords{"1", "2"}, nil, 0, "-n 1 asks for 1 server, but -p names 2 ports"},
		{"some bad", nil, flags.PortWords{"x", "7", "70000", "7", "0"}, []uint16{7}, 4, ""},
		{"bad ones count for -n", n(2), flags.PortWords{"x", "7"}, []uint16{7}, 1, ""},
		{"all bad", nil, flags.PortWords{"x", "0"}, nil, 2, "no word behind -p is a port"},
		{"more than 1,024", nil, flags.PortWords{"1-1024", "2000"}, nil, 0, "more than 1,024 ports"},
	}
	for _, test := range tests {
		term, _, stderr := newTestTerminal(screen.ColorAuto)
		got, err := (&serveCmd{Number: test.number, Ports: test.words}).ports(term)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		if n := strings.Count(stderr.String(), "malcolm: warning: "); n != test.warnings {
			t.Errorf("%s: %d warnings, want %d: %s", test.name, n, test.warnings, stderr)
		}
		switch {
		case test.err == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.err != "" && (err == nil || err.Error() != test.err || exitCode(err) != exitUsage):
			t.Errorf("%s: got %v, want %q and exit code %d", test.name, err, test.err, exitUsage)
		}
	}
}

// TestBind: serve warns of a port that is taken, and binds the others.
func TestBind(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := uint16(taken.LocalAddr().(*net.UDPAddr).Port)
	c := &serveCmd{Bind: netip.MustParseAddr("127.0.0.1")}

	term, _, stderr := newTestTerminal(screen.ColorAuto)
	conns, tcp, err := c.listen(term, []uint16{port, 0})
	if err != nil || len(conns) != 1 || len(tcp) != 1 {
		t.Fatalf("got %d sockets of UDP, %d of TCP and %v, want one", len(conns), len(tcp), err)
	}
	free := conns[0].LocalAddr().(*net.UDPAddr).Port
	if got := tcp[0].Addr().(*net.TCPAddr).Port; got != free {
		t.Errorf("the port of TCP is %d, that of UDP is %d", got, free)
	}
	conns[0].Close()
	if want := "malcolm: warning: " + strconv.Itoa(int(port)) + ": in use by another program\n"; stderr.String() != want {
		t.Errorf("got %q, want %q", stderr, want)
	}
	if _, _, err := c.listen(term, []uint16{port}); exitCode(err) != exitNetwork {
		t.Errorf("none left: %v, exit code %d, want %d", err, exitCode(err), exitNetwork)
	}

	// The port of TCP is still taken.
	term, _, stderr = newTestTerminal(screen.ColorAuto)
	if conns, alone, err := c.listen(term, []uint16{uint16(free)}); err != nil || len(conns) != 1 || alone[0] != nil {
		t.Errorf("got %d sockets of UDP, TCP %v and %v, want UDP alone", len(conns), alone, err)
	} else {
		conns[0].Close()
	}
	if want := "malcolm: warning: TCP " + strconv.Itoa(free) + ": in use by another program; clients reach it over UDP only\n"; stderr.String() != want {
		t.Errorf("got %q, want %q", stderr, want)
	}
	tcp[0].Close()
	c.NoTCP = true
	if conns, none, err := c.listen(term, []uint16{0}); err != nil || len(none) != 0 {
		t.Errorf("without TCP: got %v and %v", none, err)
	} else {
		conns[0].Close()
	}
}

func TestBindReason(t *testing.T) {
	system := func(err syscall.Errno) error {
		return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}
	}
	for want, err := range map[string]error{
		"in use by another program":                                        system(syscall.EADDRINUSE),
		"no permission to listen on it (ports below 1024 need privileges)": system(syscall.EACCES),
		syscall.EADDRNOTAVAIL.Error():                                      system(syscall.EADDRNOTAVAIL),
		"odd":                                                              errors.New("odd"),
	} {
		if got := bindReason(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}
