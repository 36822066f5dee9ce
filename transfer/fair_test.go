package transfer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

// A course is one transfer over links of its own, in virtual time. Others may
// share the first link.
type course struct {
	links  []pathLink
	queue  time.Duration
	mb     int           // size of the file, in 10^6 bytes
	others int           // flows on the first link
	come   time.Duration // when they come, after the transfer has begun; 0: flowTime before it
	seed   uint64

	// What is wanted; zero: anything.
	seconds float64 // at most
	soon    int     // connections to the first server after 3 s, at least
	most    int     // connections to one server at any time, at most
	last    int     // connections to the first server at the end, at most
	share   float64 // of what is fair, at most
	leaves  float64 // of what the others have without us, at least
}

// A pathLink is what a link is like. Loss is by chance, each way.
type pathLink struct{ mbits, ms, percent float64 }

const (
	// flowTime is how long others are alone before a transfer begins.
	flowTime = 8 * time.Second
	// meetTime is how long those that come later and we have to find our
	// shares.
	meetTime = 30 * time.Second
)

// A finish is how a course went.
type finish struct {
	seconds          float64
	soon, most, last int     // connections
	ours, others     float64 // Mbit/s of us, and of each of the others, once shares were found
	alone            float64 // Mbit/s of each of the others before we came; 0: not known
}

// A mark is how far a course was at a time.
type mark struct {
	at         time.Duration
	good, came int64
	conns      []int
}

// run runs a course.
func (c course) run(t *testing.T) (f finish) {
	bubble(t, func(t *testing.T, w *world) {
		w.rng = rand.New(rand.NewPCG(c.seed, 7))
		data := file(c.mb*1e6, 1)
		var servers []*server
		for _, p := range c.links {
			s := w.holders(data)[0]
			s.links[0].set(func(l *link) {
				l.rate, l.loss, l.queue = p.mbits*1e6/8, p.percent/100, c.queue
				l.delay = time.Duration(p.ms * float64(time.Millisecond))
			})
			servers = append(servers, s)
		}
		time.Sleep(time.Second) // they are hashed
		shared := servers[0].links[0]
		others := &flows{stop: func() {}}
		begun := time.Now()
		if c.others > 0 && c.come == 0 {
			others = w.flow(shared, c.others)
			time.Sleep(flowTime)
			f.alone = float64(others.came.Load()) * 8e-6 / flowTime.Seconds() / float64(c.others)
			begun = time.Now()
		}
		var marks []mark
		w.get(getConfig{Targets: targetsOf(servers...), Interval: 100 * time.Millisecond, Events: func(e fetch.Event) {
			p, ok := e.(progress)
			if !ok || p.Phase != fetch.PhaseFetching {
				return
			}
			at := time.Since(begun)
			if c.come > 0 && at >= c.come && others.came.Load() == 0 && len(marks) > 0 && marks[len(marks)-1].at < c.come {
				others = w.flow(shared, c.others)
			}
			m := mark{at: at, good: p.Good, came: others.came.Load()}
			for _, s := range p.Servers {
				m.conns = append(m.conns, s.Conns)
			}
			marks = append(marks, m)
		}}).has("data.bin", data)
		f.seconds = time.Since(begun).Seconds()
		others.end()
		f.read(c, marks)
	})
	return f
}

// read fills in what marks say.
func (f *finish) read(c course, marks []mark) {
	first := marks[0]
	for _, m := range marks {
		if m.at <= 3*time.Second {
			f.soon = m.conns[0]
		}
		if c.come > 0 && m.at <= c.come+meetTime {
			first = m
		}
		for _, n := range m.conns {
			f.most = max(f.most, n)
		}
	}
	last := marks[len(marks)-1]
	f.last = last.conns[0]
	if took := (last.at - first.at).Seconds(); took > 0 {
		f.ours = float64(last.good-first.good) * 8e-6 / took
		f.others = float64(last.came-first.came) * 8e-6 / took / float64(max(c.others, 1))
	}
}

// fair returns our fair share of the first link, in Mbit/s.
func (c course) fair() float64 { return c.links[0].mbits / float64(c.others+1) }

