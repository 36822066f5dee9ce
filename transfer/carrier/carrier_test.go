package carrier

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The transports of these tests.
const (
	quic = 1
	tcp  = 2
)

// A host is a server of a model: what it carries over each transport, and how
// its connections behave. Rates are bytes a second.
type host struct {
	rate      [3]float64 // by transport
	rtt       time.Duration
	now       int
	trial     bool // its ranges go over the other transport
	opensIn   time.Duration
	refuses   bool // the other transport cannot be had
	dead      bool // it can, and brings nothing
	opensAt   time.Time
	isOpening bool
}

// A model drives a Carrier as a session does.
type model struct {
	c      *Carrier
	now    time.Time
	hosts  []*host
	left   time.Duration
	lazy   bool // there is not always work
	lacks  bool // QUIC lacks connections
	log    []string
	trials int // under way, measured
	most   int
}

func newModel(hosts ...*host) *model {
	m := &model{c: New(), now: time.Unix(1e9, 0), hosts: hosts, left: time.Hour}
	for i := range hosts {
		m.join(i, Server{Network: "home"})
	}
	return m
}

func (m *model) join(i int, how Server) {
	h := m.hosts[i]
	if h.now == 0 {
		h.now = quic
	}
	how.Now, how.Other = h.now, quic+tcp-h.now
	m.c.Join(i, how)
}

func (m *model) run(d time.Duration) {
	const tick = 100 * time.Millisecond
	for end := m.now.Add(d); m.now.Before(end); {
		m.now = m.now.Add(tick)
		for i, h := range m.hosts {
			if h.isOpening && !m.now.Before(h.opensAt) {
				m.opened(i, h)
			}
			s := Sample{RTT: h.rtt, Busy: !m.lazy, Lacks: m.lacks}
			n := int64(h.rate[h.now] * tick.Seconds())
			if h.trial {
				if n = int64(h.rate[quic+tcp-h.now] * tick.Seconds()); h.dead {
					n = 0
				}
				s.Trial = n
			} else {
				s.Bytes = n
			}
			m.c.Sample(i, s)
		}
		for _, a := range m.c.Step(m.now, m.left) {
			m.do(a)
		}
	}
}

func (m *model) opened(i int, h *host) {
	h.isOpening = false
	if h.refuses {
		m.c.Failed(i)
		return
	}
	h.trial = true
	if m.c.Opened(i, m.now) {
		m.trials++
		m.most = max(m.most, m.trials)
	}
}

func (m *model) do(a Action) {
	h := m.hosts[a.Server]
	name := []string{"try", "change", "keep"}[a.What]
	m.log = append(m.log, fmt.Sprintf("%d %s %d", a.Server, name, a.Why))
	if m.trials > 0 && h.trial && a.What != Try && a.Why != Remembered {
		m.trials = 0
	}
	switch a.What {
	case Try:
		h.isOpening, h.opensAt = true, m.now.Add(h.opensIn)
	case Change:
		h.now, h.trial = quic+tcp-h.now, false
	case Keep:
		h.trial = false
	}
}

func (m *model) did(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(m.log, want) {
		t.Errorf("done: %q, want %q", m.log, want)
	}
}

func quick(overQUIC, overTCP float64) *host {
	return &host{rate: [3]float64{0, overQUIC, overTCP}, rtt: 200 * time.Microsecond}
}

const megabyte = 1 << 20

