package schedule

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/content"
)

// A model drives a Schedule by random calls, and keeps its own record of which
// chunk is in whose hands.
type model struct {
	*Schedule
	known  []bool  // added or good
	holder [][]int // IDs of the ranges that have the chunk
	good   []bool
	open   []Range // under way, as they are after those that were shrunk
	told   map[int]bool
	now    time.Time

	lacked      map[int]map[int]bool // by server: chunks
	connections int                  // the most at any server
	ordered     bool
	front, edge int // of the window, if there is one
}

func drawModel(t *rapid.T) *model {
	cfg := Config{
		Content:      drawContent(t),
		Limit:        rapid.SampledFrom([]int64{0, 0, 1, 5000, 3 << 20}).Draw(t, "limit"),
		MaxCopyBytes: rapid.SampledFrom([]int64{0, 1, 3000}).Draw(t, "second bytes"),
	}
	chunks := cfg.Content.Chunks()
	return &model{
		ordered:  rapid.Bool().Draw(t, "a window"),
		Schedule: New(cfg), known: make([]bool, chunks), holder: make([][]int, chunks), good: make([]bool, chunks),
		told: make(map[int]bool), lacked: make(map[int]map[int]bool), now: time.Unix(1_000_000_000, 0),
	}
}

// drawContent returns one file in chunks of one length, or many files.
func drawContent(t *rapid.T) *content.Content {
	cut, files := inFour, []content.File{}
	if rapid.Bool().Draw(t, "a tree") {
		sizes := rapid.SampledFrom([]int64{0, 1, 4 << 10, 100_000, 256 << 10, 300_000, 3_000_000, 70_000_000, 1 << 30})
		for _, size := range rapid.SliceOfN(sizes, 0, 50).Draw(t, "sizes") {
			for range rapid.SampledFrom([]int{1, 1, 10, 300}).Draw(t, "many") {
				files = append(files, content.File{Size: size})
			}
		}
		files = files[:min(len(files), 1000)]
	} else {
		chunks := rapid.SampledFrom([]int64{0, 1, 2, 3, 10, 63, 64, 65, 300}).Draw(t, "chunks")
		length := rapid.SampledFrom([]int64{1, 1000, 1 << 20, MaxRangeLen / 2, MaxRangeLen + 1}).Draw(t, "chunk size")
		cut, files = func(int64) int64 { return length }, []content.File{{}}
		if chunks > 0 {
			files[0].Size = (chunks-1)*length + rapid.Int64Range(1, length).Draw(t, "last chunk")
		}
	}
	c, err := content.OfCut(cut, files...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inFour cuts files into four chunks, but in none of less than 256 KiB.
func inFour(size int64) int64 {
	length := int64(256 << 10)
	for 4*length < size {
		length *= 2
	}
	return length
}

func (m *model) plan(t *rapid.T) Actions {
	a := m.Plan(m.now)
	for _, id := range a.Cancel {
		if m.told[id] {
			t.Fatalf("range %d is cancelled twice", id)
		}
		m.told[id] = true
	}
	for _, k := range a.Shrink {
		m.shrink(t, k)
	}
	for _, r := range a.Fetch {
		if r.Count < 1 || r.ID <= 0 || m.servers[r.Server] == nil || r.Second && r.Count != 1 {
			t.Fatalf("bad range %+v", r)
		}
		if n := m.cfg.Content.Length(r.First, r.Count); r.Count > 1 && n > MaxRangeLen {
			t.Fatalf("%+v is %d bytes long", r, n)
		}
		if n := len(m.cfg.Content.Spans(r.First, r.Count)); n > MaxFiles {
			t.Fatalf("%+v has chunks of %d files", r, n)
		}
		for c := r.First; c < r.First+r.Count; c++ {
			if m.ordered && c >= m.edge {
				t.Fatalf("%+v is outside of the window, which ends at %d", r, m.edge)
			}
			if !m.known[c] || m.good[c] || len(m.holder[c]) > 1 || r.Second != (len(m.holder[c]) == 1) {
				t.Fatalf("%+v: chunk %d: known %v, good %v, in ranges %d", r, c, m.known[c], m.good[c], m.holder[c])
			}
			if m.lacked[r.Server][c] {
				t.Fatalf("%+v: the server lacks chunk %d", r, c)
			}
			m.holder[c] = append(m.holder[c], r.ID)
		}
		m.open = append(m.open, r)
	}
	m.bounds(t, a)
	m.letIn(t)
	m.noneIdle(t)
	return a
}

func (m *model) shrink(t *rapid.T, k Shrink) {
	i := slices.IndexFunc(m.open, func(r Range) bool { return r.ID == k.ID })
	if i < 0 || k.Count < 1 || k.Count >= m.open[i].Count {
		t.Fatalf("%+v shrinks none of %+v", k, m.open)
	}
	r := &m.open[i]
	for c := r.First + k.Count; c < r.First+r.Count; c++ {
		m.drop(c, r.ID)
	}
	r.Count = k.Count
}

func (m *model) drop(c, id int) {
	m.holder[c] = slices.DeleteFunc(m.holder[c], func(other int) bool { return other == id })
}

// noneIdle checks that no server of known rate is idle while it could finish
// something more than two round trips sooner than the server that has it,
// within the bounds on second copies.
func (m *model) noneIdle(t *rapid.T) {
	o := m.outlook(m.now)
	if m.queued > 0 {
		return
	}
	e := endgame{Schedule: m.Schedule, now: m.now, queue: forecast{s: m.Schedule, o: o}}
	for _, v := range m.order {
		rate := v.rate.Rate()
		idle := v.owed == 0 || float64(v.owed) < 2*rate*v.rtt.Seconds() && len(v.ranges) < MaxStreams && len(m.ranges) < MaxStreamsTotal
		if !v.working(m.now) || rate == 0 || !idle || v.connections > 1 {
			continue
		}
		start := max(v.rtt.Seconds(), float64(v.owed)/rate)
		for _, other := range m.order {
			if other == v || other.owed == 0 {
				continue
			}
			if gain, what := m.gain(e, other, v, start); gain > 2*v.rtt.Seconds() {
				m.dump(t)
				t.Fatalf("server %d is idle: it would gain %v s with %s of server %d", v.id, gain, what, other.id)
			}
		}
	}
}

// dump logs what is under way.
func (m *model) dump(t *rapid.T) {
	for _, v := range m.order {
		t.Logf("server %d: rate %v, round trip %v, owes %d, silent %v, resting %v, pause %v",
			v.id, v.rate.Rate(), v.rtt, v.owed, v.silent(m.now), v.resting(m.now), v.pause)
		for _, r := range v.ranges {
			t.Logf("%+v: %d asked for, %d bytes came, %d owed, rival %v", r.Range, r.asked, r.came, r.owed, r.rival != nil)
		}
	}
}

// gain returns how many seconds sooner a server would be done if an idle server
// took the last unit or chunk of one of its ranges.
func (m *model) gain(e endgame, v, idle *server, start float64) (gain float64, what string) {
	all, own, rate, silent := math.Inf(1), v.rate.Rate(), idle.rate.Rate(), v.silent(m.now)
	switch {
	case silent:
		own = 0
	case own == 0:
		return 0, ""
	default:
		all = float64(v.owed) / own
	}
	// Two ranges may have the front of a window before it has begun.
	hasTail := func(r *rangeState) bool {
		return r.unbegun() > 0 && len(m.holder[r.First+r.Count-1]) < 2
	}
	tails := slices.ContainsFunc(v.ranges, func(r *rangeState) bool { return r.owed > 0 && hasTail(r) })
	for _, r := range v.ranges {
		c := r.First + r.Count - 1
		if r.owed == 0 || m.good[c] || m.lacked[idle.id][c] {
			continue
		}
		if hasTail(r) {
			u := m.piece(r, idle, rate)
			finish := start + float64(u.bytes)/rate
			if own > 0 {
				finish = max(finish, float64(v.owed-u.bytes)/own)
			}
			if !silent || !e.queue.tooSlow(idle, u) {
				gain, what = max(gain, all-finish), "a tail"
			}
			continue
		}
		length := m.length(c)
		first, finish := e.finishBytes(r, r.owed), start+float64(length)/rate
		switch {
		case m.ordered && m.window.end < m.cfg.Content.Chunks() && c != m.front && !silent: // it has time
		case silent && e.queue.tooSlow(idle, m.newUnit(c, 1)):
		case !tails && len(m.holder[c]) < 2 && e.mayCopy(length, costOf(length, r.owed, first, finish)) && e.busyFinish(v, c, length) >= finish:
			gain, what = max(gain, first-finish), "a second copy"
		}
	}
	return gain, what
}

// piece returns the least that a server may take of a range's tail.
func (m *model) piece(r *rangeState, idle *server, rate float64) unit {
	least, n := min(m.cfg.Content.SmallChunk(), max(32<<10, int64(min(rate/10, math.MaxInt32)))), 1
	for n < r.unbegun() {
		next := r.First + r.Count - n - 1
		if m.cfg.Content.Length(next, n+1) > least || len(m.holder[next]) > 1 || m.lacked[idle.id][next] {
			break
		}
		n++
	}
	return m.newUnit(r.First+r.Count-n, n)
}

// bounds checks what holds after every Plan.
func (m *model) bounds(t *rapid.T, a Actions) {
	streams := make(map[*server]int)
	for _, r := range m.ranges {
		streams[r.by]++
	}
	for _, v := range m.order {
		if streams[v] > MaxStreams && streams[v] > 2*m.connections {
			t.Fatalf("server %d has %d ranges", v.id, streams[v])
		}
	}
	for i, r := range a.Fetch {
		v := m.servers[r.Server]
		if streams[v] > 1 && len(m.ranges) > MaxStreamsTotal {
			for _, other := range a.Fetch[:i] {
				if other.Server == r.Server {
					t.Fatalf("%d ranges in all, and a further one for server %d", len(m.ranges), r.Server)
				}
			}
		}
	}
	if m.queued > 0 && len(m.ranges) == 0 {
		for _, v := range m.order {
			if !v.resting(m.now) && m.hasMissing(v.id) {
				t.Fatalf("%d bytes in the queue, nothing under way, and server %d may be asked", m.queued, v.id)
			}
		}
	}
}

// hasMissing reports whether a server has a chunk of the queue.
func (m *model) hasMissing(server int) bool {
	for c, state := range m.chunks {
		if state == missing && !m.lacked[server][c] {
			return true
		}
	}
	return false
}

func (m *model) end(i int) {
	r := m.open[i]
	m.End(r.ID)
	for c := r.First; c < r.First+r.Count; c++ {
		m.drop(c, r.ID)
	}
	m.open = append(m.open[:i], m.open[i+1:]...)
}

// finish lets a whole range arrive.
func (m *model) finish(i int) {
	r := m.open[i]
	n := m.cfg.Content.Length(r.First, r.Count)
	m.Arrived(r.ID, n, m.now)
	for c := r.First; c < r.First+r.Count; c++ {
		m.setGood(c)
	}
	m.end(i)
}

func (m *model) setGood(c int) {
	m.Good(c)
	m.known[c], m.good[c] = true, true
}

func (m *model) lacks(server, first, n int) {
	if m.servers[server] == nil {
		return
	}
	m.Lack(server, first, n)
	if m.lacked[server] == nil {
		m.lacked[server] = make(map[int]bool)
	}
	for c := first; c < first+n; c++ {
		m.lacked[server][c] = true
	}
}

// recount compares every counter with a plain count.
func (m *model) recount(t *rapid.T) {
	var queued, owed int64
	left, first := 0, -1
	for c := range m.cfg.Content.Chunks() {
		if !m.good[c] {
			left++
		}
		want := unknown
		switch {
		case m.good[c]:
			want = good
		case len(m.holder[c]) == 1:
			want = underway
		case len(m.holder[c]) == 2:
			want = twice
		case m.known[c]:
			want = missing
			queued += m.cfg.Content.Length(c, 1)
			if first < 0 {
				first = c
			}
		}
		if m.chunks[c] != want {
			t.Fatalf("chunk %d has state %d, want %d", c, m.chunks[c], want)
		}
	}
	if m.queued != queued || m.left != left || m.missing.first() != first {
		t.Fatalf("queued %d, left %d, front %d, want %d, %d, %d", m.queued, m.left, m.missing.first(), queued, left, first)
	}
	if len(m.ranges) != len(m.open) || len(m.order) != len(m.servers) {
		t.Fatalf("%d ranges, %d of %d servers in order, want %d ranges", len(m.ranges), len(m.order), len(m.servers), len(m.open))
	}
	for _, v := range m.order {
		var sum int64
		n := 0
		for _, r := range m.ranges {
			if r.by == v {
				sum += r.owed
				n++
			}
		}
		if v.owed != sum || len(v.ranges) != n || m.servers[v.id] != v {
			t.Fatalf("server %d owes %d on %d ranges, want %d on %d", v.id, v.owed, len(v.ranges), sum, n)
		}
		owed += sum
	}
	for _, r := range m.ranges {
		if n := m.cfg.Content.Length(r.First, r.Count); r.owed < 0 || r.owed > n || (r.cancelled && r.owed != 0) {
			t.Fatalf("range %d of %d bytes owes %d, cancelled: %v", r.ID, n, r.owed, r.cancelled)
		}
	}
	m.recountSeconds(t)
	if m.owed != owed {
		t.Fatalf("%d bytes are owed in all, want %d", m.owed, owed)
	}
}

func (m *model) recountSeconds(t *rapid.T) {
	var copyBytes int64
	for _, r := range m.ranges {
		if r.Second {
			copyBytes += m.length(r.First)
		}
		if r.rival != nil && (r.rival.rival != r || m.ranges[r.rival.ID] != r.rival) {
			t.Fatalf("%+v has a rival %+v", r.Range, r.rival.Range)
		}
	}
	var waste int64
	for _, r := range m.ranges {
		waste += r.cost
	}
	if m.waste < waste {
		t.Fatalf("%d bytes are wasted, want at least %d", m.waste, waste)
	}
	if m.copyBytes != copyBytes {
		t.Fatalf("second copies of %d bytes, want %d", m.copyBytes, copyBytes)
	}
}

// slide moves the window to the first chunk that is not good, or begins it.
func (m *model) slide(length int) {
	for m.front < m.cfg.Content.Chunks() && m.good[m.front] {
		m.front++
	}
	m.edge = max(m.edge, min(m.front+length, m.cfg.Content.Chunks()))
	m.Window(m.front, m.front+length)
	for c := range m.window.end {
		m.known[c] = true
	}
}

// letIn checks that all of the window is let in except a part of a unit.
func (m *model) letIn(t *rapid.T) {
	end := m.window.end
	if end > m.edge || end < m.edge && (end <= m.front || end+Unit(m.cfg.Content, end) <= m.edge) {
		t.Fatalf("the window from %d to %d is let in up to %d", m.front, m.edge, end)
	}
}

// drain goes on with a new server that does all it is asked for, until every
// chunk that was ever missing is good. The other servers are silent. Their
// ranges end when they are cancelled, when their server has left, or when their
// bytes have all come.
func (m *model) drain(t *rapid.T) {
	const honest = 1000
	m.Join(honest, 0, m.now)
	for round := 0; ; round++ {
		for i := len(m.open) - 1; i >= 0; i-- {
			if r := m.open[i]; r.Server == honest {
				m.finish(i)
			} else if m.ranges[r.ID].owed == 0 {
				m.end(i)
			}
		}
		if m.ordered {
			m.slide(64)
		}
		m.plan(t)
		m.recount(t)
		if m.queued == 0 && len(m.open) == 0 && (!m.ordered || m.Done()) {
			break
		}
		if round > 2000+100*m.cfg.Content.Chunks() { // silent servers are probed with chunk after chunk
			m.dump(t)
			t.Fatalf("still %d bytes in the queue and %d ranges under way", m.queued, len(m.open))
		}
		m.now = m.now.Add(time.Second)
	}
	for c, known := range m.known {
		if known != m.good[c] {
			t.Fatalf("chunk %d: known %v, good %v", c, known, m.good[c])
		}
	}
	if m.Done() != (m.left == 0) {
		t.Fatalf("done: %v with %d chunks left", m.Done(), m.left)
	}
}

// actions are all calls, with random arguments.
func (m *model) actions() map[string]func(*rapid.T) {
	server := rapid.IntRange(0, 8)
	rtt := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 300 * time.Millisecond, 5 * time.Second})
	return map[string]func(*rapid.T){
		"slide": func(t *rapid.T) {
			if !m.ordered {
				t.Skip("no window")
			}
			m.slide(rapid.IntRange(1, 100).Draw(t, "window"))
		},
		"add": func(t *rapid.T) {
			if m.ordered {
				t.Skip("a window")
			}
			first := m.drawChunk(t)
			for c := first; c < min(first+rapid.IntRange(1, 100).Draw(t, "many"), m.cfg.Content.Chunks()); c++ {
				m.Add(c)
				m.known[c] = true
			}
		},
		"good": func(t *rapid.T) { m.setGood(m.drawChunk(t)) },
		"arrived": func(t *rapid.T) {
			r := m.open[m.drawOpen(t)]
			n := m.cfg.Content.Length(r.First, r.Count)
			ago := time.Duration(rapid.IntRange(0, 3).Draw(t, "ago")) * time.Second
			bytes := rapid.SampledFrom([]int64{0, 1, n / 2, n, n + 1}).Draw(t, "bytes")
			m.Arrived(r.ID, bytes, m.now.Add(-ago))
		},
		"whole": func(t *rapid.T) { m.finish(m.drawOpen(t)) },
		"end":   func(t *rapid.T) { m.end(m.drawOpen(t)) },
		"join":  func(t *rapid.T) { m.Join(server.Draw(t, "server"), rtt.Draw(t, "rtt"), m.now) },
		"leave": func(t *rapid.T) {
			id := server.Draw(t, "server")
			m.Leave(id)
			delete(m.lacked, id)
		},
		"lacks": func(t *rapid.T) {
			id, first := server.Draw(t, "server"), m.drawChunk(t)
			n := min(rapid.SampledFrom([]int{1, 1, 20, 1000}).Draw(t, "many"), m.cfg.Content.Chunks()-first)
			m.lacks(id, first, n)
		},
		"sample": func(t *rapid.T) {
			m.Sample(server.Draw(t, "server"), rapid.Int64Range(0, 100<<20).Draw(t, "bytes"), rtt.Draw(t, "rtt"), m.now)
		},
		"connections": func(t *rapid.T) {
			n := rapid.SampledFrom([]int{0, 1, 2, 5, 32}).Draw(t, "connections")
			m.connections = max(m.connections, n)
			m.Connections(server.Draw(t, "server"), n, rapid.IntRange(0, n).Draw(t, "idle"))
		},
		"pause": func(t *rapid.T) {
			m.Pause(server.Draw(t, "server"), m.now.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "seconds"))*time.Second))
		},
		"pass": func(t *rapid.T) {
			m.now = m.now.Add(time.Duration(rapid.SampledFrom([]int{1, 100, 2000, 10_000, -100}).Draw(t, "ms")) * time.Millisecond)
		},
		"plan":       func(t *rapid.T) { m.plan(t) },
		"plan again": func(t *rapid.T) { m.plan(t) }, // twice as often
		"":           func(t *rapid.T) { m.recount(t) },
	}
}

