package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// givenTo starts malcolm with sockets of a service manager, with their names.
// It is LISTEN_PID by way of a shell, as the manager's own child is.
func givenTo(t *testing.T, name, home, names string, sockets []*os.File, args ...string) *process {
	t.Helper()
	cmd := malcolmIn(home, args...)
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, cmd.Path}, args...)
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = sh
	cmd.ExtraFiles = sockets
	cmd.Env = append(cmd.Env, "LISTEN_FDS="+string(rune('0'+len(sockets))), "LISTEN_FDNAMES="+names)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return startProcess(t, name, cmd)
}

// fileOf returns the file of a socket, which is closed here.
func fileOf(t *testing.T, socket interface {
	io.Closer
	File() (*os.File, error)
}) *os.File {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	socket.Close()
	t.Cleanup(func() { f.Close() })
	return f
}

// managed are the sockets of a service manager for one virtual server.
func managed(t *testing.T) (udp, tcp *os.File, addr string) {
	t.Helper()
	for {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		addr = c.LocalAddr().String()
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addrOf(c.LocalAddr())))
		if err != nil { // somebody has it
			c.Close()
			continue
		}
		return fileOf(t, c), fileOf(t, ln), addr
	}
}

// listenLocal returns the socket of a service manager for TCP alone.
func listenLocal(t *testing.T) (f *os.File, addr string) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	return fileOf(t, ln), addr
}

// TestGivenSockets: serve listens on the sockets of the service manager, over
// UDP, TCP and HTTP, tells its metrics on one of them, and leaves out what the
// flags say of the same. A second serve on the same sockets goes on for clients
// of the first one, and for one that came in between.
func TestGivenSockets(t *testing.T) {
	home := t.TempDir()
	data := bytes.Repeat([]byte("some bytes "), mib/2)
	if err := os.WriteFile(filepath.Join(home, "data"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	udp, tcp, addr := managed(t)
	plain, plainAddr := listenLocal(t)
	metrics, metricsAddr := listenLocal(t)
	start := func(name string) *process {
		p := givenTo(t, name, home, "malcolm-serve.socket:https:http:metrics", []*os.File{udp, tcp, plain, metrics},
			"serve", "-f", "data", "-p", "1", "-i", "0", "--http", "1", "--metrics", "1")
		if _, err := p.await(readyLine); err != nil {
			t.Fatal(err)
		}
		return p
	}
	get := func(name string, flags ...string) *process {
		return startProcess(t, name, malcolmIn(home, append([]string{"get", "--name", name, addr}, flags...)...))
	}
	first := start("first")
	for name, want := range map[string]string{"http://" + plainAddr: "data", "http://" + metricsAddr + "/readyz": "ok"} {
		resp, err := http.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s says %q, %v", name, body, err)
		}
	}
	got := []*process{get("over-udp", "--transport", "quic"), get("over-tcp", "--transport", "tcp")}
	slow := get("slow", "--limit", "3M", "-i", "0.05")
	if _, err := slow.await(tenthDone); err != nil {
		t.Fatal(err)
	}
	first.cmd.Process.Signal(syscall.SIGTERM)
	if err := first.wait(); err != nil || first.code() != exitDone {
		t.Errorf("exit code %d, %v", first.code(), err)
	}
	between := get("between") // waits in the sockets
	start("second")
	for _, p := range append(got, slow, between) {
		if err := p.wait(); err != nil || p.code() != exitDone {
			t.Errorf("%s: exit code %d, %v\n%s", p.name, p.code(), err, p.stderr.String())
			continue
		}
		if copied, err := os.ReadFile(filepath.Join(home, p.name)); err != nil || !bytes.Equal(copied, data) {
			t.Errorf("%s: %d other bytes, %v", p.name, len(copied), err)
		}
	}
	table, err := readErrorTable()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(first.stderr.String()) {
		if err := table.check(strings.TrimSpace(line)); err != nil {
			t.Error(err)
		}
	}
	if said := first.stderr.String(); strings.Count(said, "left out: the service manager") != 3 {
		t.Errorf("said %s", said)
	}
}

// TestGivenSocketsWrong: what is no use ends serve with exit code 2.
func TestGivenSocketsWrong(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "data"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	udp, tcp, _ := managed(t)
	for _, each := range []struct {
		names string
		flags []string
		want  string
	}{
		{"tcp:udp", nil, `malcolm: error: the service manager's socket 3, "tcp": is for UDP: its unit needs ListenStream=`},
		{"udp:tcp:http", nil, `malcolm: error: the service manager's sockets: LISTEN_FDNAMES has 3 names for 2 sockets`},
		{"udp:tcp", []string{"--no-tcp"}, `malcolm: error: --no-tcp, but the service manager has opened sockets for TCP`},
	} {
		p := givenTo(t, "wrong", home, each.names, []*os.File{udp, tcp}, append([]string{"serve", "-f", "data"}, each.flags...)...)
		if err := p.wait(); err != nil || p.code() != exitUsage || !strings.Contains(p.stderr.String(), each.want) {
			t.Errorf("%s: exit code %d, %v\n%s", each.names, p.code(), err, p.stderr.String())
		}
	}
}
