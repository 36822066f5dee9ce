package main

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"malcolm/cmd/malcolm/screen/emulator"
)

// A session on a terminal, as a picture for the README: `just session` draws
// it.

var sessionFlag = flag.Bool("session", false, "draw session.svg anew, from real processes")

const (
	sessionPicture = "session.svg"
	sessionSize    = 96 << 20
	sessionWidth   = 100
	sessionHeight  = 24
	sessionStep    = 300 * time.Millisecond // between two frames
	sessionRest    = 5 * time.Second        // after the last one
)

// TestSession draws a session if asked to. Else it fails when the picture shows
// what is no longer drawn.
func TestSession(t *testing.T) {
	if *sessionFlag {
		if err := os.WriteFile(sessionPicture, []byte(takeSession(t)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	picture, err := os.ReadFile(sessionPicture)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a cell is", "warning:", "lost 127.0.0.2:10001: ", "has another file", ">100.0 %", ">copy/data.bin<"} {
		if !strings.Contains(string(picture), want) {
			t.Errorf("the session lacks %q: run just session", want)
		}
	}
}

// takeSession copies a file from four servers of three hosts. One of them has
// another file, and one is killed. It returns the picture.
func takeSession(t *testing.T) string {
	home := t.TempDir()
	data := make([]byte, sessionSize)
	rand.NewChaCha8([32]byte{1}).Read(data)
	file, other := filepath.Join(home, "data.bin"), filepath.Join(t.TempDir(), "data.bin")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(other, data, 0o644); err != nil {
		t.Fatal(err)
	}
	sessionServer(t, file, "--bind", "127.0.0.1", "-p", "10001-10002")
	victim := sessionServer(t, file, "--bind", "127.0.0.2", "-p", "10001")
	sessionServer(t, other, "--bind", "127.0.0.3", "-p", "10001")
	if err := os.Mkdir(filepath.Join(home, "copy"), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"get", "-o", "copy", "--map", "127.0.0.1:10001-10002", "127.0.0.2:10001", "127.0.0.3:10001"}
	shown := malcolmIn(home, append(args, "--limit", "16M", "-i", "0.2")...)
	get := startOnTerminal(t, sessionWidth, shown, nil)
	recording := emulator.NewRecording(sessionWidth, sessionHeight)
	begun := time.Now()
	frame := func() {
		e := emulator.New(sessionWidth, sessionHeight)
		e.Write([]byte("\x1b[1m$ malcolm " + strings.Join(args, " ") + "\x1b[22m\r\n" + get.text()))
		recording.Add(time.Since(begun), e)
	}
	tick := time.NewTicker(sessionStep)
	defer tick.Stop()
	for running := true; running; frame() {
		select {
		case <-get.ended:
			running = false
		case <-tick.C:
			if victim != nil && strings.Contains(get.text(), " 3") && time.Since(begun) > 3*time.Second {
				victim.Process.Kill()
				victim = nil
			}
		}
	}
	get.exits(exitDone)
	return recording.SVG(sessionRest)
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
