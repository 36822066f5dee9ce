package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// handed puts descriptors of files where the manager would, far behind those of
// the test, and returns the sockets to open.
func handed(t *testing.T, files ...interface{ File() (*os.File, error) }) (all []Socket) {
	t.Helper()
	const first = 500
	for i, each := range files {
		f, err := each.File()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(f.Fd()), first+i, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		all = append(all, Socket{Number: first + i, Name: fmt.Sprint("n", i)})
	}
	return all
}

// fileOf is a file that is no socket.
type fileOf struct{ name string }

func (f fileOf) File() (*os.File, error) { return os.Open(f.name) }

// rawSocket is a socket of any kind, as it was made.
type rawSocket struct{ domain, kind int }

func (r rawSocket) File() (*os.File, error) {
	fd, err := unix.Socket(r.domain, r.kind, 0)
	return os.NewFile(uintptr(fd), "raw"), err
}

func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// TestSocketsOpen: sockets of both kinds are at the addresses of those that
// were handed over, and the descriptors themselves are closed.
func TestSocketsOpen(t *testing.T) {
	udp, tcp := listenUDP(t), listenTCP(t)
	all, err := open(handed(t, udp, tcp))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []net.Addr{udp.LocalAddr(), tcp.Addr()} {
		s := all[i]
		if s.Addr().String() != want.String() || s.Addr().Network() != want.Network() || s.Name != fmt.Sprint("n", i) {
			t.Errorf("got %s %s, want %s", s.Name, s.Addr(), want)
		}
		if _, err := unix.FcntlInt(uintptr(s.Number), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("descriptor %d is still open: %v", s.Number, err)
		}
		s.Close()
	}
	if _, ok := all[0].UDP.(*net.UDPConn); !ok {
		t.Errorf("UDP is a %T, of which nothing can be asked", all[0].UDP)
	}
}

// TestSocketsWrong: what is no use is said, and nothing is taken over.
func TestSocketsWrong(t *testing.T) {
	ln := listenTCP(t)
	client, err := net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	connected, err := net.DialUDP("udp", nil, listenUDP(t).LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprint("@malcolm-sockets-", os.Getpid()), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	for _, each := range []struct {
		file interface{ File() (*os.File, error) }
		want string
	}{
		{fileOf{os.DevNull}, "is no socket"},
		{client, "is a connection"},
		{connected, "is connected to one client"},
		{local, "is no socket for IP"},
		{rawSocket{unix.AF_INET, unix.SOCK_STREAM}, "does not listen"},
		{rawSocket{unix.AF_INET, unix.SOCK_DGRAM}, "is bound to no port"},
	} {
		all, err := open(handed(t, listenUDP(t), each.file))
		e, ok := errors.AsType[*SocketError](err)
		if !ok || all != nil || e.Number != 501 || e.Name != "n1" || !strings.Contains(err.Error(), each.want) {
			t.Errorf("got %v, want %q", err, each.want)
		}
	}
	if _, err := open([]Socket{{Number: 900}}); err == nil || !strings.Contains(err.Error(), "is not open") {
		t.Errorf("a descriptor that is not open: %v", err)
	}
}

// TestSocketsVariables: they are for one process, are unset, and what they say
// is checked.
func TestSocketsVariables(t *testing.T) {
	for _, each := range []struct {
		vars []string
		want string // in the error; empty: no error, and no socket
	}{
		{nil, ""},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=8"}, ""},
		{[]string{"LISTEN_FDS=1"}, ""},
		{[]string{"LISTEN_FDS=0", "LISTEN_PID=7"}, ""},
		{[]string{"LISTEN_FDS=many", "LISTEN_PID=7"}, `LISTEN_FDS="many" is no number`},
		{[]string{"LISTEN_FDS=-1", "LISTEN_PID=7"}, "is no number"},
		{[]string{"LISTEN_FDS=2", "LISTEN_PID=7", "LISTEN_FDNAMES=a:b:c"}, "3 names for 2 sockets"},
	} {
		var unset []string
		all, err := Sockets(env(each.vars...), func(name string) error { unset = append(unset, name); return nil }, 7)
		if len(all) != 0 || (err == nil) != (each.want == "") || err != nil && !strings.Contains(err.Error(), each.want) {
			t.Errorf("%q: %v, %v", each.vars, all, err)
		}
		if len(unset) != len(each.vars) {
			t.Errorf("%q: unset are %q", each.vars, unset)
		}
	}
}
