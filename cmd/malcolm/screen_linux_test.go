package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"malcolm/cmd/malcolm/screen/emulator"
)

// openPair returns both sides of a new pseudo-terminal of a size.
func openPair(t *testing.T, width, height int) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("this system gives no terminals: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("this system gives no terminals: %v", err)
	}
	return master, slave
}

// A watched is a program on a terminal, and all that it has written there.
type watched struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	ended  chan struct{} // closed when it has ended and all is read

	mu  sync.Mutex
	out bytes.Buffer
	new chan struct{} // receives when out grows
}

// onTerminal starts malcolm with stdin, stdout and stderr on a terminal.
func onTerminal(t *testing.T, home string, env []string, args ...string) *watched {
	t.Helper()
	return startOnTerminal(t, 80, malcolmIn(home, args...), env)
}

// startOnTerminal starts a command on a terminal of width columns.
func startOnTerminal(t *testing.T, width int, cmd *exec.Cmd, env []string) *watched {
	t.Helper()
	master, slave := openPair(t, width, 24)
	defer slave.Close()
	w := &watched{t: t, master: master, cmd: cmd, ended: make(chan struct{}), new: make(chan struct{}, 1)}
	w.cmd.Env = append(w.cmd.Env, append([]string{"TERM=xterm-256color", "LANG=C.UTF-8"}, env...)...)
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = slave, slave, slave
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.cmd.Process.Kill()
		<-w.ended
	})
	go func() {
		defer close(w.ended)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf) // EIO when nobody has the other side
			w.mu.Lock()
			w.out.Write(buf[:n])
			w.mu.Unlock()
			select {
			case w.new <- struct{}{}:
			default:
			}
			if err != nil {
				break
			}
		}
		w.cmd.Wait()
	}()
	return w
}

// malcolmIn is a command of this program with a home of its own.
func malcolmIn(home string, args ...string) *exec.Cmd {
	cmd := exec.Command("malcolm", args...)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "XDG_STATE_HOME=" + home, "XDG_CACHE_HOME=" + home, "PATH=" + os.Getenv("PATH"), "MALCOLM_LOG_TIME=never"}
	return cmd
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

// tail is the end of what was written.
func (w *watched) tail() string {
	text := w.text()
	return text[max(0, len(text)-2000):]
}

// await waits until the program has written text that matches.
func (w *watched) await(pattern string) {
	w.t.Helper()
	re, limit := regexp.MustCompile(pattern), time.After(hangTime)
	for !re.MatchString(w.text()) {
		select {
		case <-w.new:
		case <-w.ended:
			if !re.MatchString(w.text()) {
				w.t.Fatalf("it ended without %s:\n%q", pattern, w.tail())
			}
		case <-limit:
			w.t.Fatalf("it did not write %s:\n%q", pattern, w.tail())
		}
	}
}

func (w *watched) typed(keys string) {
	if _, err := io.WriteString(w.master, keys); err != nil {
		w.t.Error(err)
	}
}

// exits waits for the end, and returns the terminal's final state.
func (w *watched) exits(code int) *emulator.Terminal {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(hangTime):
		w.t.Fatalf("it did not end:\n%q", w.tail())
	}
	if got := w.cmd.ProcessState.ExitCode(); got != code {
		w.t.Errorf("exit code %d, want %d", got, code)
	}
	e := emulator.New(80, 24)
	e.Write([]byte(w.text()))
	if e.Hidden || len(e.Unknown) > 0 {
		w.t.Errorf("cursor hidden: %v; unknown sequences: %q", e.Hidden, e.Unknown)
	}
	if n := len(e.Tabs); n > 0 && e.Tabs[n-1] != "0" {
		w.t.Errorf("the tab was told %q, want it cleared at last", e.Tabs)
	}
	return e
}

