package transfer

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A meddler does something to a directory over and over, outside of every
// bubble, while it is on.
type meddler struct {
	on    atomic.Bool
	turns atomic.Int64
	mu    sync.Mutex // held in a turn
}

// meddle starts a meddler, which is off, for as long as the test.
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

// pause returns when no turn is under way, and none will be.
func (m *meddler) pause() {
	m.on.Store(false)
	m.mu.Lock()
	defer m.mu.Unlock()
}

// outside makes a directory with files in it that nobody may touch, and returns
// it and what it holds.
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

// The directory is swapped for a symbolic link and back, all the time that Get
// writes into it: nothing gets to where the link leads, and the file gets to
// where the directory is.
func TestHostileDirectoryBecomesALink(t *testing.T) {
	parent := t.TempDir()
	forbidden, before := outside(t, parent)
	dir, link := filepath.Join(parent, "copy"), filepath.Join(parent, "link")
	must(t, os.Mkdir(dir, 0o755), os.Symlink(forbidden, link))
	swap := func() error { return unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE) }
	m := meddle(t, func() error {
		if err := swap(); err != nil {
			return err
		}
		return swap()
	})
	data := file(8*chunk+1, 1)
	for i := range runs {
		bubble(t, func(t *testing.T, w *world) {
			servers := w.holders(data, data)
			o := w.get(GetConfig{Targets: targetsOf(servers...), Dir: dir, Events: func(e GetEvent) {
				if _, ok := e.(Voted); ok { // the directory is open by now
					m.on.Store(true)
				}
			}})
			if o.err != nil {
				t.Fatalf("run %d: %v", i, o.err)
			}
		})
		m.pause()
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

// The names that Get writes to are made links to files elsewhere, all the time:
// it may fail, but what the links lead to stays as it is.
func TestHostileNamesBecomeLinks(t *testing.T) {
	parent := t.TempDir()
	forbidden, before := outside(t, parent)
	dir := filepath.Join(parent, "copy")
	must(t, os.Mkdir(dir, 0o755))
	names := []string{"data.bin.part", "data.bin.part.journal", "data.bin"}
	turn := 0
	m := meddle(t, func() error {
		name := names[turn%len(names)]
		turn++
		path := filepath.Join(dir, name)
		if turn%2 == 0 {
			os.Remove(path) // it may not be there
			return nil
		}
		trap := filepath.Join(parent, "trap")
		if err := os.Symlink(filepath.Join(forbidden, name), trap); err != nil {
			return err
		}
		return os.Rename(trap, path)
	})
	data := file(2*chunk+1, 1)
	ended := make(map[bool]int)
	for i := range runs {
		m.pause()
		for _, name := range names {
			os.Remove(filepath.Join(dir, name)) // it may not be there
		}
		bubble(t, func(t *testing.T, w *world) {
			servers := w.holders(data, data)
			begins := func(e GetEvent) { // before the part file is made, or while it is open, or at its end
				_, voted := e.(Voted)
				_, started := e.(Started)
				_, finishing := e.(Finishing)
				if i%3 == 0 && voted || i%3 == 1 && started || i%3 == 2 && finishing {
					m.on.Store(true)
				}
			}
			o := w.get(GetConfig{Targets: targetsOf(servers...), Dir: dir, Resume: i%2 == 0, Force: i%4 < 2, Events: begins})
			if o.err != nil && KindOf(o.err) != KindLocal {
				t.Errorf("run %d: %v, want an error of the local file, or none", i, o.err)
			}
			ended[o.err == nil]++
		})
	}
	m.pause()
	wantTree(t, forbidden, before)
	if n := m.turns.Load(); n < runs {
		t.Errorf("the names were changed %d times, want more", n)
	}
	t.Logf("%d runs ended well, %d did not", ended[true], ended[false])
}