func TestTrial(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(m *model)
		end    time.Duration // 0: 10 s
		want   []string
	}{
		{"TCP carries twice as much", func(m *model) {}, 0, []string{"0 try 0", "0 change 0"}},
		{"that is seen early", func(m *model) {}, 1100 * time.Millisecond, []string{"0 try 0", "0 change 0"}},
		{"a fifth more", func(m *model) { m.hosts[0].rate[tcp] = 120 * megabyte }, 1100 * time.Millisecond, []string{"0 try 0"}},
		{"a fifth more, later", func(m *model) { m.hosts[0].rate[tcp] = 120 * megabyte }, 4 * time.Second, []string{"0 try 0", "0 change 0"}},
		{"the same", func(m *model) { m.hosts[0].rate[tcp] = 105 * megabyte }, time.Minute, []string{"0 try 0", "0 keep 3"}},
		{"less", func(m *model) { m.hosts[0].rate[tcp] = 10 * megabyte }, time.Minute, []string{"0 try 0", "0 keep 3"}},
		{"not in the first half second", func(m *model) {}, 500 * time.Millisecond, nil},
		{"a small file", func(m *model) { m.left = leastLeft - 1 }, 0, nil},
		{"there is too little work", func(m *model) { m.lazy = true }, 0, nil},
		{"it gives nothing", func(m *model) { m.hosts[0].rate[quic] = 0 }, 0, nil},
		{"a long path", func(m *model) { m.hosts[0].rtt = ShortRTT }, 0, nil},
		{"the round trip is not known", func(m *model) { m.hosts[0].rtt = 0 }, 0, nil},
		{"TCP is refused", func(m *model) { m.hosts[0].refuses = true }, time.Minute, []string{"0 try 0", "0 keep 4"}},
		{"TCP is dead", func(m *model) { m.hosts[0].dead = true }, 1300 * time.Millisecond, []string{"0 try 0", "0 keep 4"}},
		{"TCP is dead, for ever", func(m *model) { m.hosts[0].dead = true }, time.Hour, []string{"0 try 0", "0 keep 4"}},
		{"a long path with BBR", func(m *model) {
			m.hosts[0].rtt = 50 * time.Millisecond
			m.join(0, Server{BBR: true})
		}, 0, nil},
		{"one on which connections lack, without BBR", func(m *model) {
			m.hosts[0].rtt, m.lacks = 50*time.Millisecond, true
		}, 0, nil},
		{"one on which connections lack, with BBR", func(m *model) {
			m.hosts[0].rtt, m.lacks = 50*time.Millisecond, true
			m.join(0, Server{BBR: true})
		}, 0, []string{"0 try 0", "0 change 0"}},
		{"the user forbids TCP", func(m *model) { m.c.Join(0, Server{Now: quic}) }, 0, nil},
		{"an earlier run liked TCP", func(m *model) {
			m.c = New()
			m.join(0, Server{Known: true, Better: tcp, Former: 100 * megabyte})
		}, 300 * time.Millisecond, []string{"0 try 1", "0 change 1"}},
		{"an earlier run liked QUIC", func(m *model) {
			m.c = New()
			m.join(0, Server{Known: true, Better: quic, Former: 50 * megabyte})
		}, 0, nil},
	}
	for _, test := range tests {
		m := newModel(quick(100*megabyte, 200*megabyte))
		test.change(m)
		if test.end == 0 {
			test.end = 10 * time.Second
		}
		m.run(test.end)
		if !slices.Equal(m.log, test.want) {
			t.Errorf("%s: %q, want %q", test.name, m.log, test.want)
		}
	}
}

// A run in which work ends in the middle of a trial shows nothing, and is tried
// again later.
func TestInterruptedTrialIsRepeated(t *testing.T) {
	t.Parallel()
	m := newModel(quick(100*megabyte, 105*megabyte))
	m.run(900 * time.Millisecond)
	m.lazy = true
	m.run(5 * time.Second)
	m.did(t, "0 try 0", "0 keep 5")
	m.lazy = false
	m.run(firstPause + 10*time.Second)
	m.did(t, "0 try 0", "0 keep 5", "0 try 0", "0 keep 3")
}

// Servers of one network follow the first, one of another network is tried
// itself, and no two are measured at a time.
func TestServersOfOneNetworkFollow(t *testing.T) {
	t.Parallel()
	m := newModel(quick(100*megabyte, 200*megabyte), quick(90*megabyte, 80*megabyte), quick(100*megabyte, 50*megabyte))
	m.c = New()
	m.join(0, Server{Network: "home"})
	m.join(1, Server{Network: "home"})
	m.join(2, Server{Network: "office"})
	m.run(10 * time.Second)
	m.did(t, "0 try 0", "0 change 0", "1 try 0", "1 change 0", "2 try 0", "2 keep 3")
	if m.most != 1 {
		t.Errorf("%d servers were measured at a time, want 1", m.most)
	}
	// What is slower at the first is not tried at the others.
	m = newModel(quick(100*megabyte, 50*megabyte), quick(100*megabyte, 200*megabyte))
	m.run(10 * time.Second)
	m.did(t, "0 try 0", "0 keep 3")
	// A path of another kind says nothing of the others.
	far := quick(100*megabyte, 200*megabyte)
	far.rtt = 20 * time.Millisecond
	m = newModel(far, quick(100*megabyte, 50*megabyte))
	m.lacks = true
	m.join(0, Server{Network: "home", BBR: true})
	m.run(10 * time.Second)
	m.did(t, "0 try 0", "0 change 0", "1 try 0", "1 keep 3")
}

// A server that falls far below what the former transport carried goes back,
// and stays there.
func TestSlowerTransportGoesBack(t *testing.T) {
	t.Parallel()
	changed := func() *model {
		m := newModel(quick(100*megabyte, 200*megabyte), quick(100*megabyte, 200*megabyte))
		m.run(5 * time.Second)
		m.did(t, "0 try 0", "0 change 0", "1 try 0", "1 change 0")
		m.log = nil
		return m
	}
	m := changed()
	m.hosts[0].rate[tcp] = 60 * megabyte
	m.run(time.Minute)
	m.did(t)
	m.hosts[0].rate[tcp] = 40 * megabyte
	m.run(time.Second)
	m.did(t)
	m.run(3 * time.Second)
	m.did(t, "0 try 2", "0 change 2")
	m.hosts[0].rate = [3]float64{0, 1, 200 * megabyte}
	m.run(time.Hour)
	m.did(t, "0 try 2", "0 change 2")

	// The one that followed has measured what its own former one carried.
	m = changed()
	m.hosts[1].rate[tcp] = 40 * megabyte
	m.run(5 * time.Second)
	m.did(t, "1 try 2", "1 change 2")

	// A third server takes a part: that is no fall.
	m = changed()
	m.hosts = append(m.hosts, quick(100*megabyte, 0))
	m.c.Join(2, Server{Now: quic})
	m.hosts[0].rate[tcp] = 40 * megabyte
	m.run(time.Minute)
	m.did(t)

	// So does the memory.
	m = newModel(quick(100*megabyte, 40*megabyte))
	m.c, m.hosts[0].now = New(), tcp
	m.join(0, Server{Known: true, Better: tcp, Former: 100 * megabyte})
	m.run(5 * time.Second)
	m.did(t, "0 try 2", "0 change 2")
}

