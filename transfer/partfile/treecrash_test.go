package partfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile/crashfs"
	"malcolm/wire"
)

// treeSeeds is the variable with the number of seeds of a longer campaign.
const treeSeeds = "MALCOLM_TREE_CRASH_SEEDS"

// A treeDownload has a tree on a disk whose power fails now and then.
type treeDownload struct {
	*sample
	fs        *crashFS
	rng       *rand.Rand
	replace   bool // there is a directory under the final name
	noFlags   bool // there is no exclusive rename
	noSyncAll bool // the file system cannot be synced as a whole

	unread    bool         // a read failed: a record of the journal may be lost
	committed bool         // a Commit returned without an error
	synced    map[int]bool // chunks that a Checkpoint without an error recorded
	fetched   map[int]int  // how often each chunk was fetched
}

var errRecordLost = errors.New("it was recorded, and is lost")

const crashLarge = manifest.MinChunkSize + 5

func crashSample(t interface{ Fatal(...any) }) *sample {
	return newSample(t,
		leaf{path: "a/b/c", size: 600, seed: 1},
		leaf{path: "a/large", kind: wire.EntryExecutable, size: crashLarge, seed: 2},
		leaf{path: "a/link", kind: wire.EntryLink, target: "b/c"},
		leaf{path: "again", size: 600, seed: 1},
		leaf{path: "empty/directory", kind: wire.EntryDirectory},
		leaf{path: "empty.file"},
		leaf{path: "large", size: crashLarge, seed: 3},
		leaf{path: "run", kind: wire.EntryExecutable, size: 30, seed: 4},
		leaf{path: "twice/large", size: crashLarge, seed: 3},
	)
}

// anySample is a tree of a few entries of any kind.
func anySample(t interface{ Fatal(...any) }, rng *rand.Rand) *sample {
	var leaves []leaf
	for range rng.IntN(12) {
		parts := make([]string, 1+rng.IntN(3))
		for i := range parts {
			parts[i] = string(rune('a' + rng.IntN(3)))
		}
		l := leaf{path: strings.Join(parts, "/")}
		l.kind = []wire.EntryKind{wire.EntryFile, wire.EntryFile, wire.EntryExecutable, wire.EntryDirectory, wire.EntryLink}[rng.IntN(5)]
		switch {
		case l.kind == wire.EntryLink:
			l.target = "x"
		case l.kind != wire.EntryDirectory:
			l.size, l.seed = []int{0, 1, 600, 5000, crashLarge}[rng.IntN(5)], uint64(rng.IntN(2))
		}
		beside := !slices.ContainsFunc(leaves, func(other leaf) bool {
			return l.path == other.path || strings.HasPrefix(l.path, other.path+"/") || strings.HasPrefix(other.path, l.path+"/")
		})
		if beside {
			leaves = append(leaves, l)
		}
	}
	slices.SortFunc(leaves, func(a, b leaf) int {
		if wire.PathLess(a.path, b.path) {
			return -1
		}
		return 1
	})
	return newSample(t, leaves...)
}

func newTreeDownload(s *sample, seed uint64, change func(*treeDownload)) *treeDownload {
	rng := rand.New(rand.NewPCG(seed, 2))
	d := &treeDownload{
		sample: s, rng: rng, fs: &crashFS{crashfs.New(512, rng.IntN)}, synced: map[int]bool{}, fetched: map[int]int{},
	}
	change(d)
	if d.replace {
		d.putOld()
	}
	return d
}

// putOld makes the directory that is to be replaced.
func (d *treeDownload) putOld() {
	d.fs.Disk.Mkdir("x")
	old, _ := d.fs.Disk.OpenDir("x")
	f, _ := old.Create("old")
	f.WriteAt([]byte("old"), 0)
	old.SyncAll()
	d.fs.Kill()
}

