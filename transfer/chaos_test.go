package transfer

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"

	"malcolm/transfer/partfile"
)

const (
	chaosSeeds     = 16
	chaosSeedsRace = 6               // with the race detector
	chaosPatience  = 4 * time.Minute // longer than chaosSteps take
	chaosIdle      = time.Minute     // of the servers
	chaosPause     = 6 * time.Minute
	chaosTries     = 30 // runs of one seed
	chaosSteps     = 60 // that disturb them
)

// chaosRange returns which seeds are run: 0 to 39 (fewer with the race
// detector), or MALCOLM_CHAOS_SEEDS of them, from MALCOLM_CHAOS_FROM on.
func chaosRange(t *testing.T) (from, to int) {
	t.Helper()
	number := func(name string, otherwise int) int {
		if os.Getenv(name) == "" {
			return otherwise
		}
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil || n < 0 {
			t.Fatalf("%s=%q is no number", name, os.Getenv(name))
		}
		return n
	}
	from = number("MALCOLM_CHAOS_FROM", 0)
	seeds := chaosSeeds
	switch {
	case raceEnabled:
		seeds = chaosSeedsRace
	case testing.Short():
		seeds /= 4
	}
	return from, from + number("MALCOLM_CHAOS_SEEDS", seeds)
}

// TestChaos copies a file in a world in which everything happens that may.
// Links lose packets, fall silent, lose large packets, reset TCP connections
// and change their rate. In a third of the seeds most servers have TCP too, and
// some of these lose UDP for good.
// Servers are killed, their disks stall, and one begins to lie. Hosts share an
// ID. First tries fail. Readers and disks pause for longer than patience and
// the servers' idle limit. Interrupts come while an event is told. Whatever
// happens, the file is right in the end, no honest server is blamed, and no run
// ends for lack of a server that had answered: the last one is back before
// patience is over.
func TestChaos(t *testing.T) {
	from, to := chaosRange(t)
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, w *world) {
				w.rng = rand.New(rand.NewPCG(uint64(seed), 6))
				c := &chaos{world: w, rng: rand.New(rand.NewPCG(uint64(seed), 7))}
				tcp := rand.New(rand.NewPCG(uint64(seed), 9))
				w.tcp.led = seed%3 == 0
				c.prepare(func() { w.tcp.on = w.tcp.led && tcp.IntN(4) > 0 })
				c.eatsUDP(tcp)
				stop := c.disturb(rand.New(rand.NewPCG(uint64(seed), 8)))
				if c.chance(3) {
					c.streams()
				} else {
					c.gets()
				}
				stop()
			})
		})
	}
}

// A chaos is one seed. Server 0 is the one that lies; the last one's disk does
// not stall.
type chaos struct {
	*world
	rng  *rand.Rand
	data []byte
}

func (c *chaos) chance(in int) bool { return c.rng.IntN(in) == 0 }

func (c *chaos) within(d time.Duration) time.Duration { return time.Duration(c.rng.Int64N(int64(d))) }

// prepare starts the servers, and calls before ahead of each.
func (c *chaos) prepare(before func()) {
	c.data = file((8+c.rng.IntN(40))*chunk+c.rng.IntN(chunk), 1)
	n := 2 + c.rng.IntN(3)
	for i := range n {
		id := i
		if i == n-1 && c.chance(2) {
			id = c.rng.IntN(max(1, n-2)) // it shares the ID of another one, be that a liar's; the truth keeps two votes
		}
		before()
		s := c.serve(newSource(c.data), id, 1, serve.Config{Limits: serve.Limits{IdleTimeout: chaosIdle}})
		slow(float64(int(40<<10)<<c.rng.IntN(5)), s)
		delay, loss, late := defaultDelay, 0.0, c.chance(4)
		if c.chance(3) {
			delay = c.within(150 * time.Millisecond)
		}
		if c.chance(4) {
			loss = 0.01
		}
		s.links[0].set(func(l *link) { l.delay, l.loss, l.hole = delay, loss, late })
		if late {
			time.AfterFunc(c.within(8*time.Second), func() { s.links[0].set(func(l *link) { l.hole = false }) })
		}
	}
	if n > 2 { // else there is no majority any more once it has seen for itself what it has
		time.AfterFunc(c.within(9*time.Second), c.servers[0].src.flips)
	}
}

