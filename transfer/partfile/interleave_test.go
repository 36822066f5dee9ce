package partfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"malcolm/transfer/partfile/crashfs"
)

// How a chunk gets its owner, and what happens to it then, in every possible
// order of the steps. The steps are those of some fetchers, of a checkpoint,
// and of the check of what an earlier run left. The locks of a File make a step
// atomic: a call, half of a WriteAt that takes back what the journal claims, or
// half of a Sync.

const (
	contested = 1             // the chunk that all work on, the last one; chunk 0 is marked before
	raceSize  = testChunk + 5 // bytes
	pieceLen  = 3             // bytes, of the first of the chunk's two pieces
	chunkLen  = raceSize - testChunk
	fromChunk = contested * testChunk
)

// left is what an earlier run left of the contested chunk.
type left int

const (
	leftNothing    left = iota
	leftRecorded        // right, and in the journal
	leftSpoilt          // in the journal, but wrong
	leftUnrecorded      // right, but the journal is gone
)

// A contest says who takes part.
type contest struct {
	name   string
	who    string // a letter each: h for an honest fetcher, l for one whose server lies
	left   left
	whole  bool // a chunk is written as one piece
	check  bool // what is left is checked at the same time
	stops  int  // how often a fetcher may be stopped, at any of its steps
	syncs  int
	long   bool // has many orders
	halves bool // other steps may come between the halves of a Sync
}

// phase is what a fetcher does next.
type phase int

const (
	over      phase = iota
	beginning       // Claim
	looking         // Claim was refused: unless the chunk is marked, the server sends a second copy, into memory
	voiding         // the first half of a WriteAt
	writing         // WriteAt of the next piece, or of the second copy
	marking         // Mark, once the value has matched
	taking          // TakeOver, once the second copy's value has matched
	keeping         // stopped: the bytes of the chunk are kept unless it is marked
	kept            // a server of the same ID goes on with it, or it is given up
	releasing       // Release
)

var phaseNames = [...]string{
	"over", "claim", "look", "void", "write", "mark", "take over", "keep", "resume", "release",
}

// A contender is a fetcher. It behaves like those of package transfer.
type contender struct {
	name   string
	honest bool
	sends  []byte
	phase  phase
	claim  *Claim
	copied bool // all of the chunk is in memory
	at     int  // bytes that are written
}

// A race is one order of the steps, and the model of what they do.
type race struct {
	t     *testing.T
	c     contest
	order *orders
	ends  *endings
	right []byte
	disk  *crashFS
	f     *File

	who     []*contender
	checker int  // steps that it has made
	found   bool // the checker found the right bytes
	stops   int  // left
	syncs   int  // left
	inSync  bool // between the halves
	stopped bool // a fetcher was stopped
	changed bool // the disk, or what it should hold, has changed since the last check
	trace   []string

	owner   *contender
	touched bool // there was an owner
	marked  bool
	earlier bool // the journal's record of an earlier run stands
	synced  bool // this run's is in the journal
}

// Every order of the steps is tried, in contests of two and three fetchers.
// After every step a marked chunk is right on the disk, only the owner has
// changed it, and the journal claims what it should. This must hold for the
// next run too, if this one were killed or the power failed right there.
func TestEveryInterleaving(t *testing.T) {
	total := 0
	for _, c := range []contest{
		{name: "stalled and returning", who: "hh", stops: 1},
		{name: "liar", who: "hl", stops: 1},
		{name: "liar, with a checkpoint", who: "hl", stops: 1, syncs: 1, long: true},
		{name: "liar, stopped twice", who: "hl", stops: 2, long: true},
		{name: "three", who: "hhl", whole: true, long: true},
		{name: "two liars", who: "hll", long: true},
		{name: "checkpoint", who: "hh", syncs: 1, halves: true},
		{name: "checkpoints with a liar", who: "hl", syncs: 2, halves: true},
		{name: "recorded", who: "hl", left: leftRecorded, check: true, long: true},
		{name: "recorded, in one piece", who: "hl", left: leftRecorded, whole: true, check: true},
		{name: "recorded, stopped", who: "hl", left: leftRecorded, stops: 1},
		{name: "recorded, with a checkpoint", who: "h", left: leftRecorded, check: true, stops: 1, syncs: 1},
		{name: "spoilt", who: "hl", left: leftSpoilt, whole: true, check: true, long: true},
		{name: "spoilt, stopped", who: "hh", left: leftSpoilt, stops: 1},
		{name: "spoilt, with a checkpoint", who: "hh", left: leftSpoilt, syncs: 1},
		{name: "journal lost", who: "hl", left: leftUnrecorded, check: true, whole: true, long: true},
		{name: "journal lost, with a checkpoint", who: "h", left: leftUnrecorded, check: true, syncs: 1, halves: true},
	} {
		if c.long && raceEnabled {
			continue // all of this is one goroutine
		}
		t.Run(c.name, func(t *testing.T) {
			n, late := c.run(t)
			t.Logf("%d interleavings, %d writes by those who had lost the chunk", n, late)
			if late == 0 && len(c.who) > 1 {
				t.Error("nobody wrote late")
			}
			total += n
		})
	}
	t.Logf("%d interleavings", total)
}

