//go:build unix

package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"malcolm/transfer/fetch"

	"malcolm/transfer/partfile"
)

// A tampering is what somebody does to the files of a download.
type tampering struct {
	name string
	do   func(t *testing.T, p *workFiles)
	// If refused is set, get leaves everything as it is. Otherwise it
	// completes the file, and keeps the number of good chunks.
	refused bool
	kept    func(good int) int
}

func keptAll(good int) int       { return good }
func keptAllButOne(good int) int { return good - 1 }
func keptNone(int) int           { return 0 }

// workFiles are the files of a download in dir, and one outside of it.
type workFiles struct{ dir, final, part, journal, outside string }

func pathsIn(t *testing.T, dir string) *workFiles {
	p := &workFiles{dir: dir, final: filepath.Join(dir, simName), part: filepath.Join(dir, simPart), journal: filepath.Join(dir, simJournal)}
	other := t.TempDir()
	write(t, other, "outside", []byte("outside"))
	p.outside = filepath.Join(other, "outside")
	return p
}

// patch changes one byte to a value that no download has there.
func patch(path string, off int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	b[0] ^= 1
	_, writeErr := f.WriteAt(b[:], off)
	return errors.Join(err, writeErr, f.Close())
}

// firstGood returns the offset of the first good chunk of an interrupted
// download.
func firstGood(t *testing.T, p *workFiles) int64 {
	part, err := os.ReadFile(p.part)
	must(t, err)
	return int64(goodChunks(part, tamperedData)[0]) * chunk
}

var tamperedData = file(4*chunk+77, 1)

var tamperings = []tampering{
	{"nothing", func(t *testing.T, p *workFiles) {}, false, keptAll},
	{"byte in a good chunk", func(t *testing.T, p *workFiles) { must(t, patch(p.part, firstGood(t, p)+1000)) }, false, keptAllButOne},
	{"part cut to nothing", func(t *testing.T, p *workFiles) { must(t, os.Truncate(p.part, 0)) }, false, keptNone},
	{"part cut in a good chunk", func(t *testing.T, p *workFiles) { must(t, os.Truncate(p.part, firstGood(t, p)+1000)) }, false, keptNone},
	{"part grown", func(t *testing.T, p *workFiles) { must(t, os.Truncate(p.part, 9*chunk)) }, false, keptAll},
	{"part deleted", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part)) }, false, keptNone},
	{"all deleted", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Remove(p.journal)) }, false, keptNone},
	{"journal deleted", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.journal)) }, false, keptAll},
	{"journal cut", func(t *testing.T, p *workFiles) { must(t, os.Truncate(p.journal, 1000)) }, false, keptAll},
	{"bit of the journal", func(t *testing.T, p *workFiles) { must(t, patch(p.journal, 40)) }, false, keptAll},
	{"bit of the holder", func(t *testing.T, p *workFiles) { must(t, patch(p.journal, 520)) }, false, keptAll},
	{"part is a link to outside", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Symlink(p.outside, p.part)) }, true, nil},
	{"part is a dangling link", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Symlink("nowhere", p.part)) }, true, nil},
	{"part is a link to itself", func(t *testing.T, p *workFiles) {
		must(t, os.Rename(p.part, p.part+"2"), os.Symlink(simPart+"2", p.part))
	}, true, nil},
	{"part is a hard link to outside", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Link(p.outside, p.part)) }, true, nil},
	{"part has a second link", func(t *testing.T, p *workFiles) { must(t, os.Link(p.part, p.outside+"2")) }, true, nil},
	{"part is a directory", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Mkdir(p.part, 0o755)) }, true, nil},
	{"part is a FIFO", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), syscall.Mkfifo(p.part, 0o644)) }, true, nil},
	{"journal is a link to outside", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.journal), os.Symlink(p.outside, p.journal)) }, true, nil},
	{"journal is a hard link to outside", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.journal), os.Link(p.outside, p.journal)) }, true, nil},
	{"journal is a FIFO", func(t *testing.T, p *workFiles) { must(t, os.Remove(p.journal), syscall.Mkfifo(p.journal, 0o644)) }, true, nil},
	{"target is a FIFO", func(t *testing.T, p *workFiles) { must(t, syscall.Mkfifo(p.final, 0o644)) }, true, nil},
	{"target is a directory", func(t *testing.T, p *workFiles) { must(t, os.Mkdir(p.final, 0o755)) }, true, nil},
	{"target is a dangling link", func(t *testing.T, p *workFiles) { must(t, os.Symlink("nowhere", p.final)) }, true, nil},
	{"target is a link to outside", func(t *testing.T, p *workFiles) { must(t, os.Symlink(p.outside, p.final)) }, true, nil},
	{"target is another file", func(t *testing.T, p *workFiles) { must(t, os.WriteFile(p.final, []byte("theirs"), 0o644)) }, true, nil},
}

