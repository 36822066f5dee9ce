package transfer

import (
	"bytes"
	"errors"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"github.com/quic-go/quic-go/quicvarint"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// maxGrown bounds the growth of memory while Get suffers an attack, in
	// bytes: both sides, the network between them, and garbage.
	maxGrown = 24 << 20
	// maxAllocated bounds all that is allocated meanwhile, in bytes. It is
	// more than is in use at a time, since the garbage collector empties
	// the pools of packets. It is far less than what is announced.
	maxAllocated = 4 * maxGrown
	// inFlight bounds what is taken from a server before it is cut off, in
	// bytes of packets. That is its first chunk on each of its first two
	// streams, and two round trips of its link: one until the wrong chunk
	// is seen, one while it is asked what it offers now.
	inFlight = 2*chunk + 2*defaultRate*2*int64(defaultDelay)/int64(time.Second)
)

// suffer is get against malicious servers. Nothing of Get may run when it has
// returned, and memory may grow by maxGrown meanwhile.
func (w *world) suffer(cfg getConfig) *outcome {
	w.t.Helper()
	var before, now runtime.MemStats
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	react := cfg.Events
	cfg.Events = func(e fetch.Event) {
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc)
		if react != nil {
			react(e)
		}
	}
	o := w.get(cfg)
	synctest.Wait() // a goroutine that has been joined may still have to end
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if n := bytes.Count(stacks, []byte("malcolm/transfer/fetch.")); n > 0 {
		w.t.Errorf("%d calls of Get are still running", n)
	}
	if grown := int64(most) - int64(before.HeapAlloc); grown > maxGrown {
		w.t.Errorf("memory grew by %d bytes, want at most %d", grown, maxGrown)
	}
	return o
}

// sentBy returns how many bytes arrived from a malicious server; of packets,
// over UDP.
func (w *world) sentBy(m *hostile.Server) int64 {
	l := w.link(m.Target)
	if l.tcp != nil {
		return l.tcp.Carried()
	}
	return l.way(fromServer).carried
}

// named fails the test unless the run named the malicious server, and reports
// all others as serving.
func named(t *testing.T, o *outcome, m *hostile.Server, state fetch.State) {
	t.Helper()
	for _, r := range o.Servers {
		switch {
		case r.Target == m.Target && (r.State != state || r.Err == nil):
			t.Errorf("report of the hostile server = %+v, want %s and why", r, state)
		case r.Target != m.Target && (r.State != fetch.StateServing || r.Err != nil):
			t.Errorf("report of %s = %+v, want serving", r.Target, r)
		}
	}
	told := false
	for _, e := range o.events {
		switch e := e.Event.(type) {
		case fetch.NotReached:
			told = told || e.Target == m.Target
		case fetch.Lost:
			told = told || e.Target == m.Target
		}
	}
	if !told {
		t.Error("nobody was told of the hostile server")
	}
}

// lengths are numbers above all limits.
var lengths = []uint64{4 << 30, quicvarint.Max}

