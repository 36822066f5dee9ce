package serve

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/scan"
)

// An indexed is an index that runs in a bubble, and the events it told.
type indexed struct {
	*index
	t      *testing.T
	told   chan Event
	ended  chan error
	cancel context.CancelFunc
}

func startIndex(t *testing.T, source localfile.Source) *indexed {
	x := &indexed{t: t, told: make(chan Event, 100), ended: make(chan error, 1)}
	x.index = newIndex(source, "x", Hashes{}, func(e Event) { x.told <- e })
	ctx, cancel := context.WithCancel(t.Context())
	x.cancel = cancel
	go func() { x.ended <- x.run(ctx) }()
	synctest.Wait()
	return x
}

// offered returns the checksum that is offered at once, and waits until all the
// work that follows is done.
func (x *indexed) offered() [32]byte {
	x.t.Helper()
	v, _, err := x.acquire(x.t.Context())
	if v == nil {
		x.t.Fatalf("nothing is offered: %v", err)
	}
	defer x.release(v)
	synctest.Wait()
	return v.offer.Checksum
}

func (x *indexed) stop() {
	x.cancel()
	if err := <-x.ended; err != nil {
		x.t.Error(err)
	}
}

// tells returns how many events of a type were told.
func tells[E Event](x *indexed) (n int) {
	for range len(x.told) {
		e := <-x.told
		if _, ok := e.(E); ok {
			n++
		}
		x.told <- e
	}
	return n
}

// After a chmod or a new link the file is still offered. It is hashed once
// more, so a change that hides behind them is found.
func TestChmodOfTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "data.bin")
		data := filled(3*oneChunk, 1)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := localfile.Offer(path)
		if err != nil {
			t.Fatal(err)
		}
		x := startIndex(t, source)
		defer x.stop()
		for range 3 {
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			if x.offered() != sumOf(data) {
				t.Error("another file is offered")
			}
		}
		if n := tells[Ready](x); n != 1 {
			t.Errorf("ready was told %d times, want once", n)
		}
		// The bytes change, and the modification time is put back.
		info, _ := os.Stat(path)
		next := slices.Clone(data)
		next[5] ^= 0x80
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt(next, 0)
		f.Close()
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		x.offered()
		time.Sleep(time.Minute)
		if x.offered() != sumOf(next) || tells[Ready](x) != 2 {
			t.Error("a change behind an old modification time is not found")
		}
		if x.version(sumOf(data)) != nil {
			t.Error("bytes are offered that the file has lost")
		}
	})
}

// If the system says something new of a file at each look, it is offered all
// the time and hashed again less and less often.
func TestDoubtsWithoutAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := filled(oneChunk, 1)
		src := &unstable{memFile: newMemFile(data), ctime: true}
		x := startIndex(t, src)
		defer x.stop()
		for range 1000 {
			if x.offered() != sumOf(data) {
				t.Error("another file is offered")
			}
			time.Sleep(time.Second)
		}
		if n := src.opened.Load(); n < 8 || n > 14 {
			t.Errorf("hashed %d times in 1,000 s, want 2, 4, 8 s and so on apart", n)
		}
	})
}

// If a file system gives a file another number at each look, the file is still
// offered, and is not hashed for ever.
func TestUnstableNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := filled(3*oneChunk, 1)
		src := &unstable{memFile: newMemFile(data)}
		x := startIndex(t, src)
		defer x.stop()
		for range 20 {
			if x.offered() != sumOf(data) {
				t.Error("another file is offered")
			}
			time.Sleep(time.Minute)
		}
		if n := src.opened.Load(); n > 3 {
			t.Errorf("the file was hashed %d times, want twice", n)
		}
		if tells[Ready](x) != 1 || tells[UnstableNumbers](x) != 1 {
			t.Errorf("told %d times ready, %d times unstable, want once each", tells[Ready](x), tells[UnstableNumbers](x))
		}
		src.replace(filled(3*oneChunk, 2))
		x.acquire(t.Context())
		synctest.Wait()
		if x.offered() != sumOf(filled(3*oneChunk, 2)) {
			t.Error("a change is not found any more")
		}
	})
}

// An unstable is a file that has another number at each look.
type unstable struct {
	*memFile
	number atomic.Uint64
	ctime  bool // the change time differs at each look, too
	opened atomic.Int64
}

func (u *unstable) Open() (localfile.File, error) {
	u.opened.Add(1)
	return u, nil
}

func (u *unstable) Stat() (fs.FileInfo, error) {
	info, err := u.memFile.Stat()
	number := u.number.Add(1)
	changed := syscall.Timespec{Sec: 1e9}
	if u.ctime {
		changed.Sec += int64(number)
	}
	return numbered{info, &syscall.Stat_t{Ino: number, Ctim: changed, Mtim: syscall.NsecToTimespec(info.ModTime().UnixNano())}}, err
}

type numbered struct {
	fs.FileInfo
	stat *syscall.Stat_t
}

func (n numbered) Sys() any { return n.stat }

// A file whose size is not what the system says is refused in words.
func TestSizeThatLies(t *testing.T) {
	for _, path := range []string{"/proc/cpuinfo", "/sys/class/net/lo/mtu", "/proc/self/mem"} {
		source, err := localfile.Offer(path)
		if errors.Is(err, fs.ErrNotExist) {
			t.Logf("%s is not here", path)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ix := newIndex(source, "x", Hashes{}, func(e Event) {
			t.Errorf("told %T", e)
			stop()
		})
		err = ix.run(ctx)
		stop()
		if !errors.Is(err, scan.ErrMadeUp) {
			t.Errorf("%s: %v, want %v", path, err, scan.ErrMadeUp)
		}
	}
}

// A link that takes an offered file's name must not lead elsewhere.
func TestNameBecomesALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path, secret := filepath.Join(dir, "data.bin"), filepath.Join(dir, "secret")
		data := filled(oneChunk, 1)
		for name, content := range map[string][]byte{path: data, secret: filled(oneChunk, 2)} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		source, err := localfile.Offer(path)
		if err != nil {
			t.Fatal(err)
		}
		x := startIndex(t, source)
		defer x.stop()
		swap := func(replace func()) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			replace()
		}
		swap(func() { os.Symlink(secret, path) })
		if v, _, _ := x.acquire(t.Context()); v != nil || x.version(sumOf(data)) != nil {
			t.Error("something is offered although the name is a link now")
		}
		time.Sleep(time.Minute)
		if _, _, err := x.acquire(t.Context()); !errors.As(err, new(*localfile.TakeoverError)) || tells[Unreadable](x) != 1 {
			t.Errorf("refused for %v, told %d times, want that it became a link, once", err, tells[Unreadable](x))
		}
		swap(func() { os.WriteFile(path, data, 0o600) })
		time.Sleep(longestRebuildPause)
		if x.offered() != sumOf(data) {
			t.Error("the file is not offered again")
		}
	})
}