// serveOnPipe serves a file of size bytes behind a pipe, and returns the port.
func serveOnPipe(t *testing.T, size int) (port string) {
	t.Helper()
	home := t.TempDir()
	file := filepath.Join(home, "data.bin")
	if err := os.WriteFile(file, bytes.Repeat([]byte("malcolm "), size/8), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := malcolmIn(home, "serve", "-f", file, "-n", "1", "-i", "0.1", "--bind", "127.0.0.1")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "WT_SESSION=1")
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ports, done := make(chan string, 1), make(chan struct{})
	var all bytes.Buffer
	go func() {
		defer close(done)
		listening := regexp.MustCompile(`listening on UDP(?: and TCP)? (\d+)`)
		told, buf := "", make([]byte, 4096)
		for {
			n, err := pipe.Read(buf)
			all.Write(buf[:n])
			if m := listening.FindStringSubmatch(all.String()); m != nil && len(told) == 0 {
				told = m[1]
				ports <- told
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-done
		cmd.Wait()
		if strings.Contains(all.String(), "\x1b") {
			t.Errorf("on a pipe there is an escape sequence: %q", all.String())
		}
	})
	select {
	case port = <-ports:
	case <-done:
		t.Fatalf("serve ended: %s", all.String())
	}
	return port
}

// TestInterruptRestoresTheTerminal: ^C leaves no trace. The cursor is shown,
// the tab cleared, and lines come below the one frame.
func TestInterruptRestoresTheTerminal(t *testing.T) {
	port := serveOnPipe(t, 8<<20)
	home := t.TempDir()
	get := onTerminal(t, home, []string{"WT_SESSION=1"}, "get", "127.0.0.1:"+port, "--limit", "1M", "--map", "-i", "0.1")
	get.await(`9;4;1;[1-9](?s:.*)serving`)
	get.typed("\x03")
	e := get.exits(130)
	if len(e.Tabs) < 2 {
		t.Errorf("the tab was told %q, want a percentage and the end", e.Tabs)
	}
	screen := e.Text()
	for _, want := range []string{"server", "127.0.0.1:" + port + "  serving", "\ninterrupted\nkept data.bin.part", "a cell is 1 chunk"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen lacks %q:\n%s", want, screen)
		}
	}
	if n := strings.Count(screen, "round trip"); n != 1 {
		t.Errorf("there are %d tables, want one:\n%s", n, screen)
	}
}

// TestDoneOnATerminal: the last frame stays and shows what was delivered. Tabs
// that do not show progress are not told of it.
func TestDoneOnATerminal(t *testing.T) {
	port := serveOnPipe(t, 4<<20)
	get := onTerminal(t, t.TempDir(), []string{"NO_COLOR=1"}, "get", "127.0.0.1:"+port, "--limit", "2M", "-i", "0.1")
	e := get.exits(exitDone)
	if len(e.Tabs) > 0 {
		t.Errorf("the tab was told %q", e.Tabs)
	}
	if want := "100.0 %"; !strings.Contains(e.Text(), want) || !strings.Contains(e.Text(), "\ndata.bin") {
		t.Errorf("the screen lacks %q or the path:\n%s", want, e.Text())
	}
	if regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(get.text()) {
		t.Errorf("with NO_COLOR there is colour: %q", get.text())
	}
}

