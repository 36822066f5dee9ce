//go:build unix

package systemd

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listen returns a socket at an address, and what finds the manager there.
func listen(t *testing.T, addr string, vars ...string) (*net.UnixConn, *Manager) {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	m, err := Find(env(append(vars, "NOTIFY_SOCKET="+addr)...), 7)
	if err != nil || m == nil {
		t.Fatalf("%v, %v", m, err)
	}
	t.Cleanup(m.Close)
	return c, m
}

func env(vars ...string) func(string) string {
	return func(name string) string {
		for _, v := range vars {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func next(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestNotify(t *testing.T) {
	dir, err := os.MkdirTemp("", "n") // a short path: a socket's name has 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	addrs := []string{filepath.Join(dir, "s")}
	if runtime.GOOS == "linux" {
		addrs = append(addrs, "@malcolm-test-"+strconv.Itoa(os.Getpid()))
	}
	for _, addr := range addrs {
		c, m := listen(t, addr)
		for want, say := range map[string]func(){
			"READY=1": m.Ready, "WATCHDOG=1": m.Alive, "STOPPING=1": m.Stopping,
			"STATUS=a b": func() { m.Status("a\nb") }, // no second line of somebody's own
			"STATUS=12 %\nEXTEND_TIMEOUT_USEC=30000000": func() { m.Starting("12 %", 30*time.Second) },
			"STATUS=" + strings.Repeat("é", 128):        func() { m.Status(strings.Repeat("é", 200)) },
		} {
			say()
			if got := next(t, c); got != want {
				t.Errorf("%s: got %q, want %q", addr, got, want)
			}
		}
		m.Reloading()
		lines := strings.Split(next(t, c), "\n")
		us, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "MONOTONIC_USEC="), 10, 64)
		if lines[0] != "RELOADING=1" || err != nil || runtime.GOOS == "linux" && us <= 0 {
			t.Errorf("got %q", lines)
		}
	}
}

// TestWithoutManager: nothing happens where nobody listens, and a manager that
// went away does no harm.
func TestWithoutManager(t *testing.T) {
	m, err := Find(env(), 7)
	if m != nil || err != nil {
		t.Errorf("found %v, %v", m, err)
	}
	m.Ready()
	m.Reloading()
	m.Close()
	if m.Watchdog() != 0 {
		t.Error("is watched")
	}
	if _, err := Find(env("NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "s")), 7); err == nil {
		t.Error("found nobody, without an error")
	}
	dir, err := os.MkdirTemp("", "n")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c, m := listen(t, filepath.Join(dir, "s"))
	c.Close()
	m.Ready()
}

func TestWatchdog(t *testing.T) {
	for _, each := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0},
		{"30000000", "", 30 * time.Second},
		{"30000000", "7", 30 * time.Second},
		{"30000000", "8", 0}, // another process is watched
		{"0", "7", 0},
		{"-5", "7", 0},
		{"soon", "7", 0},
		{"9223372036854775807", "7", 0},
	} {
		got := watchdogTime(env("WATCHDOG_USEC="+each.usec, "WATCHDOG_PID="+each.pid), 7)
		if got != each.want {
			t.Errorf("%q of %q: got %s, want %s", each.usec, each.pid, got, each.want)
		}
	}
}
