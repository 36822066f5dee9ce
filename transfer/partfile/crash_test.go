package partfile

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

const crashChunk = 40 // bytes; no multiple of a sector

// A download has part files on a disk whose power fails now and then, and
// records what must be true of that disk.
type download struct {
	fs      *crashFS
	rng     *rand.Rand
	right   []byte
	old     []byte // under the final name before, or nil
	replace bool
	noFlags bool // there is no exclusive rename
	noLinks bool // there are no links
	liars   bool // some write garbage before others write what is right

	lostJournal bool // a read failed: an unreadable journal is begun anew

	synced    map[int]bool   // chunks that a Sync without an error recorded
	committed bool           // a Commit returned without an error
	damaged   map[int][]byte // chunks spoilt on the disk after they were recorded, and their bytes now
}

func newDownload(seed uint64, size int, o ...func(*download)) *download {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := &download{
		fs: newCrashFS(rng.IntN), rng: rng, right: rightBytes(int64(size)),
		synced: map[int]bool{}, damaged: map[int][]byte{},
	}
	for _, change := range o {
		change(d)
	}
	if d.old != nil {
		d.fs.Put("x", d.old)
	}
	return d
}

func (d *download) chunk(i int) []byte {
	return d.right[i*crashChunk : min((i+1)*crashChunk, len(d.right))]
}

func (d *download) options(a Action) Options {
	return Options{
		Name: "x", Size: int64(len(d.right)), ChunkSize: crashChunk, Checksum: [32]byte{1}, Action: a, Replace: d.replace,
	}
}

// run is one get -r, with --force if there is something to replace.
func (d *download) run() error {
	found, err := Look(d.fs, "x")
	if err != nil {
		return err
	}
	o := d.options(Fetch)
	final := found.FinalState(o.Size)
	if NeedsHash(final, true) {
		final = FinalWrong
		if bytes.Equal(d.fs.Content("x"), d.right) {
			final = FinalRight
		}
	}
	part := found.PartState(o.header())
	decision := Decide(final, part, true, d.replace)
	switch decision.Action {
	case AlreadyRight:
		return FinishLeftover(d.fs, "x")
	case Refuse:
		return fmt.Errorf("refused: final %d, part %d, %+v", final, part, found)
	}
	f, err := Open(context.Background(), d.fs, d.options(decision.Action))
	if err != nil {
		return err
	}
	err = d.fill(f)
	if err == nil {
		_, err = f.Commit()
		d.committed = d.committed || err == nil
	}
	return errors.Join(err, f.Close())
}

// fill marks what is there and fetches the rest.
func (d *download) fill(f *File) error {
	if err := d.check(f); err != nil {
		return err
	}
	for _, chunk := range d.rng.Perm(f.Chunks()) {
		if f.Marked(chunk) {
			continue
		}
		if err := d.fetch(f, chunk); err != nil {
			return err
		}
		if d.rng.IntN(3) == 0 {
			if err := d.sync(f); err != nil {
				return err
			}
		}
	}
	if d.rng.IntN(2) == 0 {
		return nil // the commit makes the rest durable
	}
	return d.sync(f)
}

func (d *download) check(f *File) error {
	err := f.EachRecord(func(chunk int, xxh [16]byte) bool {
		got := make([]byte, len(d.chunk(chunk)))
		if _, err := f.ReadAt(got, int64(chunk*crashChunk)); err == nil && xxhOf(got) == xxh {
			f.MarkExisting(chunk, xxh)
		}
		return true
	})
	if err != nil || f.UsableJournal() {
		return err
	}
	for chunk := range f.Chunks() {
		want := d.chunk(chunk)
		if f.Claimed(chunk) || !f.HasData(int64(chunk*crashChunk), int64(len(want))) {
			continue
		}
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, int64(chunk*crashChunk)); err == nil && bytes.Equal(got, want) {
			f.MarkExisting(chunk, xxhOf(got))
		}
	}
	f.SurveyDone()
	return nil
}

