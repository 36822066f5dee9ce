package certs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	knownFileName = "known_servers"
	lockSuffix    = ".lock"
	tempSuffix    = ".tmp"

	// Another process may hold the lock for a moment, and on Windows the
	// file itself. So both are tried every tryEvery for tryFor.
	tryEvery = 10 * time.Millisecond
	tryFor   = 5 * time.Second
)

var errLocked = errors.New("another process holds the lock")

// knownPath returns the real path of the file in dir, so that writing does not
// replace a symbolic link. A dangling link is an error.
func knownPath(dir string) (string, error) {
	path := filepath.Join(dir, knownFileName)
	if _, err := os.Lstat(path); err != nil {
		if absent(err) {
			return path, nil
		}
		return "", knownFileError(path, err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", knownFileError(path, err)
	}
	return real, nil
}

// absent reports whether err says that a file does not or cannot exist. A path
// that leads through a file, as under a home of /dev/null, cannot.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// readKnown reads the file at path. Errors are *KnownFileError.
func readKnown(path string) (*knownText, error) {
	var content []byte
	err := patiently(passing, tryFor, func() (err error) {
		content, err = readRegular(path, maxKnownFile+1, othersMayWrite(path))
		return err
	})
	if absent(err) {
		return newKnownText(), nil
	}
	if err != nil {
		return nil, knownFileError(path, err)
	}
	text, line, err := parseKnown(string(content))
	if err != nil {
		return nil, &KnownFileError{Path: path, Line: line, Reason: err.Error() + "; mend it, or move it away to trust on first contact again"}
	}
	return text, nil
}

// readRegular returns the first limit bytes of the regular file at path, if
// safe accepts what the system says of it.
func readRegular(path string, limit int64, safe func(fs.FileInfo) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openNonblock, 0) // a FIFO has no writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	if err := safe(info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

var errNotRegular = errors.New("it is no regular file")

// othersMayWrite returns an error if somebody else could have written the file,
// and so forged trust.
func othersMayWrite(path string) func(fs.FileInfo) error {
	return func(info fs.FileInfo) error {
		switch mode := info.Mode().Perm(); {
		case !isOurs(info):
			return errors.New("it belongs to another user")
		case mode&0o022 != 0 && runtime.GOOS != "windows":
			return fmt.Errorf("others may write to it (mode %#o); run: chmod go-w %s", mode, shellQuote(path))
		}
		return nil
	}
}

func knownFileError(path string, err error) error {
	return &KnownFileError{Path: path, Reason: reasonAt(path, err), Err: err}
}

// rewrite makes the changes of batch to the file as it is now, under the lock,
// and returns its new content. The caller holds k.writing.
func (k *Known) rewrite(batch []*knownChange) (*knownText, error) {
	dir := filepath.Dir(k.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &StateError{Path: dir, Op: "make directory", Err: err}
	}
	lock, err := k.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close() // which also releases the lock
	text, err := readKnown(k.path)
	if err != nil {
		return nil, err
	}
	changed := false
	for _, c := range batch {
		changed = c.apply(text) || changed
	}
	if !changed {
		return text, nil
	}
	content := text.encode()
	if _, _, err := parseKnown(content); err != nil {
		return nil, &StateError{Path: k.path, Op: "write", Err: fmt.Errorf("it could not be read back: %w", err)}
	}
	if err := replaceFile(k.path, []byte(content)); err != nil {
		return nil, err
	}
	return text, nil
}

// lock takes the lock. It is on a file of its own, since each change replaces
// the known file. The lock's file stays: if it were removed, two processes
// could hold two locks of one name.
func (k *Known) lock() (*os.File, error) {
	path := k.path + lockSuffix
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &StateError{Path: path, Op: "lock", Err: err}
	}
	wait := tryFor
	if k.timedOut {
		wait = 0
	}
	isLocked := func(err error) bool { return errors.Is(err, errLocked) }
	err = patiently(isLocked, wait, func() error { return lockFile(f) })
	k.timedOut = isLocked(err)
	if err != nil {
		f.Close()
		return nil, &StateError{Path: path, Op: "lock", Err: err}
	}
	return f, nil
}

// lockFile locks f until it is closed, or returns errLocked at once.
func lockFile(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = tryLock(fd) }); err != nil {
		return err
	}
	return result
}

// replaceFile replaces the content of the file at path, durably: at every
// moment the whole old or the whole new content is there. The caller holds the
// lock, so the temporary file, whose name is always the same, is its own. One
// that a killed process left does no harm. Errors are *StateError.
func replaceFile(path string, content []byte) error {
	temp := path + tempSuffix
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &StateError{Path: temp, Op: "remove", Err: err}
	}
	if err := createExclusive(temp, content); err != nil {
		return &StateError{Path: temp, Op: "write", Err: err}
	}
	if err := patiently(passing, tryFor, func() error { return os.Rename(temp, path) }); err != nil {
		return &StateError{Path: path, Op: "rename", Err: errors.Join(err, os.Remove(temp))}
	}
	err := syncDir(filepath.Dir(path))
	// Some file systems lack this call; they have nothing better.
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return &StateError{Path: path, Op: "sync", Err: err}
	}
	return nil
}

// patiently repeats do while again is true of its error, for at most atMost,
// and returns the last error.
func patiently(again func(error) bool, atMost time.Duration, do func() error) error {
	for waited := time.Duration(0); ; waited += tryEvery {
		err := do()
		if err == nil || !again(err) || waited >= atMost {
			return err
		}
		time.Sleep(tryEvery)
	}
}
