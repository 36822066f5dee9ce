package transfer

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"malcolm/transfer/fetch"

	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
)

// Repair fetches the damaged chunks, and nothing else.
func TestRepair(t *testing.T) {
	t.Parallel()
	data := file(5*chunk+9, 1)
	for _, test := range []struct {
		name    string
		local   []byte
		fetched int64
	}{
		{"one byte", corrupted(t, data, 2*chunk+5), chunk},
		{"the last byte", corrupted(t, data, len(data)-1), 9},
		{"cut", data[:4*chunk-1], 2*chunk + 9},
		{"empty", nil, int64(len(data))},
		{"grown", append(slices.Clone(data), data...), 0},
		{"another file", file(len(data), 2), int64(len(data))},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, w *world, cfg getConfig) {
				s := w.holders(data)[0]
				cfg.Targets = s.targets
				o := w.localFile(test.local).repair(context.Background(), cfg, nil)
				o.has(localName, data)
				if o.Fetched != test.fetched || o.Resumed != int64(len(data))-test.fetched || s.src.sent() != test.fetched {
					t.Errorf("fetched %d, kept %d, sent %d, want %d fetched", o.Fetched, o.Resumed, s.src.sent(), test.fetched)
				}
			})
		})
	}
}

// Repair leaves a right file as it is.
func TestRepairRight(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		l := w.localFile(data)
		before := tree(t, l.dir)
		o := l.repair(context.Background(), getConfig{Targets: w.holders(data)[0].targets}, nil)
		o.has(localName, data)
		if !o.AlreadyRight || o.Fetched != 0 {
			t.Errorf("result = %+v, want it left alone", o.Result)
		}
		if after := tree(t, l.dir); !maps.Equal(after, before) {
			t.Errorf("the directory was %v and is %v", before, after)
		}
	})
}

// A repaired file keeps its permission bits.
func TestRepairKeepsMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o640, 0o755, 0o444, 0o000} {
		if mode&0o400 == 0 && os.Geteuid() != 0 {
			continue // it could not be read
		}
		bubble(t, func(t *testing.T, w *world) {
			data := file(2*chunk, 1)
			l := w.localFile(corrupted(t, data, 7))
			setMode(t, l.path, mode)
			var during os.FileMode
			o := l.repair(context.Background(), getConfig{Targets: w.holders(data)[0].targets}, func() {
				during = modeOf(t, l.path+partfile.PartSuffix)
			})
			if got := modeOf(t, l.path); got != mode {
				t.Errorf("mode %04o, want %04o", got, mode)
			}
			if want := mode | 0o600; during != want {
				t.Errorf("%04o: the part file had the mode %04o, want %04o", mode, during, want)
			}
			if mode&0o400 != 0 || os.Geteuid() == 0 {
				o.has(localName, data)
			}
		})
	}
}

// Copied chunks are checked after the copy. A local file that changes meanwhile
// is not replaced, because somebody else's bytes are in it.
func TestRepairSeedChanges(t *testing.T) {
	t.Parallel()
	data := file(4*chunk, 1)
	for _, test := range []struct {
		name   string
		change func(b []byte) []byte
		lost   int64 // chunks that are to be fetched, because of that
	}{
		{"one byte", func(b []byte) []byte { b[2*chunk+1] ^= 1; return b }, 1},
		{"everything", func(b []byte) []byte { return file(len(b), 3) }, 3},
		{"cut", func(b []byte) []byte { return b[:2*chunk-1] }, 3},
		{"emptied", func(b []byte) []byte { return nil }, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, w *world, cfg getConfig) {
				l := w.localFile(corrupted(t, data, 0))
				cfg.Targets = w.holders(data)[0].targets
				theirs := test.change(l.read())
				o := l.repair(context.Background(), cfg, func() { write(t, l.dir, localName, theirs) })
				if e := fails[*partfile.Error](o, fetch.KindLocal); e.Reason != partfile.Changed {
					t.Errorf("error = %v, want that the file changed", e)
				}
				o.holds(localName, theirs)
				o.holds(localName+partfile.PartSuffix, append(slices.Clip(data), 0)) // with its tail
				if want := (1 + test.lost) * chunk; o.Fetched != want || o.Resumed != o.Size-want {
					t.Errorf("fetched %d, kept %d, want %d fetched", o.Fetched, o.Resumed, want)
				}
				o = l.repair(context.Background(), cfg, nil)
				o.has(localName, data)
				if o.Fetched != 0 {
					t.Errorf("fetched %d the second time, want what is in the part file", o.Fetched)
				}
			})
		})
	}
}

// A file that is put under the name during a repair stays.
func TestRepairReplacedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		l := w.localFile(corrupted(t, data, 0))
		theirs := []byte("theirs")
		o := l.repair(context.Background(), getConfig{Targets: w.holders(data)[0].targets}, func() {
			write(t, l.dir, "new", theirs)
			if err := os.Rename(filepath.Join(l.dir, "new"), l.path); err != nil {
				t.Fatal(err)
			}
		})
		if e := fails[*partfile.Error](o, fetch.KindLocal); e.Reason != partfile.Changed {
			t.Errorf("error = %v, want that the file changed", e)
		}
		o.holds(localName, theirs)
	})
}

