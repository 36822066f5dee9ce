//go:build crash && unix

package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"malcolm/cmd/malcolm/human"
)

const (
	treeSmall = 600 // files of up to 64 KiB
	treeLarge = 6   // files of some MiB
)

// crashTree makes the directory that is served, and returns its size in bytes.
func crashTree(t *testing.T) (path string, size int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "data")
	rng, bytes := rand.New(rand.NewPCG(1, 1)), rand.NewChaCha8([32]byte{2})
	write := func(name string, n int, mode fs.FileMode) {
		b := make([]byte, n)
		bytes.Read(b)
		name = filepath.Join(path, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, mode); err != nil {
			t.Fatal(err)
		}
		size += int64(n)
	}
	for i := range treeSmall {
		write(fmt.Sprintf("%d/%d/small", i%7, i), rng.IntN(64<<10), 0o666)
	}
	for i := range treeLarge {
		write(fmt.Sprintf("large/%d", i), 4<<20+i, 0o777)
	}
	for _, err := range []error{
		os.Mkdir(filepath.Join(path, "empty"), 0o777),
		os.Symlink("../1/1/small", filepath.Join(path, "large", "link")),
		os.WriteFile(filepath.Join(path, "none"), nil, 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return path, size
}

// sameTrees demands two directories with the same in them.
func sameTrees(t *testing.T, got, want string) {
	t.Helper()
	for _, pair := range [][2]string{{got, want}, {want, got}} {
		err := filepath.WalkDir(pair[0], func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(pair[0], path)
			if err != nil {
				return err
			}
			return sameEntries(path, filepath.Join(pair[1], rel), d.Type())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func sameEntries(a, b string, kind fs.FileMode) error {
	info, err := os.Lstat(b)
	if err != nil {
		return err
	}
	if info.Mode().Type() != kind {
		return fmt.Errorf("%s is %v, and %s %v", a, kind, b, info.Mode().Type())
	}
	read := func(path string) (string, error) {
		switch kind {
		case fs.ModeDir:
			return "", nil
		case fs.ModeSymlink:
			return os.Readlink(path)
		}
		content, err := os.ReadFile(path)
		return string(content), err
	}
	x, err := read(a)
	if err != nil {
		return err
	}
	if y, err := read(b); err != nil || x != y {
		return fmt.Errorf("%s and %s differ: %v", a, b, err)
	}
	return nil
}

// A run that copies a directory is killed at a random moment. The next one ends
// with the right directory, and fetches only what was not durable or under way.
func TestCrashKillTree(t *testing.T) {
	rng := crashRand(t)
	path, size := crashTree(t)
	for i := range max(*crashKills/4, 1) {
		moment := 5 + rng.Float64()*85
		t.Run(fmt.Sprintf("%03d_at_%.1f", i, moment), func(t *testing.T) {
			t.Parallel()
			for !killTreeAt(t, path, size, moment) {
			}
		})
	}
}

// killTreeAt is killAt for a directory.
func killTreeAt(t *testing.T, path string, size int64, moment float64) bool {
	server, targets := serveCrash(t, path)
	dir := t.TempDir()
	get := getCrash(t, dir, targets, "-i", "0.02", "--limit", strconv.Itoa(crashLimit))
	get.awaitPercent(t, moment)
	get.cmd.Process.Kill()
	<-get.done
	if get.percent() > 95 {
		return false
	}
	if get.code() != -1 {
		t.Fatalf("exit code %d, want the end by a signal", get.code())
	}
	target := filepath.Join(dir, "data")
	if _, err := os.Lstat(target); !os.IsNotExist(err) {
		t.Fatalf("something has the final name: %v", err)
	}
	again := getCrash(t, dir, targets, "-r", "-i", "0")
	again.ends(t, exitDone)
	sameTrees(t, target, path)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("beside it is left: %v, %v", left, err)
	}
	server.cmd.Process.Signal(syscall.SIGINT)
	server.ends(t, exitDone)
	if overhead := sentBy(t, server) - size; overhead > crashUnsynced+crashFlight {
		t.Errorf("%s were sent twice or wasted, want at most %s", human.Bytes(overhead), human.Bytes(crashUnsynced+crashFlight))
	}
	return true
}
