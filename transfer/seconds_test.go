package transfer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transfer/partfile/crashfs"
	"malcolm/transport"
	"malcolm/wire"
)

// trickleLen is how many bytes a server sends at a time when it trickles.
const trickleLen = 4 << 10

// In a contest two servers are asked for one chunk: the first makes no
// progress, so the second is asked too.
type contest struct {
	t    *testing.T
	data []byte
	disk *simDisk

	first, second *hostile.Server
	chunk         atomic.Int64  // -1: the first was not asked yet
	begun         chan struct{} // closed when the second is asked

	mu      sync.Mutex
	onDisk  int  // writes into the chunk
	garbage int  // of these, of wrong bytes
	whole   bool // the second copy was written
	late    int  // writes after it
}

func newContest(t *testing.T, data []byte) *contest {
	c := &contest{t: t, data: data, begun: make(chan struct{})}
	c.chunk.Store(-1)
	c.disk = newSimDisk(t, data, nil, rand.New(rand.NewPCG(1, 1)).IntN)
	c.disk.After = func(o crashfs.Operation) {
		c.disk.watch(o)
		if isData(o.Op, o.Name) {
			c.wrote(o)
		}
	}
	return c
}

// wrote sees each write into the part file.
func (c *contest) wrote(o crashfs.Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.Off/chunk != c.chunk.Load() {
		return
	}
	c.onDisk++
	if c.whole {
		c.late++
	}
	if !c.disk.Holds(simPart, o.Off, c.data[o.Off:o.Off+int64(o.N)]) {
		c.garbage++
	}
	c.whole = c.whole || o.N == chunk
}

// get runs against both servers.
func (c *contest) get(w *world) *outcome {
	return w.get(getConfig{Targets: []source.Target{c.first.Target, c.second.Target}, Dir: c.disk.dir, open: c.disk.open})
}

// isSecond reports whether a range is the second copy of the chunk. The first
// time it also tells the first server.
func (c *contest) isSecond(r wire.Span) bool {
	if r.Offset/chunk != c.chunk.Load() {
		return false
	}
	if r.Offset%chunk != 0 || r.Length != chunk {
		c.t.Errorf("the second is asked for %d bytes at %d, want one chunk", r.Length, r.Offset)
	}
	close(c.begun)
	return true
}

// trickle sends frames of trickleLen bytes, with a pause before each.
func trickle(st transport.Stream, p []byte, pause time.Duration) error {
	for len(p) > 0 {
		time.Sleep(pause)
		n := min(trickleLen, len(p))
		if _, err := st.Write(hostile.Frame(wire.StatusOK, p[:n])); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// spoilt returns a copy of bytes that differs from them everywhere.
func spoilt(p []byte) []byte {
	p = bytes.Clone(p)
	for i := range p {
		p[i] ^= 0xff
	}
	return p
}

// The second server on the last chunk lies. What it sent stays in memory: no
// wrong byte gets to the disk, and the slow first server ends the chunk.
func TestHostileSecondCopy(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk, 1)
		c := newContest(t, data)
		c.first = w.malicious(data, 0, func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, spans []wire.Span) {
				if c.chunk.CompareAndSwap(-1, spans[0].Offset/chunk) {
					trickle(st, m.Bytes(spans), 250*time.Millisecond)
				}
			}
		})
		c.second = w.malicious(data, 1, func(m *hostile.Server) {
			m.OnRanges = func(st transport.Stream, spans []wire.Span) {
				if !c.isSecond(spans[0]) {
					m.SendRanges(st, spans)
					return
				}
				hostile.SendBytes(st, spoilt(m.Bytes(spans)))
			}
		})
		o := c.get(w)
		if o.err != nil || !c.disk.holdsAll() {
			t.Fatalf("error = %v, the file is right: %t", o.err, c.disk.holdsAll())
		}
		select {
		case <-c.begun:
		default:
			t.Fatal("there was no second")
		}
		if refused, _ := only[fetch.ChunkRefused](o); refused.Target != c.second.Target || int64(refused.Chunk) != c.chunk.Load() {
			t.Errorf("refused = %+v, want the second copy of chunk %d", refused, c.chunk.Load())
		}
		if c.onDisk == 0 || c.garbage > 0 || c.whole {
			t.Errorf("%d writes into the chunk, %d of wrong bytes, second copy written: %t", c.onDisk, c.garbage, c.whole)
		}
		if r := o.report(c.second.Target); r.State != fetch.StateWrong || r.BadChunks != 1 {
			t.Errorf("the liar's report = %+v, want one wrong chunk", r)
		}
		if r := o.report(c.first.Target); r.State != fetch.StateServing || r.Bytes < chunk {
			t.Errorf("the first one's report = %+v, want at least the chunk", r)
		}
	})
}

