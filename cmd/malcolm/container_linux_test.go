package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// container makes a control group, of the first or second version, with a
// memory limit in bytes. It skips the test where that is not possible.
func container(t *testing.T, limit int64) (dir string) {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		top, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		switch {
		case len(fields) != 3 || fields[1] != "memory" && fields[1] != "":
			continue
		case fields[1] == "":
			top, file = "/sys/fs/cgroup", "memory.max"
		}
		dir := filepath.Join(top, fields[2], "malcolm-test-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(limit, 10)), 0o644); err == nil {
			return dir
		}
	}
	t.Skip("no control group with a memory limit can be made here")
	return ""
}

// inside runs a command in a control group.
func inside(dir string, cmd *exec.Cmd) *exec.Cmd {
	wrapped := exec.Command("sh", append([]string{"-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(dir, "cgroup.procs"), cmd.Path}, cmd.Args[1:]...)...)
	wrapped.Env, wrapped.Dir = cmd.Env, cmd.Dir
	return wrapped
}

// A container of 64 MiB is enough for serve while two clients copy a file over
// all the connections that they may have.
func TestServeInASmallContainer(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs more memory than the container has")
	}
	const size = 128 * mib
	dir := container(t, 64*mib)
	data := make([]byte, size)
	rand.Read(data)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	serve := startProcess(t, "serve", inside(dir, malcolmIn(t.TempDir(), "serve", "-f", path, "-n", "1", "--bind", "127.0.0.1", "-i", "0")))
	m, err := serve.await(listeningLine)
	if err == nil {
		_, err = serve.await(readyLine)
	}
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{t.TempDir(), t.TempDir()}
	var gets []*process
	for i, dir := range dirs {
		gets = append(gets, startProcess(t, fmt.Sprintf("get %d", i), malcolmIn(dir, "get", "-i", "0", "--connections", "64", "127.0.0.1:"+m[1])))
	}
	for i, get := range gets {
		if err := get.wait(); err != nil || get.code() != exitDone {
			t.Fatalf("client %d: exit code %d, %v", i, get.code(), err)
		}
		if got, err := os.ReadFile(filepath.Join(dirs[i], "data")); err != nil || !bytes.Equal(got, data) {
			t.Errorf("client %d has other bytes, %v", i, err)
		}
	}
	now, ok := serve.memory()
	if !ok {
		t.Fatal("serve was ended")
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		t.Fatal("there was no container")
	}
	t.Logf("serve had %d MiB", now.resident/mib)
}