// run is one get -r, with --force if there is something to replace.
func (d *treeDownload) run() error {
	found, err := LookTree(d.fs, "x")
	if err != nil {
		return err
	}
	h := TreeHeader(d.tree, d.listing)
	decision := DecideTree(found.FinalState(h), found.PartState(h), found.Replaced, true, d.replace)
	switch decision.Action {
	case AlreadyRight:
		return FinishTree(d.fs, "x")
	case Refuse:
		return fmt.Errorf("refused: %+v", found)
	}
	o := d.options(decision.Action)
	o.Replace = decision.Replace
	f, err := OpenTree(context.Background(), d.fs, o)
	if err != nil {
		return err
	}
	err = d.fill(f)
	if err == nil {
		_, err = f.Commit(context.Background())
		d.committed = d.committed || err == nil
	}
	return errors.Join(err, f.Close())
}

func (d *treeDownload) fill(f *Tree) error {
	for chunk := range f.Chunks() {
		if d.synced[chunk] && !f.Found(chunk) {
			return fmt.Errorf("chunk %d: %w", chunk, errRecordLost)
		}
	}
	var bad error
	err := f.Survey(context.Background(), 1, nil, func(chunk int, ok bool) {
		if !ok && d.synced[chunk] && !d.unread {
			bad = fmt.Errorf("chunk %d is not right: %w", chunk, errRecordLost)
		}
	})
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	for _, chunk := range d.rng.Perm(f.Chunks()) {
		if f.Marked(chunk) {
			continue
		}
		d.fetched[chunk]++
		if err := d.fetch(f, chunk); err != nil {
			return err
		}
		if d.rng.IntN(3) == 0 {
			if err := d.checkpoint(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *treeDownload) checkpoint(f *Tree) error {
	if err := f.Checkpoint(); err != nil {
		return err
	}
	for chunk := range f.Chunks() {
		if f.Marked(chunk) && f.records(chunk) {
			d.synced[chunk] = true
		}
	}
	return nil
}

// lies says what a directory holds: "" for nothing, "tree", "old", or what is
// wrong with it.
func (d *treeDownload) lies(name string) string {
	if !d.fs.Exists(name) {
		return ""
	}
	want := map[string]wire.Entry{}
	for _, e := range d.tree.Entries() {
		want[e.Path] = e
	}
	wrong, old, n := "", false, 0
	d.fs.Walk(func(path string, kind crashfs.Kind, executable bool, content []byte, target string) {
		path, below := strings.CutPrefix(path, name+"/")
		if !below {
			return
		}
		n++
		old = old || path == "old" && string(content) == "old"
		e, ok := want[path]
		delete(want, path)
		switch {
		case !ok && kind == crashfs.Directory:
		case !ok:
			wrong = path + " is not of the tree"
		case e.Kind == wire.EntryDirectory && kind == crashfs.Directory:
		case e.Kind == wire.EntryLink && kind == crashfs.Link && target == e.Target:
		case e.IsFile() && kind == crashfs.Regular && d.isRight(e, content) && executable == (e.Kind == wire.EntryExecutable):
		default:
			wrong = path + " is wrong"
		}
	})
	switch {
	case old && n == 1:
		return "old"
	case wrong != "":
		return wrong
	case len(want) > 0:
		return fmt.Sprintf("%d entries are missing", len(want))
	}
	return "tree"
}

func (d *treeDownload) isRight(e wire.Entry, content []byte) bool {
	for i, b := range d.bytes {
		if d.tree.Content().File(i).Checksum == e.Checksum {
			return bytes.Equal(b, content)
		}
	}
	return len(content) == 0 && e.Size == 0
}

// inspect says what is wrong with the disk after a crash.
func (d *treeDownload) inspect() error {
	final, aside := d.lies("x"), d.lies("x"+ReplacedSuffix)
	switch {
	case final != "" && final != "tree" && final != "old", final == "old" && !d.replace:
		return fmt.Errorf("the final name holds: %s", final)
	case d.committed && final != "tree":
		return fmt.Errorf("after the commit the final name holds: %s", final)
	case d.replace && final != "old" && aside != "old":
		return fmt.Errorf("the directory that was there is lost: %s, %s", final, aside)
	case aside == "old" && final == "" && d.replace:
		if found, err := LookTree(d.fs, "x"); err != nil || !found.CutOff {
			return fmt.Errorf("nothing tells where the directory that was there is: %+v, %v", found, err)
		}
	}
	return nil
}

// finish runs until the tree is there.
func (d *treeDownload) finish() error {
	if d.lies("x") != "tree" {
		if err := d.run(); err != nil {
			return err
		}
		d.fs.Crash()
	}
	if got := d.lies("x"); got != "tree" {
		return fmt.Errorf("at the end the final name holds: %s", got)
	}
	if err := d.inspect(); err != nil {
		return err
	}
	if d.fs.Exists("x" + JournalSuffix) { // its removal was not durable
		if err := FinishTree(d.fs, "x"); err != nil {
			return err
		}
	}
	for _, suffix := range []string{PartSuffix, JournalSuffix} {
		if d.fs.Exists("x" + suffix) {
			return fmt.Errorf("x%s is left", suffix)
		}
	}
	return nil
}

// fails makes the n-th operation op of a run fail.
func (d *treeDownload) fails(op string, n int) {
	d.unread = false
	d.fs.Fail = func(got, _ string) error {
		if got == "renamenoreplace" && d.noFlags || got == "syncall" && d.noSyncAll {
			return errors.ErrUnsupported
		}
		if got != op {
			return nil
		}
		if n--; n == 0 {
			d.unread = op == "read"
			return syscall.EIO
		}
		return nil
	}
}

func (d *treeDownload) configure(i int) {
	d.replace, d.noFlags, d.noSyncAll = i&1 != 0, i&2 != 0, i&4 != 0
}

func seedsOf(t *testing.T, few uint64) uint64 {
	text := os.Getenv(treeSeeds)
	if text == "" {
		return few
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The power fails in each operation of a run in turn. What is then under the
// final name is never wrong, nothing that was there is lost, and the next run
// ends with the right tree.
func TestTreeCrashAtEveryOperation(t *testing.T) {
	s := crashSample(t)
	step := 1
	if raceEnabled { // each operation in one of the ways: all of them take minutes on one processor
		step = 8
	}
	for way := range 8 {
		crashes := 0
		for at := 1 + way%step; ; at += step {
			d := newTreeDownload(s, uint64(way), func(d *treeDownload) { d.configure(way) })
			d.fails("", 0)
			d.fs.CrashAt = at
			err := d.run()
			if !d.fs.Down() {
				if err != nil {
					t.Fatalf("way %d: %v", way, err)
				}
				break
			}
			crashes++
			d.fs.Crash()
			if err := d.inspect(); err != nil {
				t.Fatalf("way %d, crash in operation %d: %v", way, at, err)
			}
			d.fails("", 0)
			if err := d.finish(); err != nil {
				t.Fatalf("way %d, after a crash in operation %d: %v", way, at, err)
			}
		}
		if crashes < 80/step {
			t.Errorf("only %d crashes", crashes)
		}
	}
}

// Any sequence of crashes, kills and failed operations. A longer campaign is
// asked for by a number of seeds in the environment.
func TestTreeCrashes(t *testing.T) {
	ops := []string{
		"", "write", "datasync", "sync", "syncdir", "syncall", "truncate", "allocate", "rename", "renamenoreplace", "remove",
		"create", "read", "mkdir", "symlink", "opendir", "open", "openwrite", "lstat",
	}
	few := uint64(400)
	if raceEnabled {
		few = 100
	}
	crashes, failures, seeds := 0, 0, seedsOf(t, few)
	for seed := range seeds {
		s := crashSample(t)
		if seed%2 == 1 {
			s = anySample(t, rand.New(rand.NewPCG(seed, 4)))
		}
		d := newTreeDownload(s, seed, func(d *treeDownload) { d.configure(d.rng.IntN(8)) })
		for range d.rng.IntN(6) {
			d.fails(ops[d.rng.IntN(len(ops))], 1+d.rng.IntN(12))
			d.fs.CrashAt = d.rng.IntN(250)
			err := d.run()
			if d.unread {
				clear(d.synced)
			}
			if errors.Is(err, errRecordLost) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err != nil {
				failures++
			}
			if d.fs.Down() || d.rng.IntN(2) == 0 {
				crashes++
				d.fs.Crash()
				if err := d.inspect(); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			} else {
				d.fs.Kill()
			}
			if err == nil {
				break
			}
		}
		d.fails("", 0)
		if err := d.finish(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if crashes < int(seeds)/2 || failures < int(seeds)/2 {
		t.Errorf("only %d crashes and %d failures", crashes, failures)
	}
}
