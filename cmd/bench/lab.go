package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"malcolm/transfer/partfile"
)

// fileName is the name of every source, and so of its copies.
const fileName = "data.bin"

// A lab is a directory in memory with everything for the measurements.
type lab struct {
	dir    string
	self   string // this program
	binary string // malcolm
	source *sourceFile
	key    string // PEM files for TLS; made when first needed
	cert   string
	say    func(format string, args ...any)
}

// A sourceFile is a file to be copied.
type sourceFile struct {
	path   string
	size   int64
	sha256 string // hex; empty when nothing needs it
}

// newLab makes the directory and malcolm; close removes it.
func newLab(ctx context.Context, c *runCmd, say func(string, ...any)) (*lab, error) {
	dir, err := os.MkdirTemp(c.Dir, "malcolm-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	l := &lab{dir: dir, say: say}
	if l.self, err = os.Executable(); err == nil {
		err = l.build(ctx, c.Binary)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *lab) close() error { return os.RemoveAll(l.dir) }

// build makes malcolm, unless there is one to be measured.
func (l *lab) build(ctx context.Context, binary string) (err error) {
	if binary != "" {
		if l.binary, err = filepath.Abs(binary); err == nil {
			_, err = os.Stat(l.binary)
		}
		return err
	}
	l.binary = filepath.Join(l.dir, "malcolm")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", l.binary, "malcolm/cmd/malcolm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	isolate(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build malcolm: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// room says why size bytes do not fit into the directory; empty if they do.
func (l *lab) room(size int64) string {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return err.Error()
	}
	defer root.Close()
	free, err := partfile.Dir(root).Free()
	if err == nil && free < size {
		return fmt.Sprintf("%s are free where the files lie, %s are needed", Size(free), Size(size))
	}
	// A file system in memory may be larger than the memory.
	if available := memAvailable(); available >= 0 && available < size {
		return fmt.Sprintf("%s of memory are free, %s are needed", Size(available), Size(size))
	}
	return ""
}

// newSource makes a file of size bytes in a directory of its own. Of every
// stride bytes, the first MiB is random and the rest a hole. With a stride of
// one MiB there is no hole.
func (l *lab) newSource(ctx context.Context, name string, size, stride int64) (*sourceFile, error) {
	s := &sourceFile{path: filepath.Join(l.dir, name, fileName), size: size}
	if err := os.Mkdir(filepath.Dir(s.path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	random := rand.NewChaCha8([32]byte{1})
	sum := sha256.New()
	buf := make([]byte, mib)
	for at := int64(0); at < size; at += stride {
		piece := buf[:min(mib, size-at)]
		random.Read(piece)
		sum.Write(piece)
		if _, err := f.WriteAt(piece, at); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if stride == mib {
		s.sha256 = hex.EncodeToString(sum.Sum(nil))
	}
	return s, nil
}

const mib = 1 << 20

// remove removes a source, to make room.
func (l *lab) remove(s *sourceFile) error { return os.RemoveAll(filepath.Dir(s.path)) }

// output makes an empty directory for a copy.
func (l *lab) output(name string) (string, error) {
	dir := filepath.Join(l.dir, "out", name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// clearOutput removes all copies.
func (l *lab) clearOutput() error { return os.RemoveAll(filepath.Join(l.dir, "out")) }

// measure runs clients, all at once, against ready servers, and stops the
// servers.
func (l *lab) measure(ctx context.Context, k *link, servers []*process, clients []command) (s sample, err error) {
	stopped := false
	defer func() {
		if !stopped {
			stopAll(servers)
		}
	}()
	before, droppedBefore := treesCPU(servers), k.dropped(ctx)
	var running []*process
	began := time.Now()
	for _, c := range clients {
		p, err := start(ctx, at(k.clients, c))
		if err != nil {
			return sample{}, errors.Join(err, waitAll(running))
		}
		running = append(running, p)
	}
	if err := waitAll(running); err != nil {
		return sample{}, err
	}
	after, dropped := treesCPU(servers), k.dropped(ctx)
	s = sample{ClientRSS: unknown, ServerRSS: unknown, Lost: unknown}
	for _, p := range running {
		s.Seconds = max(s.Seconds, p.ended.Sub(began).Seconds())
		s.CPU += p.computed()
		s.ClientRSS = max(s.ClientRSS, p.peak)
	}
	for _, p := range servers {
		if n := treeHWM(p.cmd.Process.Pid); n > 0 {
			s.ServerRSS = max(s.ServerRSS, 0) + n
		}
	}
	stopAll(servers)
	stopped = true
	for _, p := range servers {
		if before < 0 || after < 0 {
			s.CPU += p.computed()
		}
	}
	if before >= 0 && after >= 0 {
		s.CPU += after - before
	}
	s.Lost = lostOf(append(running, servers...), droppedBefore, dropped)
	return s, nil
}

// lostOf returns the losses that the programs report, else what the kernel
// counted.
func lostOf(programs []*process, before, after int64) int64 {
	sum := int64(unknown)
	for _, p := range programs {
		if n := p.lost(); n >= 0 {
			sum = max(sum, 0) + n
		}
	}
	if sum < 0 && before >= 0 && after >= 0 {
		return after - before
	}
	return sum
}

// waitAll waits for all programs and returns their errors.
func waitAll(running []*process) error {
	var errs []error
	for _, p := range running {
		errs = append(errs, p.wait())
	}
	return errors.Join(errs...)
}

// treesCPU adds up treeCPU of programs.
func treesCPU(programs []*process) float64 {
	var sum float64
	for _, p := range programs {
		n := treeCPU(p.cmd.Process.Pid)
		if n < 0 {
			return unknown
		}
		sum += n
	}
	return sum
}

// sameFile compares two files byte by byte.
func sameFile(a, b string) (bool, error) {
	fa, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	bufA, bufB := make([]byte, mib), make([]byte, mib)
	for {
		n, errA := io.ReadFull(fa, bufA)
		m, errB := io.ReadFull(fb, bufB)
		endA, endB := isEOF(errA), isEOF(errB)
		switch {
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		case !bytes.Equal(bufA[:n], bufB[:m]):
			return false, nil
		case endA: // and b too, which gave the same number of bytes
			return true, nil
		}
	}
}

func isEOF(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