// eatsUDP has the network lose all packets over UDP of some of the servers that
// have TCP, from the beginning or from a time in the middle on.
func (c *chaos) eatsUDP(rng *rand.Rand) {
	for _, s := range c.servers {
		eat := func() { s.links[0].set(func(l *link) { l.ways[fromServer].hole, l.ways[toServer].hole = true, true }) }
		switch k := rng.IntN(3); {
		case !s.tcp || k == 0:
		case k == 1:
			eat()
		default:
			time.AfterFunc(time.Duration(rng.IntN(9000))*time.Millisecond, eat)
		}
	}
}

// disturb disturbs the servers until stop is called, or for chaosSteps. Then
// all are well again.
func (c *chaos) disturb(rng *rand.Rand) (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for range chaosSteps {
			select {
			case <-stopped:
				return
			case <-time.After(time.Duration(rng.IntN(2500)) * time.Millisecond):
				c.step(rng)
			}
		}
		for i, s := range c.servers {
			s.links[0].set(func(l *link) { l.hole, l.mtu, l.rate = false, 0, 500<<10 })
			if i > 0 {
				s.src.onRange(nil)
			}
		}
	}()
	return func() {
		close(stopped)
		<-ended
	}
}

// step does one thing to one server. The liar is not killed, and goes on lying.
func (c *chaos) step(rng *rand.Rand) {
	i := rng.IntN(len(c.servers))
	s, l := c.servers[i], c.servers[i].links[0]
	switch k := rng.IntN(10); {
	case k < 2:
		l.set(func(l *link) { l.hole = true })
	case k < 4:
		l.set(func(l *link) { l.hole, l.mtu = false, 0 })
	case k == 4:
		rate := float64(int(20<<10) << rng.IntN(6))
		l.set(func(l *link) { l.rate = rate })
	case k == 5:
		l.narrows()
		s.resetTCP(false)
	case i == 0, k > 6 && i == len(c.servers)-1:
	case k == 6:
		s.kill()
	case k == 7:
		d := time.Duration(rng.IntN(4000)) * time.Millisecond
		s.src.onRange(func([]byte, int64) error { return rests(s.src, d) })
	case k == 8:
		d := chaosPause + time.Duration(rng.IntN(100))*time.Second
		s.src.onRange(func([]byte, int64) error { return rests(s.src, d) })
	default:
		s.src.onRange(nil)
	}
}

// rests waits, but not behind the end of the world.
func rests(s *heldFile, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.released:
	}
	return nil
}

// streams copies the file to a reader that pauses now and then.
func (c *chaos) streams() {
	var got bytes.Buffer
	rests, slow := c.chance(2), c.chance(2)
	o := c.stream(getConfig{Targets: targetsOf(c.servers...), Patience: chaosPatience}, writerFunc(func(p []byte) (int, error) {
		switch {
		case rests && c.chance(15):
			time.Sleep(chaosPause)
		case slow && c.chance(8):
			time.Sleep(c.within(9 * time.Second))
		}
		return got.Write(p)
	}), int64(2+c.rng.IntN(20))*chunk)
	c.wantReason(o)
	if !bytes.HasPrefix(c.data, got.Bytes()) || o.err == nil && got.Len() != len(c.data) {
		c.t.Errorf("%d bytes were written that are not the file's %d, error %v", got.Len(), len(c.data), o.err)
	}
	c.wantBlame(o)
}

