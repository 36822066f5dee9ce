// Package systemd speaks with the service manager that started the program: how
// the service is (sd_notify(3)), that it is alive (sd_watchdog_enabled(3)), and
// which sockets are handed over (sd_listen_fds(3)).
//
// The protocol is a datagram of lines KEY=VALUE to a Unix socket, and a few
// variables of the environment. That is less code than a module for it, and
// needs no C. Other managers speak it too (s6, podman). Without such a manager
// every call does nothing.
package systemd

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// The lines that malcolm sends.
const (
	ready    = "READY=1"
	stopping = "STOPPING=1"
	watchdog = "WATCHDOG=1"
)

// longestStatus bounds a status, in bytes.
const longestStatus = 256

// A Manager is the program that started the service. A nil Manager listens to
// nothing. Any goroutine may call its methods.
type Manager struct {
	conn  net.Conn
	every time.Duration // see Watchdog
}

// Find returns the manager that the environment of the process pid names; nil:
// there is no manager. An error says that the environment names a manager that
// cannot be reached.
func Find(getenv func(string) string, pid int) (*Manager, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	// A leading @ is an abstract address, to Go as to systemd.
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return nil, err
	}
	return &Manager{conn: conn, every: watchdogTime(getenv, pid) / 2}, nil
}

// watchdogTime returns the time without a sign of life after which the manager
// ends the process; 0: it does not watch.
func watchdogTime(getenv func(string) string, pid int) time.Duration {
	if of := getenv("WATCHDOG_PID"); of != "" && of != strconv.Itoa(pid) {
		return 0
	}
	us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 || us > int64(time.Duration(1<<63-1)/time.Microsecond) {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// Watchdog returns how often [Manager.Alive] has to be called; 0: never.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.every
}

// Close lets go of the manager.
func (m *Manager) Close() {
	if m != nil {
		m.conn.Close()
	}
}

// Ready says that the service does what it is for.
func (m *Manager) Ready() { m.send(ready) }

// Alive says that the service is not stuck.
func (m *Manager) Alive() { m.send(watchdog) }

// Stopping says that the service has begun to end.
func (m *Manager) Stopping() { m.send(stopping) }

// Reloading says that the service reads its settings again. [Manager.Ready]
// says that it has.
func (m *Manager) Reloading() {
	if m != nil {
		m.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
	}
}

// Status says in a line what the service does.
func (m *Manager) Status(text string) { m.send(statusLine(text)) }

// Starting is Status before the service is ready. It asks the manager to wait
// for at least longer from now.
func (m *Manager) Starting(text string, longer time.Duration) {
	m.send(statusLine(text), "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(longer.Microseconds(), 10))
}

// statusLine makes one line of a text, which may hold another's words.
func statusLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > longestStatus {
		text = strings.ToValidUTF8(text[:longestStatus], "")
	}
	return "STATUS=" + text
}

// send sends lines. A lost one does no harm: the manager is told again, or does
// not listen.
func (m *Manager) send(lines ...string) {
	if m == nil {
		return
	}
	m.conn.SetWriteDeadline(time.Now().Add(time.Second))
	m.conn.Write([]byte(strings.Join(lines, "\n")))
}