func (d *download) fetch(f *File, chunk int) error {
	want := d.chunk(chunk)
	if d.liars && d.rng.IntN(2) == 0 {
		claim, _ := f.Claim(chunk)
		err := claim.WriteAt(bytes.Repeat([]byte{garbage}, len(want)), 0)
		claim.Release()
		if err != nil {
			return err
		}
	}
	claim, _ := f.Claim(chunk)
	cut := d.rng.IntN(len(want) + 1)
	if err := claim.WriteAt(want[:cut], 0); err != nil {
		return err
	}
	if err := claim.WriteAt(want[cut:], int64(cut)); err != nil {
		return err
	}
	return claim.Mark(xxhOf(want))
}

func (d *download) sync(f *File) error {
	err := f.Sync()
	if err != nil {
		return err
	}
	for chunk := range f.Chunks() {
		if f.Marked(chunk) {
			d.synced[chunk] = true
		}
	}
	return nil
}

// claims returns the chunks that the journal on the disk claims, with their
// records; nil without a usable journal.
func (d *download) claims() map[int][16]byte {
	h, _ := parseHeader(d.fs.Content("x" + JournalSuffix))
	if h != d.options(Fetch).header() {
		return nil
	}
	claims := map[int][16]byte{}
	s := newSealer(h)
	journal := d.fs.Content("x" + JournalSuffix)
	scanRecords(bytes.NewReader(journal), &s, int64(len(journal)), func(r record) bool {
		switch r.kind {
		case recordGood:
			claims[int(r.chunk)] = r.xxh
		case recordVoid:
			delete(claims, int(r.chunk))
		}
		return true
	})
	return claims
}

// inspect says what is wrong with the disk after a crash.
func (d *download) inspect() error {
	final := d.fs.Content("x")
	right := bytes.Equal(final, d.right) && final != nil
	switch {
	case d.committed && !right:
		return fmt.Errorf("the final name holds %q after the commit", final)
	case final != nil && !right && !bytes.Equal(final, d.old), final == nil && d.old != nil:
		return fmt.Errorf("the final name holds %q", final)
	case right:
		return nil
	}
	part, claims := d.fs.Content("x"+PartSuffix), d.claims()
	for chunk, xxh := range claims {
		want := d.chunk(chunk)
		if xxh != xxhOf(want) {
			return fmt.Errorf("the record of chunk %d is not that of its bytes", chunk)
		}
		from := min(chunk*crashChunk, len(part))
		got := part[from:min(from+len(want), len(part))]
		if damaged := d.damaged[chunk]; !bytes.Equal(got, want) && (damaged == nil || !bytes.Equal(got, damaged)) {
			return fmt.Errorf("chunk %d is claimed and holds %q, want %q", chunk, got, want)
		}
	}
	for chunk := range d.synced {
		if _, ok := claims[chunk]; !ok && d.damaged[chunk] == nil {
			return fmt.Errorf("chunk %d was recorded and is not claimed", chunk)
		}
	}
	return nil
}

// damageOne spoils a recorded chunk of an unfinished file.
func (d *download) damageOne() {
	part := d.fs.Content("x" + PartSuffix)
	if bytes.Equal(d.fs.Content("x"), d.right) {
		return // the part file may be a second name of the final one
	}
	for chunk := range d.claims() {
		b := bytes.Repeat([]byte{'?'}, len(d.chunk(chunk)))
		if chunk*crashChunk+len(b) <= len(part) {
			d.fs.Damage("x"+PartSuffix, int64(chunk*crashChunk), b)
			d.damaged[chunk] = b
		}
		return
	}
}