// TestListOnATerminal: the paths of finished files stand above the bars, and no
// bar of a finished file stays.
func TestListOnATerminal(t *testing.T) {
	port := serveOnPipe(t, 2<<20)
	home := t.TempDir()
	var list strings.Builder
	for i := range 4 {
		fmt.Fprintf(&list, "127.0.0.1:%s\n  dir=copy%d/\n", port, i)
	}
	if err := os.WriteFile(filepath.Join(home, "list"), []byte(list.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	get := onTerminal(t, home, []string{"NO_COLOR=1"}, "get", "--input-file", "list", "-j", "2", "--limit", "4M")
	text := get.exits(exitDone).Text()
	if strings.Count(text, "\"data.bin\"") > 0 || strings.Count(text, "\ncopy") != 4 || strings.Count(text, "█") == 0 {
		t.Errorf("the screen is\n%s\nwant four paths and the bar of all files", text)
	}
}

// TestServeOnATerminal: one table is drawn again and again, and stays.
func TestServeOnATerminal(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "data.bin")
	if err := os.WriteFile(file, []byte("malcolm"), 0o644); err != nil {
		t.Fatal(err)
	}
	serve := onTerminal(t, home, nil, "serve", "-f", file, "-n", "3", "--bind", "127.0.0.1")
	serve.await("packets lost(?s:.*)listening")
	serve.typed("\x03")
	screen := serve.exits(exitDone).Text()
	if strings.Count(screen, "packets lost") != 1 || strings.Count(screen, "  stopped") != 3 {
		t.Errorf("the screen is\n%s\nwant one table of three servers that are stopped", screen)
	}
}

// TestDumbTerminal: an unknown terminal gets lines.
func TestDumbTerminal(t *testing.T) {
	port := serveOnPipe(t, 2<<20)
	get := onTerminal(t, t.TempDir(), []string{"TERM=dumb"}, "get", "127.0.0.1:"+port, "--limit", "2M", "-i", "0.1")
	get.exits(exitDone)
	if text := get.text(); strings.Contains(text, "\x1b") || !strings.Contains(text, "total  ") {
		t.Errorf("the terminal got %q, want lines without escapes", text)
	}
}

// TestBackgroundOnATerminal: a program in the background writes its lines, but
// does not draw over the shell's prompt.
func TestBackgroundOnATerminal(t *testing.T) {
	port := serveOnPipe(t, 2<<20)
	cmd := malcolmIn(t.TempDir())
	cmd.Path, cmd.Args, cmd.Err = "/bin/sh", []string{"sh", "-c", "set -m; malcolm get 127.0.0.1:" + port + " --limit 2M -i 0.1 & wait $!"}, nil
	shell := startOnTerminal(t, 80, cmd, []string{"NO_COLOR=1"})
	shell.exits(exitDone)
	if text := shell.text(); strings.Contains(text, "\x1b") || !strings.Contains(text, "getting \"data.bin\"") {
		t.Errorf("the terminal got %q, want what is said and no frame", text)
	}
}

// TestStoppedTerminal: ^S stops the display, not the work.
func TestStoppedTerminal(t *testing.T) {
	port := serveOnPipe(t, 4<<20)
	home := t.TempDir()
	get := onTerminal(t, home, nil, "get", "127.0.0.1:"+port, "--limit", "2M", "-i", "0.1")
	get.await(`[1-9][0-9.]* %(?s:.*)[1-9][0-9.]* %`)
	get.typed("\x13")
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(home, "data.bin")); err == nil {
			break
		}
		if time.Since(begun) > hangTime {
			t.Fatal("the file does not come while the terminal is stopped")
		}
	}
	if strings.Contains(get.text(), "100.0 %") {
		t.Fatal("the terminal is not stopped")
	}
	get.typed("\x11")
	if screen := get.exits(exitDone).Text(); !strings.Contains(screen, "100.0 %") || strings.Count(screen, "round trip") != 1 {
		t.Errorf("when the terminal goes on, it shows\n%s\nwant one table and the end", screen)
	}
}

// TestSignalOnAStoppedTerminal: the end does not wait for ^Q.
func TestSignalOnAStoppedTerminal(t *testing.T) {
	port := serveOnPipe(t, 4<<20)
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		get := onTerminal(t, t.TempDir(), nil, "get", "127.0.0.1:"+port, "--limit", "256K", "-i", "0.1")
		get.await(`[1-9][0-9.]* %(?s:.*)[1-9][0-9.]* %`)
		get.typed("\x13")
		if err := get.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		select {
		case <-get.ended:
		case <-time.After(hangTime):
			t.Fatalf("%v: it did not end", signal)
		}
		if got := get.cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
	}
}
