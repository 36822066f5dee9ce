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

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
)

// crashSeeds returns how many seeds the crash test runs through, each with some
// 50 crashes, and how many operations it skips at most between two crashes.
// MALCOLM_CRASH_SEEDS in the environment asks for more seeds, and skips no
// operation.
func crashSeeds(t *testing.T) (seeds, skip int) {
	if s := os.Getenv("MALCOLM_CRASH_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("MALCOLM_CRASH_SEEDS is %q, want a number from 1 on", s)
		}
		return n, 0
	}
	if testing.Short() || raceEnabled {
		return len(crashPlans), 40
	}
	return len(crashPlans), 6
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
	{name: "link", size: 3*chunk + 9, noRename: true, sparse: true, servers: 1},
	{name: "liar", size: 3*chunk + 3, liar: true, recheck: true, servers: 2},
	{name: "repair", size: 5*chunk + 5, repair: true, servers: 1},
	{name: "one chunk", size: 1000, noRename: true, servers: 1},
	{name: "empty", size: 0, servers: 1},
}

// A crasher runs Get on disks whose power fails.
type crasher struct {
	t      *testing.T
	w      *world
	rng    *rand.Rand
	plan   crashPlan
	data   []byte
	old    []byte
	local  string // a real file with what the simulated disk has under the final name, to be repaired
	cfg    getConfig
	header partfile.Header

	crashes int
	doubles int            // times that the next run was to crash as well
	resumes int            // runs that had to keep something
	hit     map[string]int // crashes by operation
}

// The power fails in each operation of a run in turn, and often in the next run
// as well. The file is completed all the same. What was complete for the time
// of a checkpoint is not fetched again.
func TestCrashes(t *testing.T) {
	t.Parallel()
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
	if resumes*6 < crashes {
		t.Errorf("only %d of %d runs had something to keep", resumes, crashes)
	}
	if skip > 0 || seeds < len(crashPlans) {
		return
	}
	for _, op := range []string{
		"lstat", "create", "open", "openwrite", "lock", "stat", "free", "write", "read", "truncate", "allocate", "datasync", "sync",
		"syncdir", "forget", "renamenoreplace", "rename", "link", "remove", "close",
	} {
		if hit[op] == 0 && !crashesIn(t, op) {
			t.Errorf("no crash in %q, of %v", op, slices.Sorted(maps.Keys(hit)))
		}
	}
}

// crashesIn lets the power fail in an operation that all crashes before have
// missed, because of the order of goroutines. It reports whether any plan has
// that operation.
func crashesIn(t *testing.T, op string) (hit bool) {
	is := func(o, _ string) bool { return o == op }
	for seed := 0; seed < len(crashPlans) && !hit; seed++ {
		bubble(t, func(t *testing.T, w *world) {
			c := newCrasher(t, w, uint64(seed))
			if hit = c.once(is, 1); hit {
				return
			}
			// Some operations go on after the run.
			d, kept := newSimDisk(t, c.data, c.old, c.rng.IntN), make(map[int]bool)
			c.crash(d, kept, isData, 2, false)
			hit = c.crash(d, kept, is, 1, true)
			c.complete(d, kept, "crash in a "+op)
		})
	}
	return hit
}

// A run is killed when the cache alone holds the final name, or both names. The
// next run makes the name durable first. Only then does it say that the file is
// there, and remove the other name.
func TestKilledBeforeTheNameIsDurable(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			seed := uint64(0)
			if both {
				seed = 2 // the plan without an exclusive rename
			}
			c := newCrasher(t, w, seed)
			d := newSimDisk(t, c.data, nil, c.rng.IntN)
			d.Counts, d.CrashAt = func(op, _ string) bool { return op == "syncdir" }, 2 // after the journal's
			c.prepare(d)
			c.get(d, false)
			if d.Kill(); !d.holdsAll() || d.Exists(simPart) != both {
				t.Fatalf("final name %t, part %t, want that and %t", d.holdsAll(), d.Exists(simPart), both)
			}
			noName := errors.New("the name cannot be made durable")
			d.Fail = func(op, _ string) error {
				if op == "syncdir" {
					return noName
				}
				return nil
			}
			if o := c.get(d, true); !errors.Is(o.err, noName) || o.AlreadyRight {
				t.Errorf("error %v, already right %t, want that it is not", o.err, o.AlreadyRight)
			}
			d.Fail = nil
			o := c.get(d, true)
			if !o.AlreadyRight || d.Exists(simPart) || d.Exists(simJournal) {
				t.Errorf("error %v, already right %t, want one name and nothing besides", o.err, o.AlreadyRight)
			}
			for range 50 {
				left := d.copy()
				left.Crash()
				c.check(left, o, nil, "afterwards")
			}
		})
	}
}

