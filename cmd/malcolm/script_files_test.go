package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"lukechampine.com/blake3"
)

// The commands of scripts about files:
//
//	bytes FILE SIZE [SEED]  make a file of SIZE bytes ("256K-1", "3M"), the same ones for the same SEED
//	flip FILE OFFSET        flip a bit of one byte
//	hardlink FILE NAME      another name for FILE
//	cmpfile FILE FILE       demand equal bytes
//	name VAR TEXT           set VAR to TEXT, read as the inside of a Go string; "a*230" is 230 times "a"
//	b3sum VAR FILE          set VAR to the file's BLAKE3

// scriptSignals are the signals that scripts may send.
var scriptSignals = map[string]syscall.Signal{
	"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP,
	"KILL": syscall.SIGKILL, "QUIT": syscall.SIGQUIT,
}

// scriptCondition knows:
//
//	[root]       chmod does not stop this user
//	[mounts]     a mount namespace of one's own can be had, so file systems can be mounted
//	[ipv6]       there is an IPv6 loopback address
//	[race]       malcolm is built with the race detector
//	[bytenames]  names of files are bytes, not text
func scriptCondition(cond string) (bool, error) {
	switch cond {
	case "root":
		return os.Geteuid() <= 0, nil
	case "mounts":
		return canMount(), nil
	case "ipv6":
		return hasIPv6(), nil
	case "race":
		return hasRaceDetector(), nil
	case "bytenames":
		return runtime.GOOS == "linux", nil
	}
	return false, fmt.Errorf("no condition is called %q", cond)
}

func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

var canMount = sync.OnceValue(func() bool {
	return exec.Command("unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m malcolm /tmp && test -d /tmp").Run() == nil
})

var sizeSyntax = regexp.MustCompile(`^([0-9]+)([KM]?)([+-][0-9]+)?$`)

func parseSize(text string) (int, error) {
	m := sizeSyntax.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no size", text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, err
	}
	n <<= map[string]int{"": 0, "K": 10, "M": 20}[m[2]]
	if m[3] != "" {
		more, err := strconv.Atoi(m[3])
		if err != nil {
			return 0, err
		}
		n += more
	}
	return n, nil
}

func (s *script) bytes(args []string) {
	s.want(args, 2, "bytes FILE SIZE [SEED]")
	n, err := parseSize(args[1])
	s.Check(err)
	var seed [32]byte
	if len(args) > 2 {
		copy(seed[:], args[2])
	}
	data := make([]byte, n)
	rand.NewChaCha8(seed).Read(data)
	path := s.MkAbs(args[0])
	s.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	s.Check(os.WriteFile(path, data, 0o666))
}

func (s *script) flip(args []string) {
	s.want(args, 2, "flip FILE OFFSET")
	at, err := parseSize(args[1])
	s.Check(err)
	path := s.MkAbs(args[0])
	data, err := os.ReadFile(path)
	s.Check(err)
	data[at] ^= 1
	s.Check(os.WriteFile(path, data, 0o666))
}

func (s *script) hardlink(args []string) {
	s.want(args, 2, "hardlink FILE NAME")
	s.Check(os.Link(s.MkAbs(args[0]), s.MkAbs(args[1])))
}

func (s *script) cmpfile(args []string) {
	s.want(args, 2, "cmpfile FILE FILE")
	a, err := os.ReadFile(s.MkAbs(args[0]))
	s.Check(err)
	b, err := os.ReadFile(s.MkAbs(args[1]))
	s.Check(err)
	if !bytes.Equal(a, b) {
		s.Fatalf("%s (%d bytes) and %s (%d bytes) differ", args[0], len(a), args[1], len(b))
	}
}

func (s *script) name(args []string) {
	s.want(args, 2, "name VAR TEXT")
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	s.Check(err)
	if unit, times, ok := strings.Cut(text, "*"); ok {
		n, err := strconv.Atoi(times)
		s.Check(err)
		text = strings.Repeat(unit, n)
	}
	s.set(args[0], text)
}

func (s *script) b3sum(args []string) {
	s.want(args, 2, "b3sum VAR FILE")
	data, err := os.ReadFile(s.MkAbs(args[1]))
	s.Check(err)
	s.set(args[0], fmt.Sprintf("%x", blake3.Sum256(data)))
}

func (s *script) snapshot([]string) {
	tree, err := treeOf(s.work)
	s.Check(err)
	s.tree = tree
}

func (s *script) unchanged([]string) {
	tree, err := treeOf(s.work)
	s.Check(err)
	for path, before := range s.tree {
		if now, ok := tree[path]; !ok {
			s.Fatalf("%s is gone; it was %s", path, before)
		} else if now != before {
			s.Fatalf("%s was %s and is %s", path, before, now)
		}
	}
	for path, now := range tree {
		if _, ok := s.tree[path]; !ok {
			s.Fatalf("%s is new: %s", path, now)
		}
	}
}

// treeOf describes everything beneath dir, except what is hidden at its top:
// mode, size, time and bytes.
func treeOf(dir string) (map[string]string, error) {
	tree := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		if d.Name() == rel && strings.HasPrefix(rel, ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		tree[rel], err = describeEntry(path, d)
		return err
	})
	return tree, err
}

func describeEntry(path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return "a link to " + to, err
	case !info.Mode().IsRegular():
		return info.Mode().String(), nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		data, err = nil, nil
	}
	return fmt.Sprintf("%v, %d bytes, %v, %x", info.Mode(), info.Size(), info.ModTime(), sha256.Sum256(data)), err
}