// stalledFirst makes the first server send half of the chunk and then stall on
// every stream until the second has been asked. Then it goes on.
func (c *contest) stalledFirst(m *hostile.Server, rest []byte, pause time.Duration) {
	m.OnRanges = func(st transport.Stream, spans []wire.Span) {
		r := spans[0]
		if !c.chunk.CompareAndSwap(-1, r.Offset/chunk) {
			select {
			case <-c.begun:
				m.SendRanges(st, spans)
			case <-m.Stopping():
			}
			return
		}
		const half = chunk / 2
		hostile.SendBytes(st, c.data[r.Offset:r.Offset+half])
		select {
		case <-c.begun:
		case <-m.Stopping():
			return
		}
		trickle(st, rest[r.Offset+half:r.Offset+r.Length], pause)
	}
}

// A server stalls in a chunk and returns while the second copy is under way.
// Either may end first, by much or by little. The chunk is right in all cases,
// the slower server stops, and no honest one is blamed.
func TestStalledFirstReturns(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	const firstPause = 20 * time.Millisecond
	for _, test := range []struct {
		name string
		lies bool // the first, once it returns
	}{{"honest", false}, {"lying", true}} {
		t.Run(test.name, func(t *testing.T) {
			before, after := 0, 0 // how often the first came to its end before the second, and how often not
			for pause := firstPause * 3 / 10; pause <= firstPause*7/10; pause += firstPause / 40 {
				bubble(t, func(t *testing.T, w *world) {
					if stalledFirstReturns(t, w, test.lies, firstPause, pause) {
						before++
					} else {
						after++
					}
				})
			}
			if t.Logf("%d times the first ended before the second, %d times not", before, after); before == 0 || after == 0 {
				t.Error("one of them always did")
			}
		})
	}
}

// stalledFirstReturns reports whether the first server came to the end of the
// chunk before the second copy was written. The chunk is then good or refused.
func stalledFirstReturns(t *testing.T, w *world, lies bool, firstPause, secondPause time.Duration) bool {
	data := file(6*chunk, 1)
	rest := data
	if lies {
		rest = spoilt(data)
	}
	c := newContest(t, data)
	c.first = w.malicious(data, 0, func(m *hostile.Server) { c.stalledFirst(m, rest, firstPause) })
	c.second = w.malicious(data, 1, func(m *hostile.Server) {
		m.OnRanges = func(st transport.Stream, spans []wire.Span) {
			if c.chunk.Load() == spans[0].Offset/chunk && c.isSecond(spans[0]) {
				trickle(st, m.Bytes(spans), secondPause)
				return
			}
			m.SendRanges(st, spans)
		}
	})
	o := c.get(w)
	if o.err != nil || !c.disk.holdsAll() {
		t.Fatalf("error = %v, the file is right: %t", o.err, c.disk.holdsAll())
	}
	said := fmt.Sprintf("second copy every %v, written: %t", secondPause, c.whole)
	if c.late > 0 {
		t.Errorf("%s, %d writes after it", said, c.late)
	}
	first, second := o.report(c.first.Target), o.report(c.second.Target)
	if second.State != fetch.StateServing || !lies && first.State != fetch.StateServing {
		t.Errorf("%s, the servers are %v and %v, want nobody blamed", said, first.State, second.State)
	}
	if !lies && c.garbage > 0 || lies && c.garbage == 0 {
		t.Errorf("%s, %d writes of wrong bytes", said, c.garbage)
	}
	// The wasted bytes of the slower one are counted, and those of a liar
	// in any case.
	if o.Duplicate < trickleLen || o.Duplicate > 2*chunk {
		t.Errorf("%s, %d duplicate bytes", said, o.Duplicate)
	}
	if lies {
		if !c.whole {
			t.Errorf("%s", said)
		}
		return first.BadChunks > 0
	}
	return !c.whole
}