// holds fails the test unless a file has this content.
func (o *outcome) holds(name string, want []byte) {
	o.t.Helper()
	if !bytes.Equal(o.read(name), want) {
		o.t.Errorf("%s does not hold what it should", name)
	}
}

// Repair takes no part file without a journal that says that malcolm made it.
func TestRepairForeignPart(t *testing.T) {
	data := file(4*chunk, 1)
	for _, test := range []struct {
		name  string
		other map[string]string // names and contents
		path  string            // the one that is in the way
	}{
		{"another program's part file", map[string]string{".part": "my own precious bytes"}, ".part"},
		{"an empty one", map[string]string{".part": ""}, ".part"},
		{"and something beside it", map[string]string{".part": "mine", ".part.journal": "dear diary"}, ".part"},
		{"something in the journal's place", map[string]string{".part.journal": "dear diary"}, ".part.journal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				l := w.localFile(corrupted(t, data, 5))
				for suffix, content := range test.other {
					write(t, l.dir, localName+suffix, []byte(content))
				}
				before := tree(t, l.dir)
				s := w.holders(data)[0]
				o := l.repair(context.Background(), getConfig{Targets: s.targets}, nil)
				if o.err == nil || fetch.KindOf(o.err) != fetch.KindLocal || !strings.Contains(o.err.Error(), l.path+test.path) {
					t.Errorf("error = %v, want one of %s", o.err, test.path)
				}
				if after := tree(t, l.dir); !maps.Equal(after, before) {
					t.Errorf("the directory was %v and is %v", before, after)
				}
				if s.src.sent() != 0 {
					t.Errorf("%d bytes were fetched first", s.src.sent())
				}
			})
		})
	}
}

// A file that is right needs nothing, whatever lies beside it.
func TestRepairRightBesideForeignPart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		l := w.localFile(data)
		write(t, l.dir, localName+".part", []byte("mine"))
		write(t, l.dir, localName+".part.journal", []byte("mine too"))
		if err := os.Link(l.path, filepath.Join(l.dir, "second")); err != nil {
			t.Skip(err)
		}
		before := tree(t, l.dir)
		o := l.repair(context.Background(), getConfig{Targets: w.holders(data)[0].targets}, nil)
		if o.err != nil {
			t.Fatal(o.err)
		}
		if after := tree(t, l.dir); !o.AlreadyRight || !maps.Equal(after, before) {
			t.Errorf("the directory was %v and is %v", before, after)
		}
	})
}

// A second name would keep the damaged bytes. That is said before anything is
// fetched, and repaired only on demand.
func TestRepairLinks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		damaged := corrupted(t, data, 5)
		l := w.localFile(damaged)
		if err := os.Link(l.path, filepath.Join(l.dir, "second")); err != nil {
			t.Skip(err)
		}
		s := w.holders(data)[0]
		cfg := getConfig{Targets: s.targets}
		o := l.repair(context.Background(), cfg, nil)
		if e := fails[*fetch.LinksError](o, fetch.KindLocal); e.Path != l.path || e.Links != 2 {
			t.Errorf("error = %+v, want two links", e)
		}
		if s.src.sent() != 0 {
			t.Errorf("%d bytes were fetched first", s.src.sent())
		}
		cfg.SplitLinks = true
		o = l.repair(context.Background(), cfg, nil)
		if o.err != nil {
			t.Fatal(o.err)
		}
		o.holds(localName, data)
		o.holds("second", damaged)
	})
}

// Bytes that the system copied are read back from the part file before they
// count.
func TestRepairCopyIsReadBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk, 1)
		l := w.localFile(corrupted(t, data, 0))
		cfg := getConfig{Targets: w.holders(data)[0].targets, open: func(root *os.Root) partfile.FS {
			return lyingFS{plainFS{FS: partfile.Dir(root)}}
		}}
		o := l.repair(context.Background(), cfg, nil)
		o.has(localName, data)
		if o.Fetched != o.Size || o.Resumed != 0 {
			t.Errorf("fetched %d, kept %d, want everything fetched: nothing was copied", o.Fetched, o.Resumed)
		}
	})
}

// lyingFS is a directory on a system that says it has copied, and has not.
type lyingFS struct{ plainFS }

func (f lyingFS) Create(name string) (partfile.Handle, error) {
	h, err := f.FS.Create(name)
	if err != nil || name != localName+partfile.PartSuffix {
		return h, err
	}
	return lyingHandle{h}, nil
}

type lyingHandle struct{ partfile.Handle }

func (lyingHandle) CopyFrom(_ *os.File, _, _, n int64) (int64, error) { return n, nil }

