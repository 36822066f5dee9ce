//go:build crash && unix

package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"malcolm/cmd/malcolm/human"
)

// Real processes die at random moments, and the next run uses what they left.
// `just crash` runs these tests, which take minutes.

var (
	crashSeed  = flag.Uint64("crash.seed", uint64(time.Now().UnixNano()), "of the random moments")
	crashKills = flag.Int("crash.kills", 200, "how often a process is killed")
)

const (
	crashSize  = 64 << 20
	crashChunk = 256 << 10
	crashLimit = 8 << 20 // bytes a second
	// crashUnsynced bounds what may be good and in no journal: what comes
	// in the 2 s between checkpoints, and in 2 s that a sync may take on a
	// disk to which all other runs of this test write.
	crashUnsynced = 4 * crashLimit
	// crashFlight bounds what may be under way when a process dies: one
	// second of the limit, at least a chunk from each of two servers, and
	// what came after the last report.
	crashFlight = crashLimit + 2*crashChunk + 2<<20
)

// crashRand are the random numbers of one test.
func crashRand(t *testing.T) *rand.Rand {
	t.Logf("-crash.seed %d", *crashSeed)
	return rand.New(rand.NewPCG(*crashSeed, 0))
}

// crashFile makes the file that is served.
func crashFile(t *testing.T, size int) string {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(data)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// launchCrash starts malcolm with a home of its own. It ends with t.
func launchCrash(t *testing.T, name string, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath("malcolm")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, stdout: newTranscript(), stderr: newTranscript(), done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(append(os.Environ(), "MALCOLM_LOG_TIME=never"), homeOf(t.TempDir(), name)...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("stderr of %s (exit code %d):\n%s", name, p.code(), p.stderr.String())
		}
	})
	return p
}

