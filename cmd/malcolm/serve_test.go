package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer"
	"malcolm/transport"
	"malcolm/wire"
)

func addrsOf(ports ...int) []net.Addr {
	var addrs []net.Addr
	for _, p := range ports {
		addrs = append(addrs, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p})
	}
	return addrs
}

func TestPortWords(t *testing.T) {
	tests := []struct {
		ports []int
		want  string
	}{
		{nil, ""},
		{[]int{9000}, "9000"},
		{[]int{10001, 10002, 10003, 10004}, "10001-10004"},
		{[]int{10004, 10002, 10003, 10001}, "10001-10004"},
		{[]int{10001, 10003}, "10001 10003"},
		{[]int{5, 1, 2, 9, 10}, "1-2 5 9-10"},
		{[]int{65535, 1}, "1 65535"},
	}
	for _, test := range tests {
		if got := portWords(addrsOf(test.ports...)); got != test.want {
			t.Errorf("%v: got %q, want %q", test.ports, got, test.want)
		}
		words, err := flags.ExpandPorts(strings.Fields(test.want))
		var back []int
		for _, w := range words {
			back = append(back, int(w.Port))
		}
		sorted := slices.Sorted(slices.Values(test.ports))
		if err != nil || !slices.Equal(back, sorted) {
			t.Errorf("%q is read as %v (%v), want %v", test.want, back, err, sorted)
		}
	}
}

func TestPortList(t *testing.T) {
	if got, want := portList(addrsOf(10002, 10001)), "10002 10001"; got != want {
		t.Errorf("got %q, want %q, in the order of the command line", got, want)
	}
}

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
		{"all bad", nil, flags.PortWords{"x", "0"}, nil, 2, "none of the words behind -p is a port"},
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