// gets copies the file, and tries again when that is interrupted or fails.
func (c *chaos) gets() {
	dir := c.t.TempDir()
	defer time.Sleep(4 * chaosPause) // a disk that was left behind recovers
	disk := func(root *os.Root) partfile.FS {
		return restingFS{partfile.Dir(root), func() time.Duration { return 0 }}
	}
	if c.chance(3) {
		// It has random numbers of its own: several goroutines use the
		// disk.
		pauses := make(chan time.Duration, 3)
		for range cap(pauses) {
			pauses <- chaosPause
		}
		disk = func(root *os.Root) partfile.FS {
			return restingFS{partfile.Dir(root), func() time.Duration {
				select {
				case d := <-pauses:
					return d
				default:
					return 0
				}
			}}
		}
	}
	var reasons []string
	for try := range chaosTries {
		ctx, cancel := context.WithCancelCause(context.Background())
		cfg := getConfig{Targets: targetsOf(c.servers...), Dir: dir, Resume: true, Map: true, Patience: chaosPatience, open: disk}
		if len(c.servers) > 2 {
			cfg.Quorum = 2 // a liar that knows its own file by now is not believed when it is alone
		}
		if c.chance(3) {
			cfg.Connections = 1 + c.rng.IntN(6)
		}
		cfg.Recheck = c.chance(4)
		if try < 2 && c.chance(2) {
			cfg.Events = c.interrupts(cancel)
		}
		o := c.getUnder(ctx, cfg)
		cancel(nil)
		c.wantReason(o)
		c.wantBlame(o)
		reasons = append(reasons, fmt.Sprint(o.err))
		if o.err == nil {
			o.lists("data.bin")
			if !bytes.Equal(o.read("data.bin"), c.data) {
				c.t.Error("the file is wrong")
			}
			if o.Duplicate > o.Size/4+8*chunk {
				c.t.Logf("%d bytes of %d came for nothing", o.Duplicate, o.Size)
			}
			return
		}
		if partfile.ReasonOf(o.err) == partfile.Locked {
			dir = c.t.TempDir() // the process that holds it would have ended long ago
		}
		time.Sleep(10 * time.Second)
	}
	c.t.Errorf("the file is not there after %d runs: %q", chaosTries, reasons)
}

// interrupts interrupts a run while one of its events is told. That event takes
// some more time.
func (c *chaos) interrupts(cancel context.CancelCauseFunc) func(fetch.Event) {
	if c.chance(2) {
		return at(c.rng.Float64(), func() { cancel(errInterrupted) })
	}
	after, takes := c.rng.IntN(200), c.within(3*time.Second)
	return func(fetch.Event) {
		if after--; after == 0 {
			cancel(errInterrupted)
			time.Sleep(takes)
		}
	}
}

// wantReason fails the test unless a run ended well, by an interrupt, or for
// what servers and the network do.
func (c *chaos) wantReason(o *outcome) {
	c.t.Helper()
	if o.err == nil || o.err == errInterrupted || partfile.ReasonOf(o.err) == partfile.Locked {
		return // a run that was interrupted has left a disk behind that rests
	}
	last := o.Servers[len(o.Servers)-1]
	switch {
	case fetch.KindOf(o.err) == fetch.KindVote: // who is away has no vote
	case fetch.KindOf(o.err) == fetch.KindNetwork && last.State == fetch.StateNotReached:
	default:
		c.t.Errorf("error = %T %v; servers: %+v", o.err, o.err, o.Servers)
	}
}

// wantBlame fails the test if a server is blamed that does not lie.
func (c *chaos) wantBlame(o *outcome) {
	c.t.Helper()
	if o.Result == nil {
		return
	}
	for i, r := range o.Servers {
		if i > 0 && (r.State == fetch.StateWrong || r.State == fetch.StateChanged || r.BadChunks > 0) {
			c.t.Errorf("an honest server is blamed: %+v", r)
		}
	}
}

// restingFS is a directory whose part file pauses now and then, in a read or a
// sync. A write must not: it holds a mutex, and virtual time stands still for
// who waits for one.
type restingFS struct {
	partfile.FS
	rest func() time.Duration
}

func (f restingFS) Create(name string) (partfile.Handle, error) {
	h, err := f.FS.Create(name)
	return restingHandle{h, f.rest}, err
}

func (f restingFS) OpenWrite(name string) (partfile.Handle, error) {
	h, err := f.FS.OpenWrite(name)
	return restingHandle{h, f.rest}, err
}

type restingHandle struct {
	partfile.Handle
	rest func() time.Duration
}

func (h restingHandle) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(h.rest())
	return h.Handle.ReadAt(p, off)
}

func (h restingHandle) Datasync() error {
	time.Sleep(h.rest())
	return h.Handle.Datasync()
}
