package main

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"malcolm/cmd/malcolm/screen/emulator"
)

// A session on a terminal, for the README: `just session` writes it.

var sessionFlag = flag.String("session", "", "the README, by its absolute path, to write a session into")

// These lines of the README enclose the session.
const (
	sessionBegin = "<!-- session: written by `just session` -->\n```text\n"
	sessionEnd   = "```\n<!-- /session -->\n"

	sessionSize  = 96 << 20
	sessionWidth = 100
)

// TestSession writes a session into the README if asked to. Else it fails when
// the session there shows what is no longer drawn.
func TestSession(t *testing.T) {
	path := "../../README.md"
	if *sessionFlag != "" {
		path = *sessionFlag
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), sessionBegin)
	session, after, ended := strings.Cut(rest, sessionEnd)
	if !ok || !ended {
		t.Fatal("the README has no place for a session")
	}
	if *sessionFlag != "" {
		if err := os.WriteFile(path, []byte(before+sessionBegin+takeSession(t)+sessionEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, want := range []string{"a cell is", "\nmalcolm: warning: lost ", "100.0 %", "\ncopy/data.bin\n"} {
		if !strings.Contains(session, want) {
			t.Errorf("the README's session lacks %q: run just session", want)
		}
	}
}

// takeSession copies a file from three servers of two hosts, one of which is
// killed. It returns the terminal's content soon after that and at the end.
func takeSession(t *testing.T) string {
	home := t.TempDir()
	data := make([]byte, sessionSize)
	rand.NewChaCha8([32]byte{1}).Read(data)
	file := filepath.Join(home, "data.bin")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	sessionServer(t, file, "--bind", "127.0.0.1", "-p", "10001-10002")
	victim := sessionServer(t, file, "--bind", "127.0.0.2", "-p", "10001")
	if err := os.Mkdir(filepath.Join(home, "copy"), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"get", "-o", "copy", "--map", "127.0.0.1:10001-10002", "127.0.0.2:10001"}
	get := startOnTerminal(t, sessionWidth, malcolmIn(home, append(args, "--limit", "16M", "-i", "0.2")...), []string{"NO_COLOR=1"})
	get.await(` 3\d\.\d %`)
	victim.Process.Kill()
	get.await(`127.0.0.2:10001  lost (?s:.*)\d\.\d %(?s:.*)127.0.0.2:10001  lost (?s:.*)\d\.\d %`)
	frames := get.text()
	frames = frames[:strings.LastIndex(frames, "\x1b[?25h")]
	get.exits(exitDone)
	command := "$ malcolm " + strings.Join(args, " ") + "\n"
	_, end, ok := strings.Cut(sessionScreen(get.text()), "which take its work\n") // what is above is as before
	if !ok {
		t.Fatalf("the screen is\n%s", end)
	}
	return command + sessionScreen(frames) + "\n        … and in the end:\n\n" + end
}

// sessionServer starts a server with an identity of its own.
func sessionServer(t *testing.T, file string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := malcolmIn(t.TempDir(), append([]string{"serve", "-f", file}, args...)...)
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	buf := make([]byte, 64)
	if _, err := pipe.Read(buf); err != nil { // "listening on …": clients may ask
		t.Fatal(err)
	}
	go func() {
		for err == nil {
			_, err = pipe.Read(buf)
		}
	}()
	return cmd
}

// sessionScreen is the content of a terminal that wraps no line.
func sessionScreen(text string) string {
	e := emulator.New(1000, 100)
	e.Write([]byte(text))
	return e.Text() + "\n"
}