func newCrasher(t *testing.T, w *world, seed uint64) *crasher {
	c := &crasher{t: t, w: w, rng: rand.New(rand.NewPCG(seed, 3)), plan: crashPlans[seed%uint64(len(crashPlans))], hit: map[string]int{}}
	c.doubles = int(seed) * 5
	c.data = file(c.plan.size, byte(seed))
	size := int64(c.plan.size)
	c.header = partfile.Header{Size: size, ChunkSize: manifest.ChunkSize(size), Checksum: checksum(c.data)}
	holders := make([][]byte, c.plan.servers)
	for i := range holders {
		holders[i] = c.data
	}
	servers := w.holders(holders...)
	if c.plan.liar {
		liar := w.serve(newSource(c.data), 3, 1, serve.Config{})
		liar.src.flips()
		servers = append(servers, liar)
	}
	for _, s := range servers {
		// At this rate there are some checkpoints.
		slow(float64(max(c.plan.size/16, 40<<10))/float64(c.plan.servers), s)
	}
	c.cfg = getConfig{
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

// everywhere lets the power fail in each operation that does not write data,
// and in some of those that do. It leaves out up to skip operations each time.
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
// completes the file. It returns false if there was no such operation.
func (c *crasher) once(counts func(op, name string) bool, n int) bool {
	d := newSimDisk(c.t, c.data, c.old, c.rng.IntN)
	kept := make(map[int]bool)
	if !c.crash(d, kept, counts, n, false) {
		return false
	}
	what := fmt.Sprintf("crash in operation %d (%s)", n, d.cut)
	if c.rng.IntN(2) == 0 {
		second := 1 + c.doubles%32
		if c.doubles++; c.rng.IntN(3) == 0 {
			second = 1 + c.rng.IntN(600)
		}
		c.crash(d, kept, nil, second, true)
		what += fmt.Sprintf(" and then %d (%s)", second, d.cut)
	}
	c.complete(d, kept, what)
	return true
}

// crash runs until the power fails in the n-th operation, or the process is
// killed there. It returns false if the run ended before. kept becomes what the
// next run must not fetch again.
func (c *crasher) crash(d *simDisk, kept map[int]bool, counts func(op, name string) bool, n int, resume bool) bool {
	c.moveAway(d)
	d.Counts, d.CrashAt = counts, n
	c.prepare(d)
	o := c.get(d, resume)
	for _, chunk := range d.settled() {
		kept[chunk] = true
	}
	down := d.Down()
	switch {
	case !down && o.err != nil:
		c.t.Fatalf("error %v without a crash", o.err)
	case o.err != nil && fetch.KindOf(o.err) != fetch.KindLocal:
		c.t.Errorf("operation %d, a %q: error %v of kind %d, want a local one", n, d.cut, o.err, fetch.KindOf(o.err))
	case down:
		c.crashes++
		c.hit[d.cut]++
	}
	for range fates(d.cut) {
		left := d.copy()
		left.Crash()
		c.check(left, o, kept, fmt.Sprintf("operation %d, a %q", n, d.cut))
	}
	if c.rng.IntN(3) > 0 {
		d.Crash()
		return down
	}
	d.Kill()
	claims, err := d.copy().claims(c.header)
	if err != nil && !d.Exists(simName) {
		c.t.Errorf("operation %d, a %q: %v", n, d.cut, err)
	}
	d.resumed(claims)
	return down
}

// fates is how many outcomes of a crash in an operation are checked before the
// test goes on with another one.
func fates(op string) int {
	switch op {
	case "create", "datasync", "sync", "renamenoreplace", "rename", "link", "remove", "syncdir":
		return 8
	}
	return 1
}

// check looks at what a crash left, at the end of a run or later.
func (c *crasher) check(left *simDisk, o *outcome, kept map[int]bool, what string) {
	if o.err == nil && !left.holdsAll() {
		c.t.Errorf("%s: get said that it was done, and the file is not there", what)
	}
	if err := left.inspect(c.header, kept); err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
}

// prepare makes the disk one of the plan.
func (c *crasher) prepare(d *simDisk) {
	if c.plan.noRename {
		d.Fail = noExclusiveRename
	}
}

// complete runs to the end, and looks at what that took.
func (c *crasher) complete(d *simDisk, kept map[int]bool, what string) {
	c.moveAway(d)
	c.prepare(d)
	o := c.get(d, true)
	if o.err != nil {
		c.t.Errorf("%s: the next run ends with %v", what, o.err)
		return
	}
	if len(kept) > 0 {
		c.resumes++
	}
	if want := d.bytesOf(kept); !o.AlreadyRight && o.Resumed < want || o.Fetched > o.Size-o.Resumed {
		c.t.Errorf("%s: resumed %d, fetched %d, want %d kept: chunks %v", what, o.Resumed, o.Fetched,
			want, slices.Sorted(maps.Keys(kept)))
	}
	for range 4 {
		left := d.copy()
		left.Crash()
		c.check(left, o, kept, what)
	}
	d.Crash()
	// What was removed at the end may be back after that crash. Another run
	// removes it.
	if d.Exists(simJournal) || d.Exists(simPart) {
		c.prepare(d)
		if o := c.get(d, true); !o.AlreadyRight || o.err != nil {
			c.t.Errorf("%s: the last run: %v", what, o.err)
		}
	}
	for _, name := range []string{simPart, simJournal} {
		if d.Exists(name) {
			c.t.Errorf("%s: %s is left", what, name)
		}
	}
}

// moveAway follows repair's hint after a crash between the creation of the part
// file and of its journal. Repair does not know whose the empty file is.
func (c *crasher) moveAway(d *simDisk) {
	if !c.plan.repair || !d.Exists(simPart) || d.Exists(simJournal) || len(d.Content(simPart)) > 0 {
		return
	}
	if err := d.Remove(simPart); err != nil {
		c.t.Fatal(err)
	}
}

// get is what the user types, with -r once there is something to resume.
func (c *crasher) get(d *simDisk, resume bool) *outcome {
	cfg := c.cfg
	cfg.open, cfg.Dir, cfg.Resume = d.open, d.dir, resume
	if !c.plan.repair {
		return c.w.get(cfg)
	}
	write(c.t, filepath.Dir(c.local), simName, d.Content(simName))
	return c.w.run(context.Background(), cfg, func(ctx context.Context, cfg getConfig) (*fetch.Result, error) {
		return Repair(ctx, cfg, c.local)
	})
}

func noExclusiveRename(op, _ string) error {
	if op == "renamenoreplace" {
		return errors.ErrUnsupported
	}
	return nil
}
