package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// crashSeeds is how many seeds the crash test runs through, each with some 50
// crashes, and how many operations it skips at most between two crashes. The
// environment's MALCOLM_CRASH_SEEDS asks for more seeds, and skips none.
func crashSeeds(t *testing.T) (seeds, skip int) {
	if s := os.Getenv("MALCOLM_CRASH_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("MALCOLM_CRASH_SEEDS is %q, want a number from 1 on", s)
		}
		return n, 0
	}
	if testing.Short() || raceEnabled {
		return len(crashPlans), 8
	}
	return 2 * len(crashPlans), 0
}

// A crashPlan is one way through get.
type crashPlan struct {
	name    string
	size    int
	replace bool // --force, with another file under the final name
	repair  bool // of a file with wrong chunks
	noRename,
	sparse, recheck, liar bool
	servers int
}

var crashPlans = []crashPlan{
	{name: "plain", size: 3*chunk + 77, servers: 2},
	{name: "replace", size: 2*chunk + 1, replace: true, servers: 1},
	{name: "link", size: 2*chunk + 9, noRename: true, sparse: true, servers: 1},
	{name: "liar", size: 3*chunk + 3, liar: true, recheck: true, servers: 2},
	{name: "repair", size: 5*chunk + 5, repair: true, servers: 1},
	{name: "one chunk", size: 1000, noRename: true, servers: 1},
	{name: "empty", size: 0, servers: 1},
}

// A crasher runs Get on disks whose power fails.
type crasher struct {
	t     *testing.T
	w     *world
	rng   *rand.Rand
	plan  crashPlan
	data  []byte
	old   []byte
	local string // a real file with what the simulated disk has under the final name, to be repaired
	cfg   GetConfig

	crashes int
	resumes int            // runs that had to keep something
	hit     map[string]int // crashes by operation
}

// The power fails in each operation of a run in turn, often in the next run as
// well: then the file is completed all the same, and what was complete for the
// time of a checkpoint is not fetched again.
func TestCrashes(t *testing.T) {
	crashes, resumes := 0, 0
	hit := make(map[string]int)
	seeds, skip := crashSeeds(t)
	for seed := range seeds {
		bubble(t, func(t *testing.T, w *world) {
			c := newCrasher(t, w, uint64(seed))
			c.everywhere(skip)
			crashes, resumes = crashes+c.crashes, resumes+c.resumes
			for op, n := range c.hit {
				hit[op] += n
			}
			if t.Failed() {
				t.Fatalf("seed %d, %+v", seed, c.plan)
			}
		})
	}
	t.Logf("%d crashes, %d runs had something to keep", crashes, resumes)
	if resumes*20 < crashes {
		t.Errorf("only %d of %d runs had something to keep", resumes, crashes)
	}
	if skip > 0 || seeds < len(crashPlans) {
		return
	}
	for _, op := range []string{
		"lstat", "create", "open", "openwrite", "lock", "stat", "free", "write", "read", "truncate", "allocate", "datasync", "sync",
		"syncdir", "forget", "renamenoreplace", "rename", "link", "remove", "close",
	} {
		if hit[op] == 0 {
			t.Errorf("no crash in %q, of %v", op, slices.Sorted(maps.Keys(hit)))
		}
	}
}

func newCrasher(t *testing.T, w *world, seed uint64) *crasher {
	c := &crasher{t: t, w: w, rng: rand.New(rand.NewPCG(seed, 3)), plan: crashPlans[seed%uint64(len(crashPlans))], hit: map[string]int{}}
	c.data = file(c.plan.size, byte(seed))
	holders := make([][]byte, c.plan.servers)
	for i := range holders {
		holders[i] = c.data
	}
	servers := w.holders(holders...)
	if c.plan.liar {
		liar := w.serve(newSource(c.data), 3, 1, ServeConfig{})
		liar.src.flips()
		servers = append(servers, liar)
	}
	for _, s := range servers {
		// About as long as three checkpoints.
		slow(float64(max(c.plan.size/6, 100<<10))/float64(c.plan.servers), s)
	}
	c.cfg = GetConfig{
		Targets: targetsOf(servers...), SkipPreallocate: c.plan.sparse, Recheck: c.plan.recheck, Force: c.plan.replace,
		Interval: maxVirtual,
	}
	switch {
	case c.plan.replace:
		c.old = file(2*chunk, 200)
	case c.plan.repair:
		c.old = slices.Clone(c.data)
		for _, at := range []int{100, 2 * chunk, 4*chunk + 50} {
			c.old[at] ^= 1
		}
		c.local = filepath.Join(t.TempDir(), simName)
	}
	return c
}

