package transfer

import (
	"bytes"
	"encoding/binary"
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
	"malcolm/transfer/source"

	"github.com/quic-go/quic-go/quicvarint"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// maxGrown bounds, in bytes, by how much memory grows while Get suffers an
	// attack: both sides, the network between them, and garbage included.
	maxGrown = 24 << 20
	// maxAllocated bounds what is allocated in all meanwhile, in bytes: more than is
	// in use at a time, since the garbage collector empties the pools of packets, and
	// far less than what is announced.
	maxAllocated = 4 * maxGrown
	// inFlight bounds, in bytes of packets, what is taken from a server until it is
	// found out and hung up on: its first chunk on each of the two streams that it
	// has at first, and what its link carries in one round trip, twice: once until
	// it hears of it, once while it is asked what it offers now.
	inFlight = 2*chunk + 2*defaultRate*2*int64(defaultDelay)/int64(time.Second)
)

// suffer is get against hostile servers. Nothing of Get may run when it has
// returned, and memory must not grow by more than maxGrown meanwhile.
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
	if n := bytes.Count(stacks, []byte("transfer.(*getting).")); n > 0 {
		w.t.Errorf("%d calls of Get are still running", n)
	}
	if grown := int64(most) - int64(before.HeapAlloc); grown > maxGrown {
		w.t.Errorf("memory grew by %d bytes, want at most %d", grown, maxGrown)
	}
	return o
}

// sent returns how many bytes of packets a server has sent that arrived.
func (e *evil) sent(w *world) int64 { return w.link(e.target).way(fromServer).carried }

// named fails the test unless it was told which server is hostile, and nothing
// of the others but that they serve.
func named(t *testing.T, o *outcome, evil *evil, state fetch.State) {
	t.Helper()
	for _, r := range o.Servers {
		switch {
		case r.Target == evil.target && (r.State != state || r.Err == nil):
			t.Errorf("report of the hostile server = %+v, want %s and why", r, state)
		case r.Target != evil.target && (r.State != fetch.StateServing || r.Err != nil):
			t.Errorf("report of %s = %+v, want serving", r.Target, r)
		}
	}
	told := false
	for _, e := range o.events {
		switch e := e.Event.(type) {
		case fetch.NotReached:
			told = told || e.Target == evil.target
		case fetch.Lost:
			told = told || e.Target == evil.target
		}
	}
	if !told {
		t.Error("nobody was told of the hostile server")
	}
}

// silent sends bytes and then nothing, for ever.
func silent(e *evil, st *transport.Stream, b []byte) {
	st.Write(b)
	e.wait()
}

// bareHeader is a header whose body does not follow.
func bareHeader(s wire.Status, n uint64) []byte { return wire.Header{Status: s, Length: n}.Append(nil) }

// lengths are numbers that announce more than there may be.
var lengths = []uint64{4 << 30, quicvarint.Max}

