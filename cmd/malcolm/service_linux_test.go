package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tenthDone matches what get says when it has some of a file.
var tenthDone = regexp.MustCompile(`(?m)^total  ([1-9][0-9]\.[0-9]) %`)

// A manager hears what a service says, in a test.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := fmt.Sprintf("@malcolm-service-%d-%s", os.Getpid(), t.Name())
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &manager{t: t, conn: c, path: path}
}

// await returns the next message that has a line which a pattern matches.
func (m *manager) await(pattern string) string {
	m.t.Helper()
	want := regexp.MustCompile("(?m)^" + pattern + "$")
	m.conn.SetReadDeadline(time.Now().Add(hangTime))
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			m.t.Fatalf("%s is not said: %v", pattern, err)
		}
		if want.Match(b[:n]) {
			return string(b[:n])
		}
	}
}

// TestService: serve tells its manager how it is, SIGHUP has it offer what its
// config file names by then without dropping the client of before, a config
// file that is wrong changes nothing, and SIGTERM ends it in order.
func TestService(t *testing.T) {
	home, manager := t.TempDir(), newManager(t)
	path := func(name string) string { return filepath.Join(home, name) }
	write := func(name string, data []byte) {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := bytes.Repeat([]byte("first "), mib)
	write("a", data)
	write("b", []byte("second"))
	offers := func(names string) { write("config.toml", []byte("[serve]\nfile = ["+names+"]\n")) }
	offers(`"a"`)
	cmd := malcolmIn(home, "serve", "--config", path("config.toml"), "-n", "1", "--bind", "127.0.0.1", "-i", "0")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+manager.path, "WATCHDOG_USEC=200000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	serve := startProcess(t, "serve", cmd)
	m, err := serve.await(listeningLine)
	if err != nil {
		t.Fatal(err)
	}
	manager.await("READY=1")
	manager.await("WATCHDOG=1")
	manager.await("STATUS=offered, .*")

	hangUp := func() { cmd.Process.Signal(syscall.SIGHUP) }
	get := func(name string, flags ...string) *process {
		return startProcess(t, name, malcolmIn(home, append([]string{"get", "--name", name, "127.0.0.1:" + m[1]}, flags...)...))
	}
	slow := get("slow", "--limit", "3M", "-i", "0.05")
	if _, err := slow.await(tenthDone); err != nil {
		t.Fatal(err)
	}
	offers(`"absent"`)
	hangUp()
	manager.await("RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*")
	manager.await("READY=1")
	manager.await("STATUS=.*, the last reload failed: see the log")
	offers(`"b"`)
	hangUp()
	manager.await("RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*")
	if _, err := serve.await(regexp.MustCompile(`the file has changed: this version is offered from now on`)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"quick": []byte("second"), "slow": data} {
		p := slow
		if name == "quick" {
			p = get(name)
		}
		if err := p.wait(); err != nil || p.code() != exitDone || strings.Contains(p.stderr.String(), "lost") {
			t.Errorf("%s: exit code %d, %v\n%s", name, p.code(), err, p.stderr.String())
		}
		if got, err := os.ReadFile(path(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d other bytes, %v", name, len(got), err)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	manager.await("STOPPING=1")
	if err := serve.wait(); err != nil || serve.code() != exitDone {
		t.Errorf("exit code %d, %v", serve.code(), err)
	}
	if said := serve.stderr.String(); !strings.Contains(said, "not reloaded, all stays as it was: ") || strings.Count(said, "\nreloaded\n") != 1 {
		t.Errorf("said %s", said)
	}
}

// TestReloadAgain: a directory that could not be scanned when it was to take
// the place of another one is scanned at the next SIGHUP, though the config
// file says the same as before.
func TestReloadAgain(t *testing.T) {
	home := t.TempDir()
	path := func(name string) string { return filepath.Join(home, name) }
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(path(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a/file", "first")
	offers := func(name string) { write("config.toml", "[serve]\nfile = \""+name+"\"\n") }
	offers("a")
	cmd := malcolmIn(home, "serve", "--config", path("config.toml"), "-n", "1", "--bind", "127.0.0.1", "-i", "0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	serve := startProcess(t, "serve", cmd)
	if _, err := serve.await(listeningLine); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path("b"), 0o700); err != nil {
		t.Fatal(err)
	}
	offers("b")
	cmd.Process.Signal(syscall.SIGHUP)
	if _, err := serve.await(regexp.MustCompile(`is an empty directory; the old one stays`)); err != nil {
		t.Fatal(err)
	}
	write("b/file", "second")
	cmd.Process.Signal(syscall.SIGHUP)
	if _, err := serve.await(regexp.MustCompile(`has changed: this version is offered from now on`)); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := serve.wait(); err != nil || serve.code() != exitDone {
		t.Errorf("exit code %d, %v", serve.code(), err)
	}
}
