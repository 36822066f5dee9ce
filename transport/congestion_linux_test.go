package transport

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The congestion control of the socket is that of the connections that it
// accepts, and what the system refuses changes nothing.
func TestCongestion(t *testing.T) {
	t.Parallel()
	ln, err := OpenTCP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	before := Congestion(ln)
	if before == "" {
		t.Fatal("the system does not say what it uses")
	}
	if err := SetCongestion(ln, "nosuchcontrol"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown one: %v, want that there is none", err)
	}
	if err := SetCongestion(ln, strings.Repeat("x", 300)); err == nil {
		t.Error("a long name is accepted")
	}
	if got := Congestion(ln); got != before {
		t.Errorf("after a refusal it is %q, want %q", got, before)
	}
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
	if err != nil {
		t.Skip(err)
	}
	allowed := strings.Fields(string(text))
	i := slices.IndexFunc(allowed, func(name string) bool { return name != before })
	if i < 0 {
		t.Skip("the system has no other one")
	}
	if err := SetCongestion(ln, allowed[i]); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	raw, err := accepted.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got string
	_ = raw.Control(func(fd uintptr) { got, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) })
	if err != nil || got != allowed[i] {
		t.Errorf("an accepted connection sends with %q, %v, want %q", got, err, allowed[i])
	}
}

// Something else than a socket of the system has no congestion control.
func TestCongestionOfNoSocket(t *testing.T) {
	t.Parallel()
	ln := struct{ net.Listener }{}
	if got := Congestion(ln); got != "" {
		t.Errorf("it is %q, want none", got)
	}
	if err := SetCongestion(ln, "cubic"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("set: %v, want that it cannot be chosen", err)
	}
}
