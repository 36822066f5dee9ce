package view

import (
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/serve"
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

func newTestServeView(t *testing.T) (v *serveText, said func() string) {
	t.Helper()
	t.Chdir(t.TempDir())
	term, out, stderr := newTestTerminal()
	t.Cleanup(func() {
		if out.Len() > 0 {
			t.Errorf("stdout %q, want nothing", out)
		}
	})
	v = &serveText{Terminal: term, offer: Offer{Interval: time.Second}, file: newShownFile("data"), host: advertised{host: "127.0.0.1", reachable: true}}
	return v, func() string {
		defer stderr.Reset()
		return stderr.String()
	}
}

func TestPasteable(t *testing.T) {
	v, _ := newTestServeView(t)
	for file, want := range map[string]string{
		"data":        "malcolm get -o copy/ -a 127.0.0.1 -r -p 1-2",
		"copy/data":   "malcolm get -o copy2/ -a 127.0.0.1 -r -p 1-2",
		"./copy/data": "malcolm get -o copy2/ -a 127.0.0.1 -r -p 1-2",
		"x/copy/data": "malcolm get -o copy/ -a 127.0.0.1 -r -p 1-2",
	} {
		v.file = newShownFile(file)
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
	for want, tcp := range map[string][]net.Addr{
		"listening on UDP 10001 10002; hashing data\n":               {},
		"listening on UDP 10001 10002 and TCP 10002; hashing data\n": {&net.TCPAddr{Port: 10002}},
		"listening on UDP and TCP 10001 10002; hashing data\n":       {&net.TCPAddr{Port: 10001}, &net.TCPAddr{Port: 10002}},
	} {
		v.event(serve.Listening{Addrs: addrsOf(10001, 10002), TCP: tcp})
		if got := said(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	ready := serve.Ready{Name: "data", Offered: "data", Size: 2048, Checksum: sum9f, Addrs: addrsOf(10001, 10002)}
	v.event(ready)
	want := "data: 2.0 KiB, BLAKE3 " + human.Hex(sum9f) + "\nserver ID " + ready.ID.String() + "\n" +
		"to copy it: malcolm get -o copy/ -a 127.0.0.1 -r -p 10001-10002\n" +
		"or, with nothing left to trust: malcolm get '" + ticketOf(ready, advertised{host: "127.0.0.1"}) + "'\n" +
		"anyone who can reach these ports can read data\n"
	if got := said(); got != want {
		t.Errorf("ready: got\n%swant\n%s", got, want)
	}
	v.event(ready)
	if got := said(); !strings.Contains(got, "the file has changed") || strings.Contains(got, "anyone") {
		t.Errorf("ready again: got %q, want that the file has changed, and the greeting only once", got)
	}
	v.event(serve.Stopping{})
	if got := said(); got != "" {
		t.Errorf("stopping with nothing under way: got %q, want nothing", got)
	}
	v.event(serve.Stopping{Requests: 2, Within: 5 * time.Second})
	if got := said(); !strings.HasPrefix(got, "stopping: 2 requests may finish within 5s; ^C again") {
		t.Errorf("stopping: got %q", got)
	}
	v.event(serve.ServerFailed{Addr: addrsOf(10001)[0], Err: &transport.NetworkError{Kind: transport.SocketFailed, Err: fs.ErrClosed}})
	if got := said(); !strings.HasPrefix(got, "malcolm: warning: 10001: its socket failed: socket failed") {
		t.Errorf("a failed server: got %q", got)
	}
	v.event(serve.ServerFailed{Addr: &net.TCPAddr{Port: 10001}, Err: fs.ErrClosed})
	if got := said(); !strings.HasPrefix(got, "malcolm: warning: TCP 10001: its socket failed: ") {
		t.Errorf("a failed TCP socket: got %q", got)
	}
	v.event(serve.ServerReopened{Addr: addrsOf(10001)[0]})
	if got := said(); got != "10001: listening again\n" {
		t.Errorf("a server that is back: got %q", got)
	}
}

// TestGreetingOfALink: a link-local address is pasted with an interface to fill
// in, and has no ticket.
func TestGreetingOfALink(t *testing.T) {
	v, said := newTestServeView(t)
	v.host = hostOf(netip.MustParseAddr("fe80::1%e0"), "")
	v.event(serve.Ready{Name: "data", Offered: "data", Addrs: addrsOf(1)})
	got := said()
	if !strings.Contains(got, " -a fe80::1%INTERFACE -r -p 1\n") || !strings.Contains(got, "INTERFACE stands for the network interface of") ||
		strings.Contains(got, "malcolm://") || strings.Contains(got, "%e0") {
		t.Errorf("got %q, want another interface than the server's", got)
	}
}

// TestGreetingWarns: of a name that is not offered, and of an address that
// nobody can reach.
func TestGreetingWarns(t *testing.T) {
	v, said := newTestServeView(t)
	v.host.reachable = false
	v.event(serve.Ready{Name: "a\xffb", Addrs: addrsOf(1)})
	got := said()
	for _, want := range []string{"malcolm: warning: the name is over 230 bytes or not UTF-8", "works only on this machine; --advertise HOST", `$'a\377b'`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

// TestServeStatus: one line for each virtual server that changed and one for
// the total; nothing when nothing changes.
func TestServeStatus(t *testing.T) {
	v, said := newTestServeView(t)
	start := time.Now()
	addrs := addrsOf(10001, 10002)
	status := func(sent int64, state serve.State) serve.Status {
		return serve.Status{Indexed: true, Servers: []serve.VirtualStatus{
			{Addr: addrs[0], State: state, Clients: 1, Ranges: 2, Sent: sent},
			{Addr: addrs[1], State: serve.StateListening},
		}}
	}
	v.status(status(0, serve.StateListening), start)
	if got := said(); strings.Count(got, "\n") != 3 {
		t.Errorf("the first time: got %q, want a line for each server and the total", got)
	}
	v.status(status(4<<20, serve.StateServing), start.Add(2*time.Second))
	want := "10001  serving    1 client    2 ranges      4.0 MiB sent     2.0 MiB/s\n" +
		"total             1 client    2 ranges      4.0 MiB sent     2.0 MiB/s\n"
	if got := said(); got != want {
		t.Errorf("one has sent:\n%swant\n%s", got, want)
	}
	v.status(status(4<<20, serve.StateServing), start.Add(4*time.Second))
	if got := said(); got != "" {
		t.Errorf("nothing changed: got %q, want nothing", got)
	}
	indexing := serve.Status{Servers: status(4<<20, serve.StateServing).Servers, Hashing: serve.Hashing{Indexing: wire.Indexing{Done: 1024, Total: 2048}}}
	v.status(indexing, start.Add(5*time.Second))
	if got := said(); !strings.HasPrefix(got, "hashing 1.0 KiB of 2.0 KiB, 50.0 %\ntotal ") {
		t.Errorf("hashing: got %q", got)
	}
}

// TestDebugShowsTheStack: with debugging on, a panic shows where it happened.
func TestDebugShowsTheStack(t *testing.T) {
	for debug, want := range map[bool]int{false: 1, true: 2} {
		term, _, stderr := newTestTerminal()
		term.Debug = debug
		NewServe(term, Offer{File: "data"}).Event(serve.Panicked{Client: addrsOf(10001)[0], Value: `"odd"`, Stack: []byte("goroutine 1\nmain.go:1")})
		if got := stderr.String(); strings.Count(got, "\n") != want || strings.Contains(got, "main.go") != debug {
			t.Errorf("debug %t: got %q, want %d lines", debug, got, want)
		}
	}
}

// TestNextFile: another file is shown once it is offered, and not if it never
// is.
func TestNextFile(t *testing.T) {
	s := Serve{file: newShownFile("/srv/old")}
	for _, step := range []struct {
		next string
		e    serve.Event
		want string
	}{
		{"/srv/gone", serve.Unreadable{}, "/srv/old"},
		{"/srv/gone", serve.Unreadable{Kept: true}, "/srv/old"},
		{"", serve.Ready{}, "/srv/old"},
		{"/srv/new", serve.Ready{}, "/srv/new"},
		{"", serve.Ready{}, "/srv/new"},
	} {
		s.Next(step.next)
		s.file.event(step.e)
		if got := s.file.String(); got != step.want {
			t.Errorf("%+v: got %q, want %q", step, got, step.want)
		}
	}
}