// A length that is too large is refused when it is read, in whatever message it
// is: nothing is allocated for it, and nothing that it announces is waited for.
func TestHostileLengths(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range []struct {
		name  string
		state fetch.State
		lie   func(e *evil, n uint64)
	}{
		{"offer", fetch.StateNotReached, func(e *evil, n uint64) {
			e.onHello = func(st *transport.Stream, _ int) { silent(e, st, bareHeader(wire.StatusOK, n)) }
		}},
		{"name", fetch.StateNotReached, func(e *evil, n uint64) {
			b := slices.Concat([]byte{9, 0, 0}, make([]byte, 64), quicvarint.Append(nil, n))
			e.onHello = func(st *transport.Stream, _ int) {
				silent(e, st, append(bareHeader(wire.StatusOK, uint64(len(b))), b...))
			}
		}},
		{"indexing", fetch.StateNotReached, func(e *evil, n uint64) {
			e.onHello = func(st *transport.Stream, _ int) { silent(e, st, bareHeader(wire.StatusIndexing, n)) }
		}},
		{"text", fetch.StateNotReached, func(e *evil, n uint64) {
			e.onHello = func(st *transport.Stream, _ int) { silent(e, st, bareHeader(wire.StatusBusy, n)) }
		}},
		{"manifest with the offer", fetch.StateNotReached, func(e *evil, n uint64) {
			e.onHello = func(st *transport.Stream, _ int) {
				frame(st, wire.StatusOK, e.offer.Append(nil))
				silent(e, st, bareHeader(wire.StatusOK, n))
			}
		}},
		{"manifest", fetch.StateWrong, func(e *evil, n uint64) {
			withoutInline(e)
			e.onManifest = func(st *transport.Stream) { silent(e, st, bareHeader(wire.StatusOK, n)) }
		}},
		{"range", fetch.StateWrong, func(e *evil, n uint64) {
			e.onRange = func(st *transport.Stream, _ wire.RangeRequest) { silent(e, st, bareHeader(wire.StatusOK, n)) }
		}},
		{"text of a range", fetch.StateWrong, func(e *evil, n uint64) {
			e.onRange = func(st *transport.Stream, _ wire.RangeRequest) { silent(e, st, bareHeader(wire.StatusBusy, n)) }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, n := range lengths {
				bubble(t, func(t *testing.T, w *world) {
					e := w.evil(data, 0, func(e *evil) { test.lie(e, n) })
					other := w.evil(data, 1, withoutInline)
					w.link(other.target).set(func(l *link) { l.delay = 100 * time.Millisecond }) // so that it is not asked first
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					o := w.suffer(getConfig{Targets: []source.Target{e.target, other.target}})
					runtime.ReadMemStats(&after)
					o.has("data.bin", data)
					named(t, o, e, test.state)
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

// A manifest of the largest file is announced and does not come: memory is not
// taken on the word of the server that announces it, nor is space on the disk.
func TestHostileManifestOfTheLargestFile(t *testing.T) {
	for _, name := range []string{"nothing", "half of its header", "some of it"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				body := map[string]int{"nothing": 0, "half of its header": 8, "some of it": 1 << 20}[name]
				e := w.evil(file(chunk, 1), 0, func(e *evil) {
					e.offer.Size, e.offer.ManifestLen = wire.MaxFileSize, 0
					e.onManifest = func(st *transport.Stream) {
						b := bareHeader(wire.StatusOK, uint64(wire.ManifestLen(wire.MaxChunks)))
						silent(e, st, append(b, make([]byte, body)...))
					}
				})
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				o := w.suffer(getConfig{Targets: []source.Target{e.target}, Patience: time.Second})
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

// sized makes a server offer a file of any size whose chunks are all alike: its
// manifest merges to the checksum.
func sized(e *evil, size int64) {
	m := wire.NewManifest(size, manifest.ChunkSize(size), manifest.Count(size))
	for i := range m.Len() {
		m.SetChunk(i, [32]byte{1}, [16]byte{})
	}
	e.manifest = m
	e.offer.Size, e.offer.ManifestLen = size, 0
	e.offer.Checksum, e.offer.Digest = manifest.Checksum(m), manifest.Digest(m)
}

// A fullFS is a directory with little free space. It counts the bytes that are
// reserved in it.
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

// A file that everybody offers, and that has no room here, takes none.
func TestHostileSizeBeyondTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.evil(file(chunk, 1), 0, func(e *evil) {
			sized(e, 1<<40)
			e.onRange = func(*transport.Stream, wire.RangeRequest) {}
		})
		var reserved atomic.Int64
		o := w.suffer(getConfig{Targets: []source.Target{e.target}, open: func(r *os.Root) partfile.FS {
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

// A file that is larger than the user allows is not even asked for.
func TestHostileSizeBeyondMaxSize(t *testing.T) {
	data := file(3*chunk, 1)
	for _, test := range []struct {
		max  int64
		fits bool
	}{{1, false}, {3*chunk - 1, false}, {3 * chunk, true}, {0, true}, {-1, true}, {math.MaxInt64, true}} {
		bubble(t, func(t *testing.T, w *world) {
			e := w.evil(data, 0, withoutInline)
			o := w.suffer(getConfig{Targets: []source.Target{e.target}, MaxSize: test.max})
			if test.fits {
				o.has("data.bin", data)
				return
			}
			if err := fails[*fetch.TooLargeError](o, fetch.KindLocal); err.Size != 3*chunk || err.Max != test.max {
				t.Errorf("error = %+v, want the size and what is allowed", err)
			}
			o.lists()
			if n := e.manifests.Load() + e.ranges.Load(); n != 0 {
				t.Errorf("%d times something was asked of the file", n)
			}
		})
	}
}

// layouts are headers of a manifest that are not what the file's size demands.
var layouts = []struct {
	name   string
	change func(b []byte)
}{
	{"size 2^63", func(b []byte) { binary.BigEndian.PutUint64(b, 1<<63) }},
	{"size 2^64-1", func(b []byte) { binary.BigEndian.PutUint64(b, math.MaxUint64) }},
	{"size 2^44+1", func(b []byte) { binary.BigEndian.PutUint64(b, wire.MaxFileSize+1) }},
	{"one byte more", func(b []byte) { b[7]++ }},
	{"chunks of no bytes", func(b []byte) { binary.BigEndian.PutUint32(b[8:], 0) }},
	{"chunks of 4 GiB", func(b []byte) { binary.BigEndian.PutUint32(b[8:], math.MaxUint32) }},
	{"chunks of twice the size", func(b []byte) { binary.BigEndian.PutUint32(b[8:], 2*chunk) }},
	{"no chunks", func(b []byte) { binary.BigEndian.PutUint32(b[12:], 0) }},
	{"one chunk less", func(b []byte) { b[15]-- }},
	{"one chunk more", func(b []byte) { b[15]++ }},
	{"2^32-1 chunks", func(b []byte) { binary.BigEndian.PutUint32(b[12:], math.MaxUint32) }},
}

// A manifest's header that does not fit its file is refused, also when the
// digest that was offered is its own.
func TestHostileLayouts(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range layouts {
		for _, inline := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					e := w.evil(data, 0, func(e *evil) {
						b := e.manifest.Append(nil)
						test.change(b)
						e.offer.Digest = checksum(b)
						e.onManifest = func(st *transport.Stream) { frame(st, wire.StatusOK, b) }
						if !inline {
							withoutInline(e)
							return
						}
						e.onHello = func(st *transport.Stream, _ int) {
							frame(st, wire.StatusOK, e.offer.Append(nil))
							frame(st, wire.StatusOK, b)
						}
					})
					other := w.evil(data, 1, withoutInline)
					w.link(other.target).set(func(l *link) { l.delay = 100 * time.Millisecond }) // so that it is not asked first
					o := w.suffer(getConfig{Targets: []source.Target{e.target, other.target}})
					o.has("data.bin", data)
					state := fetch.StateWrong
					if inline {
						state = fetch.StateNotReached
					}
					named(t, o, e, state)
				})
			})
		}
	}
}

// A liar is a server that votes with the majority and replies to requests for
// ranges with a lie.
type liar struct {
	name    string
	prepare func(e *evil) // nil: nothing
	lie     func(e *evil, st *transport.Stream, r wire.RangeRequest)
	refused bool // a chunk, else the reply as such
}

// pour sends bytes for as long as somebody takes them.
func pour(st *transport.Stream) {
	b := make([]byte, 64<<10)
	for range 4096 {
		if _, err := st.Write(b); err != nil {
			return
		}
	}
}

var liars = []liar{
	{"every byte is wrong", nil, func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		frame(st, wire.StatusOK, spoilt(e.data[r.Offset:r.Offset+r.Length]))
	}, true},
	{"one bit of each chunk", nil, func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		b := bytes.Clone(e.data[r.Offset : r.Offset+r.Length])
		for i := chunk - 1; i < len(b); i += chunk {
			b[i] ^= 1
		}
		frame(st, wire.StatusOK, b)
	}, true},
	{"from another offset", func(e *evil) {
		e.data = append(e.data[1:len(e.data):len(e.data)], 0)
	}, (*evil).sendRange, true},
	// The sums that come with the values of the right chunks are those of the
	// wrong ones.
	{"right xxh3", func(e *evil) {
		e.data = spoilt(e.data)
		wrong, _ := hashes(e.data)
		for i := range e.manifest.Len() {
			e.manifest.SetChunk(i, e.manifest.Value(i), wrong.XXH3(i))
		}
		e.offer.Digest = manifest.Digest(e.manifest)
	}, (*evil).sendRange, true},
	{"more than asked, without an end", nil, func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		e.sendRange(st, r)
		pour(st)
	}, false},
	{"announces more, without an end", nil, func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		st.Write(bareHeader(wire.StatusOK, uint64(r.Length)+1))
		pour(st)
	}, false},
}

// Whatever a liar sends, it is out after its first lie: no byte of it gets into
// the finished file, and no more is taken from it than was in flight.
func TestHostileLiars(t *testing.T) {
	data := file(16*chunk, 1)
	for _, test := range liars {
		start := func(w *world) (e *evil, asked *atomic.Int64) {
			asked = new(atomic.Int64)
			e = w.evil(data, 0, func(e *evil) {
				e.onRange = func(st *transport.Stream, r wire.RangeRequest) {
					asked.Add(r.Length)
					test.lie(e, st, r)
				}
				if test.prepare != nil {
					test.prepare(e)
				}
			})
			return e, asked
		}
		check := func(t *testing.T, w *world, o *outcome, e *evil, asked int64) {
			t.Helper()
			named(t, o, e, fetch.StateWrong)
			refused := events[fetch.ChunkRefused](o)
			if test.refused && (len(refused) != 1 || refused[0].Target != e.target || refused[0].Changed) || !test.refused && len(refused) > 0 {
				t.Errorf("refused = %+v, want a chunk: %t", refused, test.refused)
			}
			if sent := e.sent(w); sent > inFlight {
				t.Errorf("%d bytes came from it, which was asked for %d, want at most the %d in flight", sent, asked, inFlight)
			}
		}
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e, asked := start(w)
				honest := w.holders(data, data)
				o := w.suffer(getConfig{Targets: append(targetsOf(honest...), e.target)})
				o.has("data.bin", data)
				check(t, w, o, e, asked.Load())
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e, asked := start(w)
				o := w.suffer(getConfig{Targets: []source.Target{e.target}})
				err := fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
				if err.Missing+o.Fetched != o.Size {
					t.Errorf("%d bytes are missing, %d were fetched, want %d", err.Missing, o.Fetched, o.Size)
				}
				check(t, w, o, e, asked.Load())
			})
		})
	}
}