func (m *model) drawChunk(t *rapid.T) int {
	if m.cfg.Content.Chunks() == 0 {
		t.Skip("no chunks")
	}
	return rapid.IntRange(0, m.cfg.Content.Chunks()-1).Draw(t, "chunk")
}

func (m *model) drawOpen(t *rapid.T) int {
	if len(m.open) == 0 {
		t.Skip("nothing is under way")
	}
	return rapid.IntRange(0, len(m.open)-1).Draw(t, "range")
}

// For any calls in any order: a chunk is in at most one range, only missing
// chunks are handed out, all of them are in the end, and the counters are
// right.
func TestAnyOrderOfCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		actions := m.actions()
		for range 10 { // Repeat alone is short
			t.Repeat(actions)
		}
		m.drain(t)
	})
}

func TestChunkSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 63, 64, 65, 4095, 4096, 4097, 262_145}).Draw(t, "n")
		set, want := newChunkSet(n), make(map[int]bool)
		member := rapid.OneOf(rapid.IntRange(0, n-1), rapid.Just(n-1), rapid.IntRange(0, min(n-1, 70)))
		t.Repeat(map[string]func(*rapid.T){
			"add":    func(t *rapid.T) { c := member.Draw(t, "c"); set.add(c); want[c] = true },
			"remove": func(t *rapid.T) { c := member.Draw(t, "c"); set.remove(c); delete(want, c) },
			"first":  func(t *rapid.T) { c := set.first(); set.remove(max(c, 0)); delete(want, c) },
			"": func(t *rapid.T) {
				least := -1
				for c := range want {
					if least < 0 || c < least {
						least = c
					}
				}
				if got := set.first(); got != least {
					t.Fatalf("first = %d, want %d", got, least)
				}
			},
		})
	})
	if got := newChunkSet(0).first(); got != -1 {
		t.Errorf("first of no chunks = %d", got)
	}
}
