//go:build crash && linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// crashDiskSize is the size of the file in the tests with a full disk.
const crashDiskSize = 32 << 20

// mountFor mounts something on a directory until the test ends.
func mountFor(t *testing.T, dir string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: only root can mount file systems")
	}
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("skipped: this machine does not mount such a file system: %v: %s", err, strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
}

// fill uses n bytes of a disk.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, n), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestCrashFull fills a disk under a get that does not check for space first.
func TestCrashFull(t *testing.T) {
	path := crashFile(t, crashDiskSize)
	_, targets := serveCrash(t, path)
	const disk = crashDiskSize + 8<<20
	for _, percent := range []int{0, 1, 25, 50, 75, 99} {
		for _, how := range []string{"none", "auto"} {
			t.Run(fmt.Sprintf("%s_%d", how, percent), func(t *testing.T) {
				dir := t.TempDir()
				mountFor(t, dir, "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", disk), "malcolm")
				filler := filepath.Join(dir, "filler")
				fill(t, filler, disk-crashDiskSize/100*percent)
				fullDisk(t, dir, targets, how, percent)
				if err := os.Remove(filler); err != nil {
					t.Fatal(err)
				}
				resumed := finishes(t, path, dir, targets)
				if how == "none" && percent >= 25 && !strings.Contains(resumed.stderr.String(), " kept from an earlier run") {
					t.Error("nothing was kept of what had room")
				}
			})
		}
	}
}

var (
	fullLine = regexp.MustCompile(`(?m)^malcolm: error: [a-z ]+ "(.*/data\.part(\.journal)?)": .*$`)
	freeLine = regexp.MustCompile(`(?m)^malcolm: hint: free [1-9][0-9.]* [KM]iB more, or write elsewhere with -o DIR$`)
)

// fullDisk demands that a full disk ends the run, with the path and what is
// missing.
func fullDisk(t *testing.T, dir string, targets []string, how string, percent int) {
	t.Helper()
	get := getCrash(t, dir, targets, "-i", "0", "--no-space-check", "--preallocate", how)
	get.ends(t, exitLocal)
	said := get.stderr.String()
	m := fullLine.FindStringSubmatch(said)
	if m == nil || !strings.HasPrefix(m[1], dir) {
		t.Errorf("no error that names the part file or its journal:\n%s", said)
	}
	if !strings.Contains(said, "no space left on device") {
		t.Errorf("no word of the disk:\n%s", said)
	}
	if !freeLine.MatchString(said) {
		t.Errorf("no word of what is missing, with room for %d %%:\n%s", percent, said)
	}
	if _, err := os.Lstat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Errorf("something has the final name: %v", err)
	}
}

// The ioctl that stops a file system at once, like a power failure:
// FS_IOC_SHUTDOWN of linux/fs.h, and its argument's values of ext4.
const (
	fsShutdown      = 0x8004587d
	shutdownLogged  = 1 // the journal of the file system is written first
	shutdownAtOnce  = 2
	shutdownRepeats = 6 // of each
)

func shutDown(dir string, how uint32) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsShutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		return errno
	}
	return nil
}

// TestCrashShutdown shuts an ext4 down under a get.
func TestCrashShutdown(t *testing.T) {
	rng := crashRand(t)
	path := crashFile(t, crashSize)
	_, targets := serveCrash(t, path)
	for i := range 2 * shutdownRepeats {
		moment := 5 + rng.Float64()*88
		how := uint32(shutdownLogged + i%2)
		t.Run(fmt.Sprintf("%d_at_%.1f", how, moment), func(t *testing.T) { shutDownAt(t, path, targets, moment, how) })
	}
}

var (
	checkedWords = regexp.MustCompile(`; checking ([0-9.]+ [KMG]?i?B) of an earlier run\n`)
	keptWords    = regexp.MustCompile(`, ([0-9.]+ [KMG]?i?B) kept from an earlier run\n`)
)

func shutDownAt(t *testing.T, path string, targets []string, moment float64, how uint32) {
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	fill(t, image, 0)
	if err := os.Truncate(image, 4*crashSize); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Skipf("skipped: no ext4 can be made here: %v: %s", err, strings.TrimSpace(string(out)))
	}
	mountFor(t, dir, "-o", "loop", image)
	get := getCrash(t, dir, targets, "-i", "0.02", "--limit", strconv.Itoa(crashLimit))
	get.awaitPercent(t, moment)
	if err := shutDown(dir, how); err != nil {
		t.Skipf("skipped: this kernel does not shut an ext4 down: %v", err)
	}
	if reported := get.percent(); reported > 95 {
		t.Fatalf("shut down at %.1f %%, want up to 95: the limit did not hold it", reported)
	}
	get.ends(t, exitLocal)
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount again: %v: %s", err, out)
	}
	if _, err := os.Lstat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Fatalf("something has the final name: %v", err)
	}
	said := finishes(t, path, dir, targets).stderr.String()
	checked, kept := match(checkedWords, said), match(keptWords, said)
	if checked != kept {
		t.Errorf("the journal claims %q, of which %q is good: a record was durable before its chunk", checked, kept)
	}
	t.Logf("shut down at %.1f %%; kept %q", get.percent(), kept)
}

// match is what a pattern's group matches in text; empty when it does not.
func match(re *regexp.Regexp, text string) string {
	m := re.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}
