package transfer

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"malcolm/transfer/fetch"

	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
)

// localName is the file that Verify and Repair are about.
const localName = "data.bin"

// A localFile is a file that is to be verified or repaired, and the only
// thing in its directory.
type localFile struct {
	w    *world
	dir  string
	path string
}

func (w *world) localFile(content []byte) *localFile {
	l := &localFile{w: w, dir: w.t.TempDir()}
	l.path = filepath.Join(l.dir, localName)
	write(w.t, l.dir, localName, content)
	return l
}

// repair runs Repair. seize, unless nil, is called when the part file is open
// and nothing has been copied.
func (l *localFile) repair(ctx context.Context, cfg getConfig, seize func()) *outcome {
	l.w.t.Helper()
	o := &outcome{t: l.w.t, dir: l.dir}
	cfg.Network = l.w
	react := cfg.Events
	cfg.Dir, cfg.Name = l.dir, localName
	cfg.Events = func(e fetch.Event) {
		o.events = append(o.events, timedEvent{Event: e})
		if _, ok := e.(fetch.Started); ok && seize != nil {
			seize()
		}
		if react != nil {
			react(e)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxVirtual, errForever)
	defer cancel()
	o.Result, o.err = Repair(ctx, cfg, l.path)
	return o
}

// verify runs Verify and fails the test if the file was touched.
func (l *localFile) verify(cfg getConfig) (*fetch.VerifyResult, error) {
	l.w.t.Helper()
	before := l.read()
	cfg.Network = l.w
	ctx, cancel := context.WithTimeoutCause(context.Background(), maxVirtual, errForever)
	defer cancel()
	r, err := Verify(ctx, cfg, l.path)
	if !bytes.Equal(l.read(), before) {
		l.w.t.Error("the local file was changed")
	}
	return r, err
}

func (l *localFile) read() []byte {
	l.w.t.Helper()
	b, err := os.ReadFile(l.path)
	if err != nil {
		l.w.t.Fatal(err)
	}
	return b
}

// A brokenFile is a File with another ReadAt.
type brokenFile struct {
	localfile.File
	readAt func(p []byte, off int64) (int, error)
}

func (b brokenFile) ReadAt(p []byte, off int64) (int, error) { return b.readAt(p, off) }

// plainDir is partfile.Dir without copying by the system, which only some
// systems can do. read, unless nil, sees what is read from the part file, may
// change it, and may fail.
func plainDir(read func(p []byte, off int64) error) func(*os.Root) partfile.FS {
	return func(root *os.Root) partfile.FS { return plainFS{partfile.Dir(root), read} }
}

type plainFS struct {
	partfile.FS
	read func(p []byte, off int64) error
}

func (f plainFS) Create(name string) (partfile.Handle, error) {
	h, err := f.FS.Create(name)
	return f.opened(name, h, err)
}

func (f plainFS) OpenWrite(name string) (partfile.Handle, error) {
	h, err := f.FS.OpenWrite(name)
	return f.opened(name, h, err)
}

func (f plainFS) opened(name string, h partfile.Handle, err error) (partfile.Handle, error) {
	if err != nil || name != localName+partfile.PartSuffix {
		return h, err
	}
	return plainHandle{h, f.read}, nil
}

type plainHandle struct {
	partfile.Handle
	read func(p []byte, off int64) error
}

func (h plainHandle) ReadAt(p []byte, off int64) (int, error) {
	n, err := h.Handle.ReadAt(p, off)
	if h.read != nil {
		if err := h.read(p[:n], off); err != nil {
			return 0, err
		}
	}
	return n, err
}

// ways are the two ways in which Repair copies: by the system where it can, and
// through our own buffers.
var ways = []struct {
	name string
	open func(*os.Root) partfile.FS
}{
	{"by the system", nil},
	{"by reading and writing", plainDir(nil)},
}

// eachWay runs a test in both ways.
func eachWay(t *testing.T, f func(t *testing.T, w *world, cfg getConfig)) {
	t.Helper()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) { f(t, w, getConfig{open: way.open}) })
		})
	}
}

// modeOf is the permission bits of a file.
func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// setMode gives a file permission bits, where the system has them.
func setMode(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions here")
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
