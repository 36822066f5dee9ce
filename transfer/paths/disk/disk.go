// Package disk keeps a table of paths in a file between runs, and tells
// networks apart. Losing the file costs the next run a second or two: no error
// of this package ends a run.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"malcolm/transfer/paths"
)

const (
	fileName = "paths"
	// tempName is the table that is being written. The process that made it
	// may write, so it is the lock as well.
	tempName = fileName + ".tmp"

	// The lock is tried every tryEvery for tryFor. A lock older than
	// staleTemp was left by a dead process.
	tryEvery  = 10 * time.Millisecond
	tryFor    = 300 * time.Millisecond
	staleTemp = 10 * time.Second
)

var (
	errNotRegular = errors.New("it is no regular file")
	errLocked     = errors.New("another process is writing it")
)

// Load returns the table in a directory, see certs.CacheDir. Without a file it
// is empty. An error says why the table is empty although there is a file.
func Load(dir string) (paths.Table, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return paths.Table{}, nil
	}
	if err != nil {
		return paths.Table{}, fmt.Errorf("read remembered paths: %w", err)
	}
	defer root.Close()
	t, err := read(root)
	if err != nil {
		err = fmt.Errorf("read remembered paths in %q: %w", dir, err)
	}
	return t, err
}

// read returns the table, which is empty after an error.
func read(root *os.Root) (paths.Table, error) {
	// Root.OpenFile may wait for a FIFO, so Lstat decides what is opened.
	info, err := root.Lstat(fileName)
	if errors.Is(err, fs.ErrNotExist) {
		return paths.Table{}, nil
	}
	if err != nil {
		return paths.Table{}, err
	}
	if !info.Mode().IsRegular() {
		return paths.Table{}, errNotRegular
	}
	f, err := root.OpenFile(fileName, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return paths.Table{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(paths.MaxLen)))
	if err != nil {
		return paths.Table{}, err
	}
	return paths.Parse(text), nil
}

// Save adds what a run has noted to the table in a directory, which it makes.
// At each moment the old table is there or the new one, with mode 0600. What
// other processes have added since Load stays. Nothing is synced: a power
// failure may cost the table.
func Save(dir string, noted paths.Table, now time.Time) error {
	if len(noted) == 0 {
		return nil
	}
	if err := save(dir, noted, now); err != nil {
		return fmt.Errorf("write remembered paths in %q: %w", dir, err)
	}
	return nil
}

func save(dir string, noted paths.Table, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	temp, err := lock(root)
	if err != nil {
		return err
	}
	// What cannot be read is replaced, except what the rename refuses.
	t, _ := read(root)
	t.Merge(noted, now)
	_, err = temp.Write(t.Append(nil))
	if err = errors.Join(err, temp.Close()); err == nil {
		err = root.Rename(tempName, fileName)
	}
	if err != nil {
		return errors.Join(err, root.Remove(tempName))
	}
	return nil
}

// lock makes the file to write into.
func lock(root *os.Root) (*os.File, error) {
	for waited := time.Duration(0); ; waited += tryEvery {
		f, err := root.OpenFile(tempName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if info, err := root.Lstat(tempName); err == nil && time.Since(info.ModTime()).Abs() > staleTemp {
			_ = root.Remove(tempName) // the next try says whether that helped
			if waited < tryFor {
				continue
			}
		}
		if waited >= tryFor {
			return nil, errLocked
		}
		time.Sleep(tryEvery)
	}
}