// run makes every race. It returns the number of races, and of writes refused
// in them.
func (c contest) run(t *testing.T) (races, refused int) {
	right := rightBytes(raceSize)
	base := c.disk(t, right)
	ends := &endings{t: t, right: right, seen: map[string]ending{}}
	for o := (&orders{}); ; {
		r := &race{
			t: t, c: c, order: o, ends: ends, right: right, disk: &crashFS{base.Clone()},
			stops: c.stops, syncs: c.syncs, earlier: c.left == leftRecorded || c.left == leftSpoilt,
		}
		r.start()
		r.walk()
		r.finish()
		races++
		if !o.next() {
			return races, ends.refused
		}
	}
}

func (r *race) start() {
	f, err := Open(context.Background(), r.disk, raceOptions(Resume))
	if err != nil {
		r.t.Fatal(err)
	}
	if got := f.Claimed(contested); got != r.earlier {
		r.t.Fatalf("claimed by an earlier run: %t, want %t", got, r.earlier)
	}
	if !f.MarkExisting(0, xxhOf(chunkOf(r.right, 0))) {
		r.t.Fatal("chunk 0 is not marked")
	}
	r.f = f
	for i, kind := range r.c.who {
		w := &contender{name: fmt.Sprintf("%c%d", kind, i), honest: kind == 'h', phase: beginning}
		w.sends = bytes.Clone(chunkOf(r.right, contested))
		if !w.honest {
			for i := range w.sends {
				w.sends[i] = garbage
			}
		}
		r.who = append(r.who, w)
	}
	r.disk.After = func(o crashfs.Operation) {
		r.changed = r.changed || o.Op == "write" || o.Op == "datasync"
		if r.inSync && o.Op == "datasync" && o.Name == "x"+PartSuffix {
			r.walk()
		}
	}
}

// A choice is a step that can come next.
type choice struct {
	who  string
	what string
	do   func() // nil: the second half of a Sync
}

// walk makes steps until none is left, or until the second half of a Sync.
func (r *race) walk() {
	for {
		choices := r.choices()
		if len(choices) == 0 {
			return
		}
		c := choices[r.order.choose(len(choices))]
		r.trace = append(r.trace, c.who, c.what)
		if c.do == nil {
			return
		}
		c.do()
		if r.order.isNew() {
			r.check()
		}
	}
}

func (r *race) choices() (all []choice) {
	for _, w := range r.who {
		if w.phase == over || r.inSync && w.phase == voiding && r.earlier {
			continue // the void waits until the Sync is over
		}
		all = append(all, choice{w.name, phaseNames[w.phase], func() { r.step(w) }})
		switch {
		case w.phase == kept:
			all = append(all, choice{w.name, "give up", func() { w.phase = releasing }})
		case r.stops > 0 && (w.claim != nil || w.copied) && w.phase != keeping && w.phase != releasing:
			all = append(all, choice{w.name, "stop", func() { r.stop(w) }})
		}
	}
	if steps := r.c.checkSteps(); r.checker < len(steps) {
		all = append(all, choice{"checker", steps[r.checker], r.checkerStep})
	}
	switch {
	case r.inSync:
		all = append(all, choice{"checkpoint", "record", nil})
	case r.syncs > 0:
		all = append(all, choice{"checkpoint", "sync", r.sync})
	}
	return all
}