// A length that is too large is refused when it is read, in whatever message.
// Nothing is allocated for it, and nothing is waited for.
func TestHostileLengths(t *testing.T) {
	withoutRace(t)
	data := file(2*chunk+1, 1)
	for _, test := range []struct {
		name  string
		state fetch.State
		lie   func(m *hostile.Server, n uint64)
	}{
		{"offer", fetch.StateNotReached, func(m *hostile.Server, n uint64) {
			m.OnStat = func(st transport.Stream, _ int) { m.Stall(st, hostile.Header(wire.StatusOK, n)) }
		}},
		{"name", fetch.StateNotReached, func(m *hostile.Server, n uint64) {
			b := slices.Concat([]byte{9, 0, 0}, make([]byte, 32), quicvarint.Append(nil, n))
			m.OnStat = func(st transport.Stream, _ int) {
				m.Stall(st, append(hostile.Header(wire.StatusOK, uint64(len(b))), b...))
			}
		}},
		{"indexing", fetch.StateNotReached, func(m *hostile.Server, n uint64) {
			m.OnStat = func(st transport.Stream, _ int) { m.Stall(st, hostile.Header(wire.StatusIndexing, n)) }
		}},
		{"text", fetch.StateNotReached, func(m *hostile.Server, n uint64) {
			m.OnStat = func(st transport.Stream, _ int) { m.Stall(st, hostile.Header(wire.StatusBusy, n)) }
		}},
		{"values with the offer", fetch.StateNotReached, func(m *hostile.Server, n uint64) {
			m.OnStat = func(st transport.Stream, _ int) {
				hostile.Reply(st, wire.StatusOK, m.Offer.Append(nil))
				m.Stall(st, hostile.Header(wire.StatusOK, n))
			}
		}},
		{"values", fetch.StateWrong, func(m *hostile.Server, n uint64) {
			withoutInline(m)
			m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { m.Stall(st, hostile.Header(wire.StatusOK, n)) }
		}},
		{"range", fetch.StateWrong, func(m *hostile.Server, n uint64) {
			m.OnRanges = func(st transport.Stream, _ []wire.Span) { m.Stall(st, hostile.Header(wire.StatusOK, n)) }
		}},
		{"text of a range", fetch.StateWrong, func(m *hostile.Server, n uint64) {
			m.OnRanges = func(st transport.Stream, _ []wire.Span) { m.Stall(st, hostile.Header(wire.StatusBusy, n)) }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, n := range lengths {
				overEither(t, func(t *testing.T, w *world) {
					m := w.malicious(data, 0, func(m *hostile.Server) { test.lie(m, n) })
					other := w.malicious(data, 1, withoutInline)
					w.link(other.Target).set(func(l *link) { l.delay = 100 * time.Millisecond }) // so that it is not asked first
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					o := w.suffer(getConfig{Targets: []source.Target{m.Target, other.Target}})
					runtime.ReadMemStats(&after)
					o.has("data.bin", data)
					named(t, o, m, test.state)
					if o.Elapsed > 2*time.Second {
						t.Errorf("took %v, want no waiting for what is announced", o.Elapsed)
					}
					if got := after.TotalAlloc - before.TotalAlloc; got > maxAllocated {
						t.Errorf("%d bytes were allocated in all, want at most %d", got, maxAllocated)
					}
				})
			}
		})
	}
}

// A server announces the values of the largest file and does not send them.
// That alone takes no memory and no space on the disk.
func TestHostileValuesOfTheLargestFile(t *testing.T) {
	for name, body := range map[string]int{"nothing": 0, "half a value": 16, "some of them": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) {
					m.Offer.Size, m.Offer.ValuesLen = wire.MaxFileSize, 0
					m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) {
						hostile.SendBytes(st, make([]byte, body/wire.MaxFrameLen*wire.MaxFrameLen))
						b := hostile.Header(wire.StatusOK, wire.MaxFrameLen)
						m.Stall(st, append(b, make([]byte, body%wire.MaxFrameLen)...))
					}
				})
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				o := w.suffer(getConfig{Targets: []source.Target{m.Target}, Patience: time.Second})
				runtime.ReadMemStats(&after)
				fails[*fetch.SilentError](o, fetch.KindNetwork)
				o.lists()
				if got := after.TotalAlloc - before.TotalAlloc; got > maxGrown {
					t.Errorf("%d bytes were allocated in all, want at most %d", got, maxGrown)
				}
			})
		})
	}
}

// sized makes a server offer a file of any size with equal chunks. Their values
// merge to the checksum.
func sized(m *hostile.Server, size int64) {
	alike := wire.NewValues(manifest.Count(size))
	for i := range alike.Len() {
		alike.Set(i, [32]byte{1})
	}
	m.Values = alike
	m.Offer.Size, m.Offer.ValuesLen, m.Offer.Checksum = size, 0, manifest.Checksum(alike)
}

// A fullFS is a directory with little free space. It counts the bytes that are
// reserved.
type fullFS struct {
	partfile.FS
	reserved *atomic.Int64
}

type countingHandle struct {
	partfile.Handle
	reserved *atomic.Int64
}

func (f fullFS) Free() (int64, error) { return 1 << 30, nil }

func (f fullFS) Create(name string) (partfile.Handle, error) {
	h, err := f.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return countingHandle{h, f.reserved}, nil
}

func (h countingHandle) Allocate(off, n int64) error {
	h.reserved.Add(n)
	return errors.ErrUnsupported
}

func (h countingHandle) Truncate(n int64) error {
	h.reserved.Add(n)
	return h.Handle.Truncate(n)
}

// A file that does not fit on the disk is refused, and no space is reserved for
// it.
func TestHostileSizeBeyondTheDisk(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) {
			sized(m, 1<<40)
			m.OnRanges = func(transport.Stream, []wire.Span) {}
		})
		var reserved atomic.Int64
		o := w.suffer(getConfig{Targets: []source.Target{m.Target}, open: func(r *os.Root) partfile.FS {
			return fullFS{partfile.Dir(r), &reserved}
		}})
		if err := fails[*partfile.Error](o, fetch.KindLocal); err.Reason != partfile.NoSpace || err.Have != 1<<30 {
			t.Errorf("error = %+v, want that there is no space", err)
		}
		if n := reserved.Load(); n != 0 {
			t.Errorf("%d bytes were reserved, want none", n)
		}
		o.lists()
	})
}

