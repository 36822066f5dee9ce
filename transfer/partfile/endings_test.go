package partfile

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"malcolm/transfer/partfile/crashfs"
)

// disk returns the disk as the earlier run left it.
func (c contest) disk(t *testing.T, right []byte) *crashFS {
	d := &crashFS{crashfs.New(2, func(int) int { return 0 })}
	f := openTest(t, d, raceOptions(Fetch))
	chunks := 1
	if c.left != leftNothing {
		chunks = 2
	}
	for chunk := range chunks {
		claim, _ := f.Claim(chunk)
		if err := errors.Join(claim.WriteAt(chunkOf(right, chunk), 0), claim.Mark(xxhOf(chunkOf(right, chunk)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	switch c.left {
	case leftSpoilt:
		d.Damage("x"+PartSuffix, fromChunk, []byte{garbage})
	case leftUnrecorded:
		d.Remove("x" + JournalSuffix)
		d.SyncDir()
	}
	return d
}

func raceOptions(a Action) Options {
	return Options{Name: "x", Size: raceSize, ChunkSize: testChunk, Checksum: [32]byte{1}, Action: a}
}

// An ending is what the next run finds of the contested chunk.
type ending struct {
	claimed bool // by the journal
	usable  bool // the journal knows of every chunk
	right   bool // on the disk
	kept    bool // a resume does not fetch it again
}

// endings remembers what the next run finds on a disk: different races end
// alike.
type endings struct {
	t       *testing.T
	right   []byte
	seen    map[string]ending
	refused int
}

// of lets the next run resume and complete the file.
func (e *endings) of(d *crashfs.Disk) (ending, error) {
	part, journal := d.Content("x"+PartSuffix), d.Content("x"+JournalSuffix)
	key := string(part) + string(journal)
	if end, ok := e.seen[key]; ok {
		return end, nil
	}
	f, err := Open(context.Background(), &crashFS{d}, raceOptions(Resume))
	if err != nil {
		return ending{}, err
	}
	defer f.Close()
	end := ending{
		claimed: f.Claimed(contested), usable: f.UsableJournal(),
		right: d.Holds("x"+PartSuffix, fromChunk, chunkOf(e.right, contested)),
	}
	if err := resume(f, e.right); err != nil {
		return end, err
	}
	end.kept = f.Marked(contested)
	if err := complete(f, e.right); err != nil {
		return end, err
	}
	if !d.Is("x", e.right) {
		return end, fmt.Errorf("the next run makes %q of %q", d.Content("x"), part)
	}
	e.seen[key] = end
	return end, nil
}

// resume marks the right chunks, as a resuming run does.
func resume(f *File, right []byte) error {
	var failed error
	has := func(chunk int, xxh [16]byte) bool {
		got := make([]byte, len(chunkOf(right, chunk)))
		_, err := f.ReadAt(got, int64(chunk*testChunk))
		failed = errors.Join(failed, err)
		return xxhOf(got) == xxh
	}
	err := f.EachRecord(func(chunk int, xxh [16]byte) bool {
		if has(chunk, xxh) {
			f.MarkExisting(chunk, xxh)
		}
		return true
	})
	if f.UsableJournal() {
		return errors.Join(err, failed)
	}
	for chunk := range f.Chunks() {
		if want := xxhOf(chunkOf(right, chunk)); !f.Claimed(chunk) && has(chunk, want) {
			f.MarkExisting(chunk, want)
		}
	}
	f.SurveyDone()
	return errors.Join(err, failed)
}

// orders enumerates all sequences of choices, depth first.
type orders struct {
	script []int // what is chosen
	counts []int // the number of possible choices at each place
	at     int
	fresh  int // choices before this one are those of the last sequence
}

// choose returns a number from 0 to n-1.
func (o *orders) choose(n int) int {
	if o.at == len(o.script) {
		o.script, o.counts = append(o.script, 0), append(o.counts, n)
	}
	o.at++
	return o.script[o.at-1]
}

// isNew reports whether the choices so far differ from those of all earlier
// sequences.
func (o *orders) isNew() bool { return o.at > o.fresh }

// next begins the next sequence; false if that was the last.
func (o *orders) next() bool {
	o.at = 0
	for i := len(o.script) - 1; i >= 0; i-- {
		if o.script[i]++; o.script[i] < o.counts[i] {
			o.script, o.counts, o.fresh = o.script[:i+1], o.counts[:i+1], i
			return true
		}
	}
	return false
}

// complete fetches what is missing, and commits.
func complete(f *File, right []byte) error {
	if err := fetchMissing(f, right); err != nil {
		return err
	}
	_, err := f.Commit()
	return err
}

// fetchMissing writes and marks every chunk that is not marked.
func fetchMissing(f *File, right []byte) error {
	for chunk := range f.Chunks() {
		if f.Marked(chunk) {
			continue
		}
		claim, ok := f.Claim(chunk)
		if !ok {
			return fmt.Errorf("chunk %d has no owner, and cannot be claimed", chunk)
		}
		want := chunkOf(right, chunk)
		if err := errors.Join(claim.WriteAt(want, 0), claim.Mark(xxhOf(want))); err != nil {
			return err
		}
	}
	return nil
}