// Somebody tampers with an interrupted download. The next run completes the
// file, or ends with a local error and leaves everything as it is. Nothing
// outside of the directory is touched.
func TestTamperBeforeResume(t *testing.T) {
	withoutRace(t)
	for _, test := range tamperings {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, w *world) {
				o := interrupt(t, w, 0.6, w.holders(tamperedData)...)
				good := len(goodChunks(o.read(simPart), tamperedData))
				p := pathsIn(t, o.dir)
				test.do(t, p)
				before := tree(t, o.dir)
				o = w.get(getConfig{Targets: w.holders(tamperedData)[0].targets, Dir: o.dir, Resume: true})
				if got, err := os.ReadFile(p.outside); err != nil || string(got) != "outside" {
					t.Errorf("the file outside holds %d bytes, %v", len(got), err)
				}
				if test.refused {
					if o.err == nil || fetch.KindOf(o.err) != fetch.KindLocal {
						t.Errorf("error = %v, want a local one", o.err)
					}
					wantTree(t, o.dir, before)
					return
				}
				o.has(simName, tamperedData)
				resumed := int(o.Resumed+chunk-1) / chunk // the last chunk is short
				if resumed != test.kept(good) || o.Fetched != o.Size-o.Resumed {
					t.Errorf("resumed %d, fetched %d, want %d of %d good chunks", o.Resumed, o.Fetched, test.kept(good), good)
				}
			})
		})
	}
}

// Somebody tampers with a download under way. It ends with a local error at the
// next checkpoint, long before the last byte, and nothing gets the final name.
func TestTamperDuringADownload(t *testing.T) {
	for _, test := range []tampering{
		{name: "part deleted", do: func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part)) }},
		{name: "part renamed", do: func(t *testing.T, p *workFiles) { must(t, os.Rename(p.part, p.part+"2")) }},
		{name: "part emptied", do: func(t *testing.T, p *workFiles) { must(t, os.Truncate(p.part, 0)) }},
		{name: "part grown", do: func(t *testing.T, p *workFiles) { must(t, os.Truncate(p.part, 9*chunk)) }},
		{name: "part is another file", do: func(t *testing.T, p *workFiles) {
			must(t, os.Remove(p.part), os.WriteFile(p.part, make([]byte, len(tamperedData)), 0o644))
		}},
		{name: "part is a link to outside", do: func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Symlink(p.outside, p.part)) }},
		{name: "part is a hard link to outside", do: func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Link(p.outside, p.part)) }},
		{name: "part is a directory", do: func(t *testing.T, p *workFiles) { must(t, os.Remove(p.part), os.Mkdir(p.part, 0o755)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				p := pathsIn(t, t.TempDir())
				s := w.holders(tamperedData)[0]
				slow(30<<10, s)
				o := w.get(getConfig{Targets: s.targets, Dir: p.dir, Events: at(0, func() { test.do(t, p) })})
				if err := fails[*partfile.Error](o, fetch.KindLocal); err.Reason != partfile.Changed {
					t.Errorf("error = %v, want that the part was changed", err)
				}
				if o.Fetched == o.Size {
					t.Errorf("ended after %v and %d of %d bytes, want at the next checkpoint: %v", o.Elapsed, o.Fetched, o.Size, o.err)
				}
				if _, err := os.Lstat(p.final); !os.IsNotExist(err) {
					t.Errorf("lstat of the final name: %v, want that there is none", err)
				}
				if got, err := os.ReadFile(p.outside); err != nil || string(got) != "outside" {
					t.Errorf("the file outside holds %d bytes, %v", len(got), err)
				}
			})
		})
	}
}

// A run survives the loss of its journal.
func TestJournalDeletedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := pathsIn(t, t.TempDir())
		s := w.holders(tamperedData)[0]
		slow(300<<10, s)
		o := w.get(getConfig{Targets: s.targets, Dir: p.dir, Events: at(0.4, func() { must(t, os.Remove(p.journal)) })})
		o.has(simName, tamperedData)
	})
}

// --recheck finds a good chunk that was changed under way.
func TestRecheckFindsTampering(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := pathsIn(t, t.TempDir())
		s := w.holders(tamperedData)[0]
		slow(300<<10, s)
		o := w.get(getConfig{Targets: s.targets, Dir: p.dir, Recheck: true, Events: at(0.4, func() {
			must(t, patch(p.part, firstGood(t, p)+chunk-1))
		})})
		if err := fails[*fetch.FinishedError](o, fetch.KindIntegrity); err.Bad != 1 {
			t.Errorf("%d chunks are bad, want 1", err.Bad)
		}
		o = w.get(getConfig{Targets: w.holders(tamperedData)[0].targets, Dir: p.dir, Resume: true, Recheck: true})
		o.has(simName, tamperedData)
		if o.Fetched != chunk {
			t.Errorf("fetched %d bytes, want one chunk", o.Fetched)
		}
	})
}