func (r *race) step(w *contender) {
	switch w.phase {
	case beginning:
		if r.claim(w, "claim", r.f.Claim, r.owner == nil && !r.marked) {
			w.phase = voiding
		} else {
			w.phase = looking
		}
	case looking:
		switch {
		case r.f.Marked(contested):
			w.phase = over
		case w.honest:
			w.phase, w.copied = taking, true
		default: // its value does not match, which is found out without the part file
			w.phase = over
		}
	case taking:
		if r.claim(w, "take-over", r.f.TakeOver, !r.marked) {
			w.phase = voiding
		} else {
			w.phase = over
		}
	case voiding:
		if err := w.claim.place(func() error { return nil }); err != nil {
			r.fail("void by %s: %v", w.name, err)
		}
		r.earlier, r.changed = false, true
		w.phase = writing
	case writing:
		r.write(w)
	case marking:
		r.mark(w)
	case keeping:
		w.phase = kept
		if r.f.Marked(contested) {
			w.phase = releasing
		}
	case kept:
		w.phase = writing
	case releasing:
		w.claim.Release()
		if r.owner == w {
			r.owner = nil
		}
		w.phase = over
	}
	if w.phase == voiding && !r.f.claimed.has(contested) {
		w.phase = writing // there is no first half
	}
}

func (r *race) claim(w *contender, what string, call func(int) (*Claim, bool), want bool) bool {
	c, ok := call(contested)
	if ok != want {
		r.fail("%s by %s: %t, want %t", what, w.name, ok, want)
	}
	if ok {
		w.claim, r.owner, r.touched = c, w, true
	}
	return ok
}

// write writes the next piece, or all of a second copy.
func (r *race) write(w *contender) {
	end := chunkLen
	if w.at == 0 && !w.copied && !r.c.whole {
		end = pieceLen
	}
	before := r.disk.Content("x" + PartSuffix)
	err := w.claim.WriteAt(w.sends[w.at:end], int64(w.at))
	if r.owner != w {
		if !errors.Is(err, ErrNotOwner) {
			r.fail("write by %s, which does not own the chunk: %v, want ErrNotOwner", w.name, err)
		}
		if !r.disk.Is("x"+PartSuffix, before) {
			r.fail("the refused write of %s changed the part file", w.name)
		}
		if r.order.isNew() {
			r.ends.refused++
		}
		w.phase = releasing
		return
	}
	if err != nil {
		r.fail("write by the owner, %s: %v", w.name, err)
	}
	copy(before[fromChunk+w.at:], w.sends[w.at:end])
	if !r.disk.Is("x"+PartSuffix, before) {
		r.fail("the write of %s left %q, want %q", w.name, r.disk.Content("x"+PartSuffix), before)
	}
	switch w.at = end; {
	case w.at < chunkLen:
	case w.honest:
		w.phase = marking
	default:
		w.phase = releasing
	}
}

func (r *race) mark(w *contender) {
	err := w.claim.Mark(xxhOf(w.sends))
	switch {
	case r.owner != w && !errors.Is(err, ErrNotOwner):
		r.fail("mark by %s, which does not own the chunk: %v, want ErrNotOwner", w.name, err)
	case r.owner == w && err != nil:
		r.fail("mark by the owner, %s: %v", w.name, err)
	case r.owner == w:
		r.owner, r.marked = nil, true
	}
	w.phase = over
}

// stop interrupts a fetcher. The bytes of the chunk so far can be of use unless
// nothing or all of it has come.
func (r *race) stop(w *contender) {
	r.stops--
	r.stopped = true
	switch {
	case w.claim == nil:
		w.phase = over
	case w.copied || w.at == 0 || w.at == chunkLen:
		w.phase = releasing
	default:
		w.phase = keeping
	}
}

// checkSteps are the steps of the check of what an earlier run left.
func (c contest) checkSteps() []string {
	steps := []string{"read", "mark existing", "survey done"}
	switch {
	case !c.check:
		return nil
	case c.left == leftUnrecorded:
		return steps
	}
	return steps[:2]
}