// TestBind: a port that is taken is warned of, and the others are bound.
func TestBind(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := uint16(taken.LocalAddr().(*net.UDPAddr).Port)
	c := &serveCmd{Bind: netip.MustParseAddr("127.0.0.1")}

	term, _, stderr := newTestTerminal(screen.ColorAuto)
	conns, err := c.listen(term, []uint16{port, 0})
	if err != nil || len(conns) != 1 {
		t.Fatalf("got %d sockets and %v, want one", len(conns), err)
	}
	conns[0].Close()
	if want := "malcolm: warning: " + strconv.Itoa(int(port)) + ": in use by another program\n"; stderr.String() != want {
		t.Errorf("got %q, want %q", stderr, want)
	}
	if _, err := c.listen(term, []uint16{port}); exitCode(err) != exitNetwork {
		t.Errorf("none left: %v, exit code %d, want %d", err, exitCode(err), exitNetwork)
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

func newTestServeView(t *testing.T) (v *serveView, said func() string) {
	t.Helper()
	t.Chdir(t.TempDir())
	term, out, stderr := newTestTerminal(screen.ColorAuto)
	t.Cleanup(func() {
		if out.Len() > 0 {
			t.Errorf("stdout %q, want nothing", out)
		}
	})
	v = &serveView{terminal: term, file: "data", name: "data", host: advertised{host: "127.0.0.1", reachable: true}, interval: time.Second}
	return v, func() string {
		defer stderr.Reset()
		return stderr.String()
	}
}

func TestPasteable(t *testing.T) {
	v, _ := newTestServeView(t)
	for file, want := range map[string]string{
		"data":        "mkdir -p copy && malcolm get -o copy -a 127.0.0.1 -r -p 1-2",
		"copy/data":   "mkdir -p copy2 && malcolm get -o copy2 -a 127.0.0.1 -r -p 1-2",
		"./copy/data": "mkdir -p copy2 && malcolm get -o copy2 -a 127.0.0.1 -r -p 1-2",
		"x/copy/data": "mkdir -p copy && malcolm get -o copy -a 127.0.0.1 -r -p 1-2",
	} {
		v.file = file
		if got := v.pasteable(addrsOf(2, 1)); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	v.host.host = "a b"
	if got := v.pasteable(addrsOf(1)); !strings.Contains(got, " -a 'a b' ") {
		t.Errorf("got %q, want the host quoted", got)
	}
}

func TestServeEvents(t *testing.T) {
	v, said := newTestServeView(t)
	v.event(transfer.Listening{Addrs: addrsOf(10001, 10002)})
	if got, want := said(), "listening on UDP 10001 10002; hashing data\n"; got != want {
		t.Errorf("listening: got %q, want %q", got, want)
	}
	ready := transfer.Ready{Name: "data", Offered: "data", Size: 2048, Checksum: sum9f, Addrs: addrsOf(10001, 10002)}
	v.event(ready)
	want := "data: 2.0 KiB, BLAKE3 " + human.Hex(sum9f) + "\nserver ID " + ready.ID.String() + "\n" +
		"to copy it: mkdir -p copy && malcolm get -o copy -a 127.0.0.1 -r -p 10001-10002\n" +
		"or, with nothing left to trust: malcolm get '" + ticketOf(ready, advertised{host: "127.0.0.1"}) + "'\n" +
		"anyone who can reach these ports can read data\n"
	if got := said(); got != want {
		t.Errorf("ready: got\n%swant\n%s", got, want)
	}
	v.event(ready)
	if got := said(); !strings.Contains(got, "the file has changed") || strings.Contains(got, "anyone") {
		t.Errorf("ready again: got %q, want that the file has changed, and the greeting only once", got)
	}
	v.event(transfer.Stopping{})
	if got := said(); got != "" {
		t.Errorf("stopping with nothing under way: got %q, want nothing", got)
	}
	v.event(transfer.Stopping{Ranges: 2})
	if got := said(); !strings.HasPrefix(got, "stopping: 2 requests may finish within 5 seconds; ^C again") {
		t.Errorf("stopping: got %q", got)
	}
	v.event(transfer.ServerFailed{Addr: addrsOf(10001)[0], Err: &transport.NetworkError{Kind: transport.SocketFailed, Err: fs.ErrClosed}})
	if got := said(); !strings.HasPrefix(got, "malcolm: warning: 10001: its socket failed: socket failed") {
		t.Errorf("a failed server: got %q", got)
	}
	v.event(transfer.ServerReopened{Addr: addrsOf(10001)[0]})
	if got := said(); got != "10001: listening again\n" {
		t.Errorf("a server that is back: got %q", got)
	}
}

// TestGreetingOfALink: an address of one link is pasted with an interface to be
// filled in, and has no ticket.
func TestGreetingOfALink(t *testing.T) {
	v, said := newTestServeView(t)
	v.host = (&serveCmd{Bind: netip.MustParseAddr("fe80::1%e0")}).host()
	v.event(transfer.Ready{Name: "data", Offered: "data", Addrs: addrsOf(1)})
	got := said()
	if !strings.Contains(got, " -a fe80::1%INTERFACE -r -p 1\n") || !strings.Contains(got, "INTERFACE stands for the network interface of") ||
		strings.Contains(got, "malcolm://") || strings.Contains(got, "%e0") {
		t.Errorf("got %q, want another interface than the server's", got)
	}
}

// TestGreetingWarns: of a name that is not offered, and of an address that
// leads nowhere.
func TestGreetingWarns(t *testing.T) {
	v, said := newTestServeView(t)
	v.host.reachable = false
	v.event(transfer.Ready{Name: "a\xffb", Addrs: addrsOf(1)})
	got := said()
	for _, want := range []string{"malcolm: warning: the name is over 230 bytes or not UTF-8", "works only on this machine; --advertise HOST", `$'a\377b'`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

// TestServeStatus: a line for each virtual server that changed, one for the
// total, and nothing when nothing changes.
func TestServeStatus(t *testing.T) {
	v, said := newTestServeView(t)
	start := time.Now()
	addrs := addrsOf(10001, 10002)
	status := func(sent int64, state transfer.State) transfer.Status {
		return transfer.Status{Indexed: true, Servers: []transfer.VirtualStatus{
			{Addr: addrs[0], State: state, Clients: 1, Ranges: 2, Sent: sent},
			{Addr: addrs[1], State: transfer.StateListening},
		}}
	}
	v.status(status(0, transfer.StateListening), start)
	if got := said(); strings.Count(got, "\n") != 3 {
		t.Errorf("the first time: got %q, want a line for each server and the total", got)
	}
	v.status(status(4<<20, transfer.StateServing), start.Add(2*time.Second))
	want := "10001  serving    1 client    2 ranges      4.0 MiB sent     2.0 MiB/s\n" +
		"total             1 client    2 ranges      4.0 MiB sent     2.0 MiB/s\n"
	if got := said(); got != want {
		t.Errorf("one has sent:\n%swant\n%s", got, want)
	}
	v.status(status(4<<20, transfer.StateServing), start.Add(4*time.Second))
	if got := said(); got != "" {
		t.Errorf("nothing changed: got %q, want nothing", got)
	}
	indexing := transfer.Status{Servers: status(4<<20, transfer.StateServing).Servers, Indexing: wire.Indexing{Done: 1024, Total: 2048}}
	v.status(indexing, start.Add(5*time.Second))
	if got := said(); !strings.HasPrefix(got, "hashing 1.0 KiB of 2.0 KiB, 50.0 %\ntotal ") {
		t.Errorf("hashing: got %q", got)
	}
}

// TestDebugShowsTheStack: with MALCOLM_DEBUG set a panic tells where it happened.
func TestDebugShowsTheStack(t *testing.T) {
	for value, want := range map[string]int{"": 1, "1": 2} {
		var stderr bytes.Buffer
		getenv := func(name string) string { return map[string]string{"MALCOLM_DEBUG": value}[name] }
		v := &serveView{terminal: newTerminal(system{stderr: &stderr, getenv: getenv}, screen.ColorNever)}
		v.event(transfer.Panicked{Client: addrsOf(10001)[0], Value: `"odd"`, Stack: []byte("goroutine 1\nmain.go:1")})
		if got := stderr.String(); strings.Count(got, "\n") != want || strings.Contains(got, "main.go") != (want == 2) {
			t.Errorf("MALCOLM_DEBUG=%s: got %q, want %d lines", value, got, want)
		}
	}
}