// readOnlyDir names the environment variable with the directory for the test
// below, when another user runs it.
const readOnlyDir = "MALCOLM_TEST_READ_ONLY_DIR"

// The directory is made read-only between the runs. Its mode means nothing to
// root, so that root runs this test again as another user.
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(readOnlyDir); dir != "" {
		resumeReadOnly(t, dir)
		return
	}
	dir := t.TempDir()
	bubble(t, func(t *testing.T, w *world) {
		o := interrupt(t, w, 0.6, w.holders(tamperedData)...)
		for _, name := range []string{simPart, simJournal} {
			write(t, dir, name, o.read(name))
		}
	})
	const nobody = 65534
	for _, name := range []string{simPart, simJournal} {
		if os.Geteuid() == 0 {
			must(t, os.Chown(filepath.Join(dir, name), nobody, nobody))
		}
	}
	must(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
	if os.Geteuid() != 0 {
		resumeReadOnly(t, dir)
	} else {
		must(t, os.Chmod(filepath.Dir(dir), 0o755))
		runAs(t, nobody, readOnlyDir+"="+dir)
	}
	bubble(t, func(t *testing.T, w *world) {
		must(t, os.Chmod(dir, 0o755))
		o := w.get(getConfig{Targets: w.holders(tamperedData)[0].targets, Dir: dir, Resume: true})
		o.has(simName, tamperedData)
		if o.Resumed == 0 {
			t.Error("nothing is kept of the run before")
		}
	})
}

// resumeReadOnly resumes a download whose part file can be written but not
// renamed. That fails before a byte is fetched.
func resumeReadOnly(t *testing.T, dir string) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.get(getConfig{Targets: w.holders(tamperedData)[0].targets, Dir: dir, Resume: true})
		if err := fails[*partfile.Error](o, fetch.KindLocal); !errors.Is(err, syscall.EACCES) {
			t.Errorf("error = %v, want %v", err, syscall.EACCES)
		}
		if o.Fetched != 0 || len(events[fetch.Started](o)) != 0 {
			t.Errorf("fetched %d bytes, started %d times, want the refusal first", o.Fetched, len(events[fetch.Started](o)))
		}
	})
}

// runAs runs the test that calls it a second time, as another user.
func runAs(t *testing.T, user uint32, env string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "test")
	must(t, copyProgram(program), os.Chmod(filepath.Dir(filepath.Dir(program)), 0o755))
	cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir, cmd.Env = "/", append(slices.Clone(os.Environ()), env, "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("cannot run as user %d: %v", user, err)
	}
	if err != nil {
		t.Errorf("as user %d: %v\n%s", user, err, out)
	}
}

// copyProgram copies this program to where others may run it.
func copyProgram(to string) error {
	from, err := os.Executable()
	if err != nil {
		return err
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// When the output directory is moved under way, the path that is told is where
// the file is.
func TestDirectoryMovedMeanwhile(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			above := t.TempDir()
			dir, moved := filepath.Join(above, "copy"), filepath.Join(above, "moved")
			must(t, os.Mkdir(dir, 0o755))
			s := w.holders(tamperedData)[0]
			slow(300<<10, s)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			o := w.getUnder(ctx, getConfig{Targets: s.targets, Dir: dir, Events: at(0.4, func() {
				must(t, os.Rename(dir, moved))
				if interrupted {
					cancel(errInterrupted)
				}
			})})
			_, err := os.Stat("/proc/self/fd")
			known := err == nil
			switch {
			case interrupted && o.Part != filepath.Join(moved, simPart) && known:
				t.Errorf("part %q, error %v, want what is kept in %q", o.Part, o.err, moved)
			case interrupted:
			case !known:
				if err := fails[*partfile.Error](o, fetch.KindLocal); err.Reason != partfile.Changed {
					t.Errorf("error %v, want that the directory was moved", err)
				}
			default:
				if want := filepath.Join(moved, simName); o.err != nil || o.Path != want {
					t.Fatalf("path %q, error %v, want %q", o.Path, o.err, want)
				}
				if e, _ := only[fetch.OutputMoved](o); e.Path != o.Path {
					t.Errorf("told of %q, want %q", e.Path, o.Path)
				}
				if got, err := os.ReadFile(o.Path); err != nil || !bytes.Equal(got, tamperedData) {
					t.Errorf("%d bytes, %v, want the file", len(got), err)
				}
			}
		})
	}
}
