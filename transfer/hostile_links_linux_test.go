package transfer

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"

	"golang.org/x/sys/unix"

	"malcolm/transfer/partfile"
)

// A meddler changes a directory again and again while it is on. It runs outside
// of every bubble.
type meddler struct {
	on    atomic.Bool
	turns atomic.Int64
	mu    sync.Mutex // held in a turn
}

// meddle starts a meddler for the length of the test. It is off at first.
func meddle(t *testing.T, turn func() error) *meddler {
	m := new(meddler)
	var ended atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for ; !ended.Load(); time.Sleep(50 * time.Microsecond) { // so that others get on
			m.mu.Lock()
			if m.on.Load() {
				if err := turn(); err != nil {
					t.Error(err)
					m.on.Store(false)
				}
				m.turns.Add(1)
			}
			m.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		ended.Store(true)
		wg.Wait()
	})
	return m
}

// pause turns the meddler off, and returns when no turn is under way.
func (m *meddler) pause() {
	m.on.Store(false)
	m.mu.Lock()
	defer m.mu.Unlock()
}

// outside makes a directory with files that nobody may touch. It returns the
// directory and its content.
func outside(t *testing.T, parent string) (string, map[string]string) {
	dir := filepath.Join(parent, "outside")
	must(t, os.Mkdir(dir, 0o755))
	for _, name := range []string{"data.bin", "data.bin.part", "data.bin.part.journal"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o644))
	}
	return dir, tree(t, dir)
}

// runs is how often a download is tried under a meddler.
const runs = 12

// While Get writes into a directory, it is swapped for a symbolic link and
// back, all the time. Nothing gets to where the link leads. The file gets to
// where the directory is.
func TestHostileDirectoryBecomesALink(t *testing.T) {
	withoutRace(t)
	parent := t.TempDir()
	forbidden, before := outside(t, parent)
	dir, link := filepath.Join(parent, "copy"), filepath.Join(parent, "link")
	must(t, os.Mkdir(dir, 0o755), os.Symlink(forbidden, link))
	swap := func() error { return unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE) }
	m := meddle(t, swap)
	data := file(8*chunk+1, 1)
	for i := range runs {
		bubble(t, func(t *testing.T, w *world) {
			servers := w.holders(data, data)
			o := w.get(getConfig{Targets: targetsOf(servers...), Dir: dir, Events: func(e fetch.Event) {
				if _, ok := e.(fetch.Voted); ok { // the directory is open by now
					m.on.Store(true)
				}
			}})
			if o.err != nil {
				t.Fatalf("run %d: %v", i, o.err)
			}
		})
		m.pause()
		if m.turns.Load()%2 == 1 {
			must(t, swap())
			m.turns.Add(1)
		}
		got, err := os.ReadFile(filepath.Join(dir, "data.bin"))
		if err != nil || string(got) != string(data) {
			t.Fatalf("run %d: the file is not in its directory, or not right: %v", i, err)
		}
		must(t, os.Remove(filepath.Join(dir, "data.bin")))
	}
	m.pause()
	wantTree(t, forbidden, before)
	if n := m.turns.Load(); n < runs {
		t.Errorf("the directory was swapped %d times, want more", n)
	}
}

// A trapFS is a directory in which a name becomes a link to a file outside,
// right before one of the operations on it.
type trapFS struct {
	partfile.FS
	forbidden string
	left      *int // operations before that one
}

func (f trapFS) trap(name string) {
	if *f.left--; *f.left != -1 {
		return
	}
	path := f.Path(name)
	os.Remove(path) // it may not be there
	if err := os.Symlink(filepath.Join(f.forbidden, name), path); err != nil {
		panic(err)
	}
}

func (f trapFS) Lstat(name string) (partfile.Info, error) {
	f.trap(name)
	return f.FS.Lstat(name)
}

func (f trapFS) Create(name string) (partfile.Handle, error) {
	f.trap(name)
	return f.FS.Create(name)
}

func (f trapFS) Open(name string) (partfile.Handle, error) {
	f.trap(name)
	return f.FS.Open(name)
}

func (f trapFS) OpenWrite(name string) (partfile.Handle, error) {
	f.trap(name)
	return f.FS.OpenWrite(name)
}

func (f trapFS) RenameNoReplace(from, to string) error {
	f.trap(to)
	return f.FS.RenameNoReplace(from, to)
}

func (f trapFS) Rename(from, to string) error {
	f.trap(to)
	return f.FS.Rename(from, to)
}

func (f trapFS) Remove(name string) error {
	f.trap(name)
	return f.FS.Remove(name)
}

// A name becomes a link right before each operation in turn. Get may fail, but
// what the link leads to stays as it is.
func TestHostileNamesBecomeLinks(t *testing.T) {
	withoutRace(t)
	data := file(2*chunk+1, 1)
	for _, test := range []struct {
		name string
		cfg  getConfig
		lay  func(dir string) error // what is there before
	}{
		{"new", getConfig{}, func(string) error { return nil }},
		{"resumed", getConfig{Resume: true}, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "data.bin.part"), data[:chunk], 0o644)
		}},
		{"replaced", getConfig{Force: true}, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "data.bin"), []byte("old"), 0o644)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			forbidden, before := outside(t, parent)
			for n, trapped := 0, true; trapped; n++ {
				dir := filepath.Join(parent, strconv.Itoa(n))
				must(t, os.Mkdir(dir, 0o755), test.lay(dir))
				left := n
				bubble(t, func(t *testing.T, w *world) {
					cfg := test.cfg
					cfg.Targets, cfg.Dir = targetsOf(w.holders(data)...), dir
					cfg.open = func(r *os.Root) partfile.FS { return trapFS{partfile.Dir(r), forbidden, &left} }
					o := w.get(cfg)
					if o.err != nil && fetch.KindOf(o.err) != fetch.KindLocal {
						t.Errorf("operation %d: %v, want an error of the local file, or none", n, o.err)
					}
				})
				wantTree(t, forbidden, before)
				trapped = left < 0
				if !trapped && n < 8 {
					t.Errorf("only %d operations", n)
				}
			}
		})
	}
}