// No byte is asked of a file that is larger than the user allows.
func TestHostileSizeBeyondMaxSize(t *testing.T) {
	data := file(3*chunk, 1)
	for _, test := range []struct {
		max  int64
		fits bool
	}{{1, false}, {3*chunk - 1, false}, {3 * chunk, true}, {0, true}, {-1, true}, {math.MaxInt64, true}} {
		overBoth(t, func(t *testing.T, w *world) {
			m := w.malicious(data, 0, withoutInline)
			o := w.suffer(getConfig{Targets: []source.Target{m.Target}, MaxSize: test.max})
			if test.fits {
				o.has("data.bin", data)
				return
			}
			if err := fails[*fetch.TooLargeError](o, fetch.KindLocal); err.Size != 3*chunk || err.Max != test.max {
				t.Errorf("error = %+v, want the size and what is allowed", err)
			}
			o.lists()
			if n := m.Lists.Load() + m.Ranges.Load(); n != 0 {
				t.Errorf("%d times something was asked of the file", n)
			}
		})
	}
}

// A liar is a server that votes with the majority and replies to requests for
// ranges with a lie.
type liar struct {
	name    string
	prepare func(m *hostile.Server) // nil: nothing
	lie     func(m *hostile.Server, st transport.Stream, spans []wire.Span)
	refused bool // a chunk, else the reply as such
}

var liars = []liar{
	{"every byte is wrong", nil, func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		hostile.SendBytes(st, spoilt(m.Bytes(spans)))
	}, true},
	{"one bit of each chunk", nil, func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		b := bytes.Clone(m.Bytes(spans))
		for i := chunk - 1; i < len(b); i += chunk {
			b[i] ^= 1
		}
		hostile.SendBytes(st, b)
	}, true},
	{"from another offset", func(m *hostile.Server) {
		m.Data = append(m.Data[1:len(m.Data):len(m.Data)], 0)
	}, (*hostile.Server).SendRanges, true},
	{"more than asked, without an end", nil, func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		m.SendRanges(st, spans)
		hostile.Flood(st, []byte{0}, 256<<20)
	}, false},
	{"announces more, without an end", nil, func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		b := m.Bytes(spans)
		last := len(b) - 1
		hostile.SendBytes(st, b[:last])
		st.Write(append(hostile.Header(wire.StatusOK, 2), b[last]))
		hostile.Flood(st, []byte{0}, 256<<20)
	}, false},
}

// A liar is out after its first lie, whatever it sends. No byte of it gets into
// the finished file, and no more is taken from it than was in flight.
func TestHostileLiars(t *testing.T) {
	withoutRace(t)
	data := file(16*chunk, 1)
	for _, test := range liars {
		start := func(w *world) (m *hostile.Server, asked *atomic.Int64) {
			asked = new(atomic.Int64)
			m = w.malicious(data, 0, func(m *hostile.Server) {
				m.OnRanges = func(st transport.Stream, spans []wire.Span) {
					asked.Add(int64(len(m.Bytes(spans))))
					test.lie(m, st, spans)
				}
				if test.prepare != nil {
					test.prepare(m)
				}
			})
			return m, asked
		}
		check := func(t *testing.T, w *world, o *outcome, m *hostile.Server, asked int64) {
			t.Helper()
			named(t, o, m, fetch.StateWrong)
			refused := events[fetch.ChunkRefused](o)
			if test.refused && (len(refused) != 1 || refused[0].Target != m.Target || refused[0].Changed) || !test.refused && len(refused) > 0 {
				t.Errorf("refused = %+v, want a chunk: %t", refused, test.refused)
			}
			// What was asked for ahead of the vote is under way.
			if sent, most := w.sentBy(m), inFlight+4*int64(chunk); sent > most {
				t.Errorf("%d bytes came from it, which was asked for %d, want at most the %d in flight", sent, asked, most)
			}
		}
		t.Run(test.name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				m, asked := start(w)
				honest := w.holders(data, data)
				o := w.suffer(getConfig{Targets: append(targetsOf(honest...), m.Target)})
				o.has("data.bin", data)
				check(t, w, o, m, asked.Load())
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				m, asked := start(w)
				o := w.suffer(getConfig{Targets: []source.Target{m.Target}})
				err := fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
				if err.Missing+o.Fetched != o.Size {
					t.Errorf("%d bytes are missing, %d were fetched, want %d", err.Missing, o.Fetched, o.Size)
				}
				check(t, w, o, m, asked.Load())
			})
		})
	}
}