// What was found holds when a server is lost and comes back.
func TestResultOutlivesALoss(t *testing.T) {
	t.Parallel()
	m := newModel(quick(100*megabyte, 200*megabyte))
	m.run(800 * time.Millisecond)
	if !m.c.IsTrying(0) {
		t.Fatal("it is not being tried")
	}
	m.c.Leave(0) // in the middle of the trial
	m.hosts[0].trial = false
	m.run(time.Second)
	m.join(0, Server{Network: "home"})
	m.run(5 * time.Second)
	m.did(t, "0 try 0", "0 try 0", "0 change 0")
	m.c.Leave(0)
	m.hosts[0].now, m.log = quic, nil
	m.join(0, Server{Network: "home"})
	m.run(300 * time.Millisecond)
	m.did(t, "0 try 0", "0 change 0")
	// One whose connections over TCP were silent stays.
	m = newModel(quick(100*megabyte, 200*megabyte))
	m.c.Stay(0)
	m.run(time.Hour)
	m.did(t)
}

// Whatever is said, in any order: only servers that are there are told to try,
// and those that have another transport; a trial ends; one is measured at a
// time; no number is NaN; a server that went back stays.
func TestProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, now := New(), time.Unix(1e9, 0)
		type known struct{ here, other, trying, measured, fell bool }
		servers := make(map[int]*known)
		since := make(map[int]time.Time)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			id := rapid.IntRange(0, 3).Draw(t, "server")
			k := servers[id]
			if k == nil {
				k = &known{}
				servers[id] = k
			}
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				how := Server{
					Now: rapid.IntRange(1, 2).Draw(t, "now"), BBR: rapid.Bool().Draw(t, "bbr"), Known: rapid.Bool().Draw(t, "known"),
					Better: rapid.IntRange(0, 3).Draw(t, "better"), Former: rapid.Float64().Draw(t, "former"),
					Network: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "network"),
				}
				if rapid.Bool().Draw(t, "other") {
					how.Other = 3 - how.Now
				}
				if !c.IsTrying(id) {
					c.Join(id, how)
					k.here, k.other = true, how.Other != 0
				}
			case 1:
				c.Leave(id)
				k.here, k.trying, k.measured = false, false, false
			case 2:
				if k.trying {
					c.Failed(id)
				}
			case 3:
				if k.trying {
					k.measured = c.Opened(id, now) || k.measured
				}
			case 4:
				c.Sample(id, Sample{
					Bytes: rapid.Int64Range(0, math.MaxInt64/mostLooks).Draw(t, "bytes"), Trial: rapid.Int64Range(0, 1<<40).Draw(t, "trial"),
					RTT: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "rtt")), Busy: true,
				})
			default:
				for i := range servers {
					c.Sample(i, Sample{Bytes: 1 << 20, Trial: rapid.Int64Range(0, 3<<20).Draw(t, "trial"), RTT: time.Millisecond, Busy: true})
				}
				now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Second), int64(2*time.Second)).Draw(t, "past")))
				for _, a := range c.Step(now, time.Duration(rapid.Int64().Draw(t, "left"))) {
					k := servers[a.Server]
					switch {
					case k == nil || !k.here || !k.other:
						t.Fatalf("%+v: such a server is not there, or has no other transport", a)
					case a.What == Try && k.trying, a.What != Try && !k.trying:
						t.Fatalf("%+v: being tried: %t", a, k.trying)
					case a.What == Try && k.fell:
						t.Fatalf("%+v: it went back before", a)
					case math.IsNaN(a.Rate), math.IsNaN(a.Before), math.IsInf(a.Rate, 0), a.Rate < 0:
						t.Fatalf("%+v: odd rates", a)
					}
					k.trying, k.fell = a.What == Try, k.fell || a.What == Change && a.Why == Fell
					k.measured = k.measured && k.trying
					since[a.Server] = now
				}
			}
			measured := 0
			for _, k := range servers {
				if k.measured {
					measured++
				}
			}
			if measured > 1 {
				t.Fatalf("%d servers are measured at a time", measured)
			}
		}
		// A trial that was opened ends.
		for id, k := range servers {
			if k.trying {
				c.Opened(id, now)
			}
		}
		for range 700 {
			now = now.Add(100 * time.Millisecond)
			for _, a := range c.Step(now, 0) {
				servers[a.Server].trying = a.What == Try
			}
		}
		for id, k := range servers {
			if k.trying && k.here {
				t.Fatalf("the trial of %d has not ended", id)
			}
		}
	})
}