// serveCrash serves a file on two ports and returns the words that name them.
func serveCrash(t *testing.T, path string) (p *process, targets []string) {
	t.Helper()
	p = launchCrash(t, "serve", "serve", "-f", path, "-n", "2", "--bind", "127.0.0.1")
	m, err := p.await(listeningLine)
	if err == nil {
		_, err = p.await(readyLine)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, append([]string{"-a", "127.0.0.1", "-p"}, strings.Fields(m[1])...)
}

func getCrash(t *testing.T, dir string, targets []string, flags ...string) *process {
	t.Helper()
	args := append([]string{"get", "-o", dir}, flags...)
	return launchCrash(t, "get", append(args, targets...)...)
}

// ends waits for a process to end with an exit code.
func (p *process) ends(t *testing.T, code int) {
	t.Helper()
	if err := p.wait(); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	if p.code() != code {
		t.Fatalf("%s: exit code %d, want %d", p.name, p.code(), code)
	}
}

var percentLine = regexp.MustCompile(`(?m)^total  +([0-9]+\.[0-9]) %  `)

// percent is the last percentage that a get has reported.
func (p *process) percent() float64 {
	all := percentLine.FindAllStringSubmatch(p.stderr.String(), -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(all[len(all)-1][1], 64)
	return n
}

// awaitPercent waits until a get has reported at least least percent.
func (p *process) awaitPercent(t *testing.T, least float64) {
	t.Helper()
	hang := time.NewTimer(hangTime)
	defer hang.Stop()
	for {
		_, more := p.stderr.now()
		if p.percent() >= least {
			return
		}
		select {
		case <-more:
		case <-p.done:
			t.Fatalf("%s: ended with exit code %d before %.1f %%", p.name, p.code(), least)
		case <-hang.C:
			t.Fatalf("%s: does not come to %.1f %%", p.name, least)
		}
	}
}

// sameFiles demands equal bytes.
func sameFiles(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Fatalf("%s (%d bytes) differs from what was served (%d bytes)", got, len(a), len(b))
	}
}

// finishes resumes, and demands the right file and nothing beside it.
func finishes(t *testing.T, path, dir string, targets []string) *process {
	t.Helper()
	p := getCrash(t, dir, targets, "-r", "-i", "0")
	p.ends(t, exitDone)
	sameFiles(t, filepath.Join(dir, "data"), path)
	for _, suffix := range []string{".part", ".part.journal"} {
		if _, err := os.Lstat(filepath.Join(dir, "data"+suffix)); !os.IsNotExist(err) {
			t.Errorf("data%s is left: %v", suffix, err)
		}
	}
	return p
}

// crashCounts are the largest values that the runs of one test saw.
type crashCounts struct {
	mu                         sync.Mutex
	runs, retries              int
	least, most                float64 // percent at the death
	kept, unsynced, overhead   int64   // bytes, the largest of each
	keptNothing, keptSomething int
}

func TestCrashKill(t *testing.T) {
	rng := crashRand(t)
	path := crashFile(t, crashSize)
	counts := &crashCounts{least: 100}
	t.Cleanup(func() {
		t.Logf("%d kills between %.1f and %.1f %%, %d tried again; %d left records and %d none; at most %s kept, %s good but not in the journal, %s sent twice or wasted",
			counts.runs, counts.least, counts.most, counts.retries, counts.keptSomething, counts.keptNothing,
			human.Bytes(counts.kept), human.Bytes(counts.unsynced), human.Bytes(counts.overhead))
	})
	for i := range *crashKills {
		moment := 5 + rng.Float64()*88
		t.Run(fmt.Sprintf("%03d_at_%.1f", i, moment), func(t *testing.T) {
			t.Parallel()
			for !killAt(t, path, moment, counts) {
			}
		})
	}
}

// killAt kills a get at a percentage and resumes it; false: the machine was so
// slow that the kill came after 95 %.
func killAt(t *testing.T, path string, moment float64, counts *crashCounts) bool {
	server, targets := serveCrash(t, path)
	dir := t.TempDir()
	get := getCrash(t, dir, targets, "-i", "0.02", "--limit", strconv.Itoa(crashLimit))
	get.awaitPercent(t, moment)
	get.cmd.Process.Kill()
	<-get.done
	reported := get.percent()
	if reported > 95 {
		counts.mu.Lock()
		defer counts.mu.Unlock()
		counts.retries++
		return false
	}
	if get.code() != -1 {
		t.Fatalf("exit code %d, want the end by a signal", get.code())
	}
	if _, err := os.Lstat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Fatalf("something has the final name: %v", err)
	}
	kept, err := journalled(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	unsynced := max(int64(reported/100*crashSize)-kept, 0)
	if unsynced > crashUnsynced {
		t.Errorf("%s are good, but the journal says %s", human.Bytes(unsynced+kept), human.Bytes(kept))
	}
	resumed := finishes(t, path, dir, targets)
	said := strings.Contains(resumed.stderr.String(), ", "+human.Bytes(kept)+" kept from an earlier run\n")
	if said != (kept > 0) {
		t.Errorf("the journal says %s, the second run something else", human.Bytes(kept))
	}
	server.cmd.Process.Signal(syscall.SIGINT)
	server.ends(t, exitDone)
	overhead := sentBy(t, server) - crashSize
	if overhead > unsynced+crashFlight {
		t.Errorf("%s were sent twice or wasted, want at most %s", human.Bytes(overhead), human.Bytes(unsynced+crashFlight))
	}
	counts.add(reported, kept, unsynced, overhead)
	return true
}

func (c *crashCounts) add(reported float64, kept, unsynced, overhead int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	c.least, c.most = min(c.least, reported), max(c.most, reported)
	c.kept, c.unsynced, c.overhead = max(c.kept, kept), max(c.unsynced, unsynced), max(c.overhead, overhead)
	if kept > 0 {
		c.keptSomething++
	} else {
		c.keptNothing++
	}
}

var sentLine = regexp.MustCompile(`(?m)^total .* ([0-9.]+) MiB sent `)

// sentBy returns how many bytes a server says, at its end, that it has sent.
func sentBy(t *testing.T, p *process) int64 {
	t.Helper()
	all := sentLine.FindAllStringSubmatch(p.stderr.String(), -1)
	if len(all) == 0 {
		t.Fatal("the server does not say how much it has sent")
	}
	n, err := strconv.ParseFloat(all[len(all)-1][1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n * (1 << 20))
}
