//go:build unix && !aix && !solaris

package cache

import (
	"os"
	"syscall"
	"testing"
)

// TestCacheFIFO must not wait for a writer.
func TestCacheFIFO(t *testing.T) {
	c := newCache(t)
	must(t, os.MkdirAll(c.Dir, 0o700))
	must(t, syscall.Mkfifo(c.path(keyFor(5)), 0o600))
	wantMiss(t, c, keyFor(5), "a FIFO")
	wantGone(t, c.path(keyFor(5)), "a FIFO")
}

func TestCacheOpenToOthers(t *testing.T) {
	c := newCache(t)
	k := keyFor(5)
	must(t, c.Store(k, madeUp(5, 1)))
	for _, mode := range []os.FileMode{0o770, 0o720, 0o707, 0o702, 0o777 | os.ModeSticky} {
		must(t, os.Chmod(c.Dir, mode))
		wantMiss(t, c, k, mode.String())
		if err := c.Store(k, madeUp(5, 2)); err == nil {
			t.Errorf("stored in a directory of mode %v", mode)
		}
	}
	must(t, os.Chmod(c.Dir, 0o755)) // others may look
	wantHit(t, c, k, madeUp(5, 1), "mode 0755")
	must(t, os.Chmod(c.path(k), 0o620))
	wantMiss(t, c, k, "entry of mode 0620")
	wantGone(t, c.path(k), "entry of mode 0620")
}

// TestCacheThroughLink has a cache directory that was moved to another disk.
func TestCacheThroughLink(t *testing.T) {
	c := newCache(t)
	must(t, c.Store(keyFor(5), madeUp(5, 1)))
	link := c.Dir + ".link"
	must(t, os.Symlink(c.Dir, link))
	wantHit(t, &Cache{Dir: link}, keyFor(5), madeUp(5, 1), "through a link to the directory")
	must(t, (&Cache{Dir: link}).Store(keyFor(1), madeUp(1, 1)))
	wantHit(t, c, keyFor(1), madeUp(1, 1), "stored through the link")
}

// TestCacheOtherOwner needs the right to give files away.
func TestCacheOtherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const nobody = 65534
	c := newCache(t)
	k := keyFor(5)
	must(t, c.Store(k, madeUp(5, 1)))
	must(t, os.Chown(c.Dir, nobody, -1))
	wantMiss(t, c, k, "another user's directory")
	if err := c.Store(k, madeUp(5, 2)); err == nil {
		t.Error("stored in another user's directory")
	}
	must(t, os.Chown(c.Dir, 0, -1))
	wantHit(t, c, k, madeUp(5, 1), "our own again")
	must(t, os.Chown(c.path(k), nobody, -1))
	wantMiss(t, c, k, "another user's entry")
	wantGone(t, c.path(k), "another user's entry")
}