// check fails the test unless a course went as is wanted.
func (c course) check(t *testing.T, f finish) {
	t.Helper()
	for _, w := range []struct {
		what  string
		wrong bool
	}{
		{"it took too long", c.seconds > 0 && f.seconds > c.seconds},
		{"too few connections after 3 s", f.soon < c.soon},
		{"too many connections", c.most > 0 && f.most > c.most},
		{"too many connections at the end", c.last > 0 && f.last > c.last},
		{"more than a fair share", c.share > 0 && f.ours > c.share*c.fair()},
		{"others have too little", c.leaves > 0 && f.others < c.leaves*f.alone},
	} {
		if w.wrong {
			t.Errorf("%s: %+v\n\tof %+v", w.what, f, c)
		}
	}
}

const ms = time.Millisecond

// Growth is as quick as it has to be, and no quicker, in a selection of courses
// that take little time.
func TestFair(t *testing.T) {
	withoutRace(t)
	for name, c := range map[string]course{
		"lossy":     {links: []pathLink{{50, 30, 0.5}}, queue: 50 * ms, mb: 12, soon: 6, seconds: 8},
		"clean":     {links: []pathLink{{40, 20, 0}}, queue: 100 * ms, mb: 10, most: 1, seconds: 4},
		"congested": {links: []pathLink{{20, 20, 0}}, queue: 20 * ms, mb: 8, others: 2, most: 2, share: 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := c.run(t)
			t.Logf("%+v", f)
			c.check(t, f)
		})
	}
}

// fairTable is what `just fair` runs.
func fairTable() (all []course) {
	lossy := func(mb int, seconds float64, soon int, links ...pathLink) {
		all = append(all, course{links: links, queue: 100 * ms, mb: mb, seconds: seconds, soon: soon})
	}
	lossy(300, 0, 30, pathLink{200, 50, 0.1})
	lossy(300, 14.5, 0, pathLink{200, 50, 0.01})
	lossy(300, 0, 10, pathLink{200, 5, 1}, pathLink{100, 20, 1}, pathLink{50, 40, 1})
	lossy(150, 55, 40, pathLink{100, 150, 1})
	lossy(300, 0, 30, pathLink{100, 60, 2}, pathLink{100, 100, 0.5})
	clean := func(mb, most int, links ...pathLink) {
		all = append(all, course{links: links, queue: 100 * ms, mb: mb, most: most})
	}
	clean(200, 1, pathLink{200, 20, 0})
	clean(200, 1, pathLink{200, 5, 0}, pathLink{100, 20, 0}, pathLink{50, 40, 0})
	clean(300, 0, pathLink{500, 50, 0})
	for _, queue := range []time.Duration{5 * ms, 20 * ms, 100 * ms} {
		for others := 1; others <= 4; others++ {
			all = append(all, course{links: []pathLink{{100, 20, 0}}, queue: queue, mb: 60, others: others, most: 2, share: 1.5})
		}
	}
	for _, queue := range []time.Duration{5 * ms, 20 * ms, 100 * ms} {
		all = append(all,
			course{links: []pathLink{{100, 20, 0.2}}, queue: queue, mb: 100, others: 4, leaves: 0.6},
			course{links: []pathLink{{100, 20, 0.2}}, queue: queue, mb: 500, others: 20, come: 6 * time.Second, last: 12},
		)
	}
	all = append(all, course{links: []pathLink{{100, 20, 0}}, queue: 2 * ms, mb: 60, others: 4})
	return all
}

// TestFairTable runs and prints the whole table.
func TestFairTable(t *testing.T) {
	if os.Getenv("MALCOLM_FAIR") == "" {
		t.Skip("just fair runs it")
	}
	fmt.Println("| links: Mbit/s, ms one way, loss % | queue | MB | others | seconds | connections at 3 s, most, at the end | Mbit/s | fair | others each | before us |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for i, c := range fairTable() {
		name := fmt.Sprintf("%d:%v/%v/%d", i, c.links, c.queue, c.others)
		t.Run(name, func(t *testing.T) {
			f := c.run(t)
			fmt.Printf("| %v | %v | %d | %d | %.1f | %d, %d, %d | %.1f | %.1f | %.1f | %.1f |\n",
				c.links, c.queue, c.mb, c.others, f.seconds, f.soon, f.most, f.last, f.ours, c.fair(), f.others, f.alone)
			c.check(t, f)
		})
	}
}
