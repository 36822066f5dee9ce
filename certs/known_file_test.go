package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestKnownUnreadable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, knownFileName)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := OpenKnown(dir)
	wantKnownError(t, err, path, 0, "it is no regular file")

	dir = t.TempDir()
	path = filepath.Join(dir, knownFileName)
	target := filepath.Join(dir, "elsewhere")
	if err := os.Symlink(target, path); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	_, err = OpenKnown(dir) // not the same as a file that is not there
	wantKnownError(t, err, path, 0, "")
	if err := os.WriteFile(target, []byte("# here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openKnown(t, dir).Record("a:1", testID(1), knownNow); err != nil {
		t.Fatal(err)
	}
	wantContent(t, target, "# here\na:1 "+testID(1).String()+" "+knownNowText+"\n")
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
}

func TestKnownNoPermission(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("nobody is refused here")
	}
	dir, path := putKnownFile(t, "#\n")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	_, err := OpenKnown(dir)
	wantKnownError(t, err, path, 0, "open: permission denied")
}

// TestKnownAtOnce makes many records at the same moment through several Knowns,
// which share only the file.
func TestKnownAtOnce(t *testing.T) {
	const files, each = 4, 24
	dir := t.TempDir()
	var ready, done sync.WaitGroup
	ready.Add(files * each)
	for f := range files {
		k := openKnown(t, dir)
		for i := range each {
			done.Go(func() {
				ready.Done()
				ready.Wait()
				if _, err := k.Record(fmt.Sprintf("h%d:%d", f, i+1), testID(byte(i)), knownNow); err != nil {
					t.Error(err)
				}
				got, err := k.Record("same:1", testID(byte(f)), knownNow)
				if s, ok, _ := k.Lookup("same:1"); err != nil || !ok || s.ID != got.ID {
					t.Errorf("got %s, %v; looked up %s, %t", got.ID.Short(), err, s.ID.Short(), ok)
				}
			})
		}
	}
	done.Wait()
	k := openKnown(t, dir)
	if got, want := len(k.List()), files*each+1; got != want {
		t.Errorf("got %d records, want %d", got, want)
	}
}

const knownProcess = "MALCOLM_TEST_KNOWN"

// TestKnownProcesses has several processes record at the same time.
func TestKnownProcesses(t *testing.T) {
	const processes, each = 4, 16
	if at := os.Getenv(knownProcess); at != "" {
		dir, name, _ := strings.Cut(at, "|")
		k := openKnown(t, dir)
		for i := range each {
			if _, err := k.Record(fmt.Sprintf("%s:%d", name, i+1), testID(1), knownNow); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	dir := t.TempDir()
	var all sync.WaitGroup
	for p := range processes {
		all.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestKnownProcesses$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|p%d", knownProcess, dir, p))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	if got, want := len(openKnown(t, dir).List()), processes*each; got != want {
		t.Errorf("got %d records, want %d", got, want)
	}
}

// TestKnownLockHeld has another process that never releases the lock. That is
// waited for once, in virtual time, and not for every record.
func TestKnownLockHeld(t *testing.T) {
	dir := t.TempDir()
	other, err := openKnown(t, dir).lock()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		k := openKnown(t, dir)
		for i, want := range []time.Duration{tryFor, 0, 0} {
			began := time.Now()
			_, err := k.Record(fmt.Sprintf("a:%d", i+1), testID(1), knownNow)
			if _, ok := errors.AsType[*StateError](err); !ok || !errors.Is(err, errLocked) {
				t.Fatalf("got %v, want a *StateError of the lock", err)
			}
			if got := time.Since(began); got != want {
				t.Errorf("record %d: waited %v, want %v", i, got, want)
			}
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Record("b:1", testID(1), knownNow); err != nil {
			t.Error(err)
		}
	})
}

// TestKnownAfterKill has a temporary file that a killed process left.
func TestKnownAfterKill(t *testing.T) {
	dir := t.TempDir()
	temp := filepath.Join(dir, knownFileName+tempSuffix)
	if err := os.WriteFile(temp, []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openKnown(t, dir).Record("a:1", testID(1), knownNow); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), knownFileName+" "+knownFileName+lockSuffix; got != want {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
	wantLookup(t, openKnown(t, dir), "a:1", testID(1), true)
}

// TestKnownReplaceFails keeps the old file if the new one cannot get its name.
func TestKnownReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, knownFileName)
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := replaceFile(path, []byte("x"))
	if state, ok := errors.AsType[*StateError](err); !ok || state.Op != "rename" || state.Path != path {
		t.Fatalf("got %v, want a *StateError of the rename", err)
	}
	if got := names(t, dir); got != knownFileName {
		t.Errorf("the directory holds %q, want %q", got, knownFileName)
	}
}

// TestKnownFileOfOthers: a file that somebody else could have written is not
// trusted, and the error says what to do.
func TestKnownFileOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, knownFileName)
	if err := os.WriteFile(path, []byte(knownHeader+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, fails := range map[os.FileMode]bool{0o600: false, 0o644: false, 0o660: true, 0o602: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := readKnown(path)
		if (err != nil) != fails || fails && !strings.Contains(err.Error(), "chmod go-w '"+path+"'") {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
}