func (r *race) checkerStep() {
	switch r.checker++; r.checker {
	case 1:
		got := make([]byte, chunkLen)
		if _, err := r.f.ReadAt(got, fromChunk); err != nil {
			r.fail("read: %v", err)
		}
		r.found = bytes.Equal(got, chunkOf(r.right, contested))
	case 2:
		if !r.found {
			return
		}
		got := r.f.MarkExisting(contested, xxhOf(chunkOf(r.right, contested)))
		if want := r.marked || !r.touched; got != want {
			r.fail("mark of the existing chunk: %t, want %t", got, want)
		}
		r.marked = got
	case 3:
		r.f.SurveyDone()
	}
}

func (r *race) sync() {
	r.syncs--
	marked := r.marked
	r.inSync = r.c.halves
	if err := r.f.Sync(); err != nil {
		r.fail("sync: %v", err)
	}
	r.inSync = false
	r.synced, r.changed = r.synced || marked, true
}

// check looks at the disk, and at what the next run would find if this one
// ended here.
func (r *race) check() {
	if got := r.f.Marked(contested); got != r.marked {
		r.fail("marked: %t, want %t", got, r.marked)
	}
	if got := r.f.MarkedCount() == r.f.Chunks(); got != r.marked {
		r.fail("%d chunks are marked, want all: %t", r.f.MarkedCount(), r.marked)
	}
	if r.marked && !r.disk.Holds("x"+PartSuffix, fromChunk, chunkOf(r.right, contested)) {
		r.fail("the marked chunk is wrong in %q", r.disk.Content("x"+PartSuffix))
	}
	if !r.disk.Holds("x"+PartSuffix, 0, chunkOf(r.right, 0)) {
		r.fail("the first chunk is wrong in %q", r.disk.Content("x"+PartSuffix))
	}
	if !r.changed {
		return
	}
	r.changed = false
	r.wantEnding("killed", r.disk.Clone())
	for what, choose := range powerFailures() {
		d := r.disk.Clone()
		d.Choose = choose
		d.Crash()
		r.wantEnding(what, d)
	}
}

// powerFailures are what may remain of what was not durable: nothing, or parts.
func powerFailures() map[string]func(int) int {
	i := 0
	return map[string]func(int) int{
		"power failed, all is lost":  func(n int) int { return n - 1 },
		"power failed, part is torn": func(n int) int { i++; return i % n },
	}
}

func (r *race) wantEnding(what string, d *crashfs.Disk) {
	got, err := r.ends.of(d)
	recorded := r.earlier || r.synced
	switch {
	case err != nil:
		r.fail("%s: %v", what, err)
	case got.claimed != recorded:
		r.fail("%s: the journal claims the chunk: %t, want %t", what, got.claimed, recorded)
	case got.claimed && !got.right && !(r.c.left == leftSpoilt && r.earlier):
		r.fail("%s: the journal claims the chunk, which is wrong", what)
	case got.kept != (got.right && (got.claimed || !got.usable)):
		r.fail("%s: a resume keeps the chunk: %t, and it is %+v", what, got.kept, got)
	}
}

// finish ends a race: the chunk is marked, or can be claimed, and the file is
// completed.
func (r *race) finish() {
	honest := strings.Contains(r.c.who, "h")
	if honest && !r.stopped && !r.marked {
		r.fail("nobody was stopped, and the chunk is not marked")
	}
	if err := complete(r.f, r.right); err != nil {
		r.fail("at the end: %v", err)
	}
	if err := r.f.Close(); err != nil {
		r.fail("close: %v", err)
	}
	if !r.disk.Is("x", r.right) {
		r.fail("the file is %q, want %q", r.disk.Content("x"), r.right)
	}
}

func (r *race) fail(format string, args ...any) {
	r.t.Helper()
	var steps strings.Builder
	for i := 0; i < len(r.trace); i += 2 {
		fmt.Fprintf(&steps, "\n\t%s: %s", r.trace[i], r.trace[i+1])
	}
	r.t.Fatalf(format+", after%s", append(args, steps.String())...)
}