// everywhere lets the power fail in each operation that is not a write of data,
// and in some of those. Up to skip operations are left out each time.
func (c *crasher) everywhere(skip int) {
	quiet := func(op, name string) bool { return !isData(op, name) }
	for n := 1 + c.rng.IntN(skip+1); !c.t.Failed(); n += 1 + c.rng.IntN(skip+1) {
		if !c.once(quiet, n) {
			break
		}
	}
	for n := 1 + c.rng.IntN(60); !c.t.Failed(); n += 1 + c.rng.IntN(2*n+60*(skip+1)) {
		if !c.once(isData, n) {
			break
		}
	}
}

// once lets the power fail in the n-th operation that counts, and then
// completes the file. It is false when there was no such operation.
func (c *crasher) once(counts func(op, name string) bool, n int) bool {
	d := newSimDisk(c.t, c.data, c.old, c.rng.IntN)
	kept := make(map[int]bool)
	if !c.crash(d, kept, counts, n, false) {
		return false
	}
	double := c.rng.IntN(2) == 0
	if double {
		c.crash(d, kept, nil, 1+c.rng.IntN(60), true)
	}
	c.complete(d, kept, fmt.Sprintf("%d, double %t", n, double))
	return true
}

// crash runs until the power fails in the n-th operation, or the process is
// killed there, and is false when the run ended before. kept becomes what
// the next run must not fetch again.
func (c *crasher) crash(d *simDisk, kept map[int]bool, counts func(op, name string) bool, n int, resume bool) bool {
	d.Counts, d.CrashAt = counts, n
	c.prepare(d)
	o := c.get(d, resume)
	down := d.Down()
	if down {
		c.crashes++
		c.hit[d.cut]++
	}
	for _, chunk := range d.settled() {
		kept[chunk] = true
	}
	if down && o.err != nil && KindOf(o.err) != KindLocal {
		c.t.Errorf("operation %d: error %v of kind %d, want a local one", n, o.err, KindOf(o.err))
	}
	if !down && o.err != nil {
		c.t.Fatalf("error %v without a crash", o.err)
	}
	if c.rng.IntN(4) == 0 {
		d.Kill()
	} else {
		d.Crash()
	}
	if !d.finalIsFine() || d.wrong {
		c.t.Errorf("operation %d: the final name held wrong bytes", n)
	}
	if o.err == nil && !d.holdsAll() {
		c.t.Errorf("operation %d: get said that it was done, and the file is gone", n)
	}
	return down
}

// prepare makes the disk one of the plan.
func (c *crasher) prepare(d *simDisk) {
	if c.plan.noRename {
		d.Fail = noExclusiveRename
	}
}

// complete runs to the end, and looks at what that took.
func (c *crasher) complete(d *simDisk, kept map[int]bool, what string) {
	c.prepare(d)
	o := c.get(d, true)
	if o.err != nil {
		c.t.Errorf("crash in operation %s: the next run ends with %v", what, o.err)
		return
	}
	if len(kept) > 0 {
		c.resumes++
	}
	if want := d.bytesOf(kept); !o.AlreadyRight && o.Resumed < want || o.Fetched > o.Size-o.Resumed {
		c.t.Errorf("crash in operation %s: resumed %d, fetched %d, want %d kept: chunks %v", what, o.Resumed, o.Fetched,
			want, slices.Sorted(maps.Keys(kept)))
	}
	if d.wrong {
		c.t.Errorf("crash in operation %s: the final name held wrong bytes", what)
	}
	d.Crash()
	if !d.holdsAll() {
		c.t.Errorf("crash in operation %s: the file is not what it should be at the end", what)
	}
	// What was removed at the end may be back after that crash; another run ends it.
	if d.Exists(simJournal) || d.Exists(simPart) {
		c.prepare(d)
		if o := c.get(d, true); !o.AlreadyRight || o.err != nil {
			c.t.Errorf("crash in operation %s: the last run: %v", what, o.err)
		}
	}
	for _, name := range []string{simPart, simJournal} {
		if d.Exists(name) {
			c.t.Errorf("crash in operation %s: %s is left", what, name)
		}
	}
}

// get is what the user types: with -r once there is something to go on with.
func (c *crasher) get(d *simDisk, resume bool) *outcome {
	cfg := c.cfg
	cfg.open, cfg.Dir, cfg.Resume = d.open, d.dir, resume
	if !c.plan.repair {
		return c.w.get(cfg)
	}
	write(c.t, filepath.Dir(c.local), simName, d.Content(simName))
	return c.w.run(context.Background(), cfg, func(ctx context.Context, cfg GetConfig) (*Result, error) {
		return Repair(ctx, cfg, c.local)
	})
}

func noExclusiveRename(op, _ string) error {
	if op == "renamenoreplace" {
		return errors.ErrUnsupported
	}
	return nil
}