// A chunk that the disk returned once and then no more is fetched.
func TestRepairSeedUnreadable(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk, 1)
		local := corrupted(t, data, 0)
		l := w.localFile(local)
		var breaks atomic.Bool
		broken := unreadableAt(local, mediaError, func(c int64) bool { return c == 3 && breaks.Load() })
		o := l.repair(context.Background(), getConfig{
			Targets: w.holders(data)[0].targets,
			read:    func(f localfile.File) localfile.File { return brokenFile{f, broken.readAt} },
		}, func() { breaks.Store(true) })
		o.has(localName, data)
		if o.Fetched != 2*chunk {
			t.Errorf("fetched %d bytes, want two chunks", o.Fetched)
		}
	})
}

// An error of the disk in a local chunk, other than a bad sector, ends the
// repair. The local file stays as it is.
func TestRepairSeedReadError(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk, 1)
		local := corrupted(t, data, 0)
		l := w.localFile(local)
		var breaks atomic.Bool
		broken := unreadableAt(local, syscall.ESTALE, func(c int64) bool { return c == 3 && breaks.Load() })
		o := l.repair(context.Background(), getConfig{
			Targets: w.holders(data)[0].targets,
			read:    func(f localfile.File) localfile.File { return brokenFile{f, broken.readAt} },
		}, func() { breaks.Store(true) })
		e, ok := errors.AsType[*localfile.Error](o.err)
		if !ok || e.Path != l.path || !errors.Is(e, syscall.ESTALE) || fetch.KindOf(o.err) != fetch.KindLocal {
			t.Errorf("error = %v, want that of reading %q", o.err, l.path)
		}
		if !bytes.Equal(l.read(), local) {
			t.Error("the local file was changed")
		}
	})
}

// An interrupted repair leaves the file as it was, and the next one fetches the
// rest.
func TestRepairInterrupted(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w *world, cfg getConfig) {
		data := file(12*chunk, 1)
		local := append(slices.Clone(data[:3*chunk]), file(9*chunk, 2)...)
		l := w.localFile(local)
		ctx, cancel := context.WithCancelCause(context.Background())
		cfg.Targets = w.holders(data)[0].targets
		cfg.Interval = tickTime / 2
		cfg.Events = at(0.6, func() { cancel(errInterrupted) })
		o := l.repair(ctx, cfg, nil)
		if o.err != errInterrupted || o.Path != "" || o.Part != l.path+partfile.PartSuffix {
			t.Fatalf("error %v, path %q, part %q, want the part kept", o.err, o.Path, o.Part)
		}
		if !bytes.Equal(l.read(), local) {
			t.Fatal("the local file was changed")
		}
		kept := o.Fetched + o.Resumed
		s := w.holders(data)[0]
		cfg.Targets, cfg.Events = s.targets, nil
		o = l.repair(context.Background(), cfg, nil)
		o.has(localName, data)
		if s.src.sent() != o.Fetched || o.Fetched > o.Size-kept {
			t.Errorf("fetched %d, sent %d, want at most the %d that were missing", o.Fetched, s.src.sent(), o.Size-kept)
		}
	})
}

// A part file of another version stays as it is.
func TestRepairOtherPart(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		old := file(12*chunk, 1)
		l := w.localFile(file(12*chunk, 2))
		ctx, cancel := context.WithCancelCause(context.Background())
		o := l.repair(ctx, getConfig{
			Targets: w.holders(old)[0].targets, Interval: tickTime / 2, Events: at(0.5, func() { cancel(errInterrupted) }),
		}, nil)
		if o.Part == "" {
			t.Fatal("no part file")
		}
		before := tree(t, l.dir)
		o = l.repair(context.Background(), getConfig{Targets: w.holders(file(12*chunk, 3))[0].targets}, nil)
		if e := fails[*fetch.TargetError](o, fetch.KindLocal); e.Part != partfile.PartOtherChecksum || e.Hint != partfile.HintMoveAway {
			t.Errorf("error = %v, want one of the part file", e)
		}
		if after := tree(t, l.dir); !maps.Equal(after, before) {
			t.Errorf("the directory was %v and is %v", before, after)
		}
		o = l.repair(context.Background(), getConfig{Targets: w.servers[0].targets}, nil)
		o.has(localName, old)
	})
}

// Repair of a symbolic link is refused.
func TestRepairLink(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(chunk, 1)
		l := w.localFile(corrupted(t, data, 1))
		link := filepath.Join(l.dir, "link")
		if err := os.Symlink(localName, link); err != nil {
			t.Skipf("no links here: %v", err)
		}
		s := w.holders(data)[0]
		_, err := Repair(context.Background(), getConfig{Targets: s.targets, Network: w}, link)
		if e, ok := errors.AsType[*localfile.Error](err); !ok || e.Path != link || fetch.KindOf(err) != fetch.KindLocal {
			t.Errorf("error = %v, want one of the link", err)
		}
		if s.src.sent() != 0 {
			t.Error("something was fetched first")
		}
	})
}

// Repair of a missing file is an error, and nothing is fetched.
func TestRepairMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing")
	_, err := Repair(t.Context(), getConfig{}, path)
	if e, ok := errors.AsType[*localfile.Error](err); !ok || e.Path != path {
		t.Errorf("error = %v, want one of the file", err)
	}
}