// finish runs until the file is there.
func (d *download) finish() error {
	if err := d.run(); err != nil {
		return err
	}
	d.fs.Crash()
	if got := d.fs.Content("x"); !bytes.Equal(got, d.right) {
		return fmt.Errorf("the final name holds %q at the end", got)
	}
	for _, name := range []string{"x" + PartSuffix, "x" + JournalSuffix, "x" + probeSuffix, "x" + triedSuffix} {
		// The removal of the journal may be undone by a crash; another
		// run finishes it.
		if d.fs.Content(name) != nil {
			if err := d.run(); err != nil {
				return err
			}
		}
		if d.fs.Content(name) != nil {
			return fmt.Errorf("%s is left", name)
		}
	}
	return nil
}

func (d *download) configure(replace, noFlags, noLinks, liars bool) {
	d.replace, d.noFlags, d.noLinks, d.liars = replace, noFlags, noLinks, liars
	if replace {
		d.old = []byte("what was there before")
	}
}

// fails are injected errors: the n-th operation op of a run fails with Linux's
// error for it.
func (d *download) fails(op string, n int) {
	d.lostJournal = false
	d.fs.Fail = func(got, _ string) error {
		if got == "renamenoreplace" && d.noFlags || got == "link" && d.noLinks {
			return errors.ErrUnsupported
		}
		if got != op {
			return nil
		}
		if n--; n == 0 {
			d.lostJournal = op == "read"
			return syscall.EIO
		}
		return nil
	}
}

// The power fails in each operation of a run in turn, for every way to commit.
// What is then on the disk is never wrong, and the next run ends with the right
// file.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, c := range []struct{ replace, noFlags, noLinks, liars bool }{
		{false, false, false, false}, {true, false, false, true}, {false, true, false, true}, {false, true, true, false},
	} {
		for seed := range uint64(6) {
			crashes := 0
			for at := 1; ; at++ {
				d := newDownload(seed, 4*crashChunk+7, func(d *download) { d.configure(c.replace, c.noFlags, c.noLinks, c.liars) })
				d.fails("", 0)
				d.fs.CrashAt = at
				err := d.run()
				if !d.fs.Down() {
					if err != nil {
						t.Fatalf("%+v, seed %d: %v", c, seed, err)
					}
					break
				}
				crashes++
				d.fs.Crash()
				if err := d.inspect(); err != nil {
					t.Fatalf("%+v, seed %d, crash in operation %d: %v", c, seed, at, err)
				}
				d.fails("", 0)
				if err := d.finish(); err != nil {
					t.Fatalf("%+v, seed %d, after a crash in operation %d: %v", c, seed, at, err)
				}
			}
			if crashes < 30 {
				t.Errorf("only %d crashes", crashes)
			}
		}
	}
}

// Any sequence of crashes, kills, failed operations, damage and lost journals.
func TestCrashProperty(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		checks.Value.Set("4000")
		defer checks.Value.Set(checks.DefValue)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := newDownload(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 5*crashChunk).Draw(t, "size"), func(d *download) {
			d.configure(rapid.Bool().Draw(t, "replace"), rapid.Bool().Draw(t, "noFlags"), rapid.Bool().Draw(t, "noLinks"),
				rapid.Bool().Draw(t, "liars"))
		})
		ops := []string{"", "write", "datasync", "sync", "syncdir", "truncate", "allocate", "rename", "link", "remove", "create", "read"}
		for range rapid.IntRange(0, 6).Draw(t, "runs") {
			d.fails(rapid.SampledFrom(ops).Draw(t, "fails"), rapid.IntRange(1, 6).Draw(t, "nth"))
			d.fs.CrashAt = rapid.IntRange(0, 90).Draw(t, "crashAt")
			err := d.run()
			if d.lostJournal {
				clear(d.synced)
			}
			if d.fs.Down() || rapid.Bool().Draw(t, "crash") {
				d.fs.Crash()
				if err := d.inspect(); err != nil {
					t.Fatal(err)
				}
			} else {
				d.fs.Kill()
			}
			if err == nil {
				break
			}
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0:
				d.damageOne()
			case 1:
				d.fs.Remove("x" + JournalSuffix)
				clear(d.synced)
			}
		}
		d.fails("", 0)
		if err := d.finish(); err != nil {
			t.Fatal(err)
		}
	})
}
