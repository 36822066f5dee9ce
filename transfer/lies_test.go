package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transport"
	"malcolm/wire"
)

// lie makes a server's first range wrong by one bit in its first chunk. It
// reports which chunk that was; -1 before.
func lie(s *server) func() int {
	wrong := make(chan int, 1)
	s.src.onRange(func(p []byte, off int64) error {
		select {
		case wrong <- int(off / chunk):
			p[0] ^= 1
		default:
		}
		return nil
	})
	return func() int {
		select {
		case c := <-wrong:
			return c
		default:
			return -1
		}
	}
}

// A server is out with its first wrong chunk, and the others deliver the file.
func TestHostileWrongChunkPutsServerOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(10*chunk, 1)
		servers := w.holders(data, data, data)
		liar := servers[1]
		lied := lie(liar)
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		wantRefused(t, o, liar, lied())
	})
}

// wantRefused fails the test unless one server was refused for one chunk.
func wantRefused(t *testing.T, o *outcome, liar *server, chunkNumber int) {
	t.Helper()
	if chunkNumber < 0 {
		t.Fatal("the liar did not lie")
	}
	got, _ := only[fetch.ChunkRefused](o)
	length := min(chunk, o.Size-int64(chunkNumber)*chunk)
	want := fetch.ChunkRefused{Target: liar.targets[0], Chunk: chunkNumber, Offset: int64(chunkNumber) * chunk, Length: length}
	if got != want {
		t.Errorf("refused = %+v, want %+v", got, want)
	}
	lost, _ := only[fetch.Lost](o)
	if lost.Target != liar.targets[0] || lost.State != fetch.StateWrong {
		t.Errorf("lost = %+v, want the liar, for wrong bytes", lost)
	}
	if r := o.report(liar.targets[0]); r.State != fetch.StateWrong || r.BadChunks != 1 || r.Err == nil {
		t.Errorf("its report = %+v, want wrong bytes", r)
	}
}

// A slow liar does not finish: others fetch its chunk a second time, and are
// done before it.
func TestSlowLiarAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		servers := w.holders(data, data)
		liar := servers[0]
		liar.links[0].set(func(l *link) { l.delay = 300 * time.Millisecond })
		servers[1].links[0].set(func(l *link) { l.delay = time.Millisecond })
		lied := lie(liar)
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		if lied() < 0 {
			t.Fatal("the liar was not asked for anything")
		}
		if got := o.report(servers[1].targets[0]).Bytes; got != o.Size {
			t.Errorf("%d bytes from the other one, want all", got)
		}
		none[fetch.ChunkRefused](o)
	})
}

// A run whose only server lies fails, and keeps the chunks that were right.
func TestOnlyServerLies(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		liar := w.holders(data)[0]
		slow(200<<10, liar)
		lied := make(chan int, 1)
		o := w.get(getConfig{Targets: liar.targets, Events: at(0.4, func() { lied <- 0; liar.src.flips() })})
		if len(lied) == 0 {
			t.Fatal("the liar did not lie")
		}
		err := fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
		if o.Fetched == 0 || err.Missing != o.Size-o.Fetched {
			t.Errorf("missing %d, fetched %d of %d", err.Missing, o.Fetched, o.Size)
		}
		o.lists("data.bin.part", "data.bin.part.journal")
		if o.Part == "" {
			t.Error("the part file is not named")
		}
		if r := o.report(liar.targets[0]); r.State != fetch.StateWrong || r.Bytes != o.Fetched {
			t.Errorf("report = %+v, want wrong bytes and %d good ones", r, o.Fetched)
		}
		// Right chunks are kept, and nothing else.
		kept := o.Fetched
		honest := w.holders(data)[0]
		o = w.get(getConfig{Targets: honest.targets, Dir: o.dir, Resume: true})
		o.has("data.bin", data)
		if o.Resumed != kept || o.Fetched != o.Size-kept || honest.src.sent() != o.Fetched {
			t.Errorf("resumed %d, fetched %d, served %d, want %d of %d resumed",
				o.Resumed, o.Fetched, honest.src.sent(), kept, o.Size)
		}
	})
}

// A server whose file has changed is no liar, however its bytes came.
func TestWrongChunkOfAChangedFile(t *testing.T) {
	for _, again := range []struct {
		name string
		stat func(m *hostile.Server, st transport.Stream)
	}{
		{"another offer", func(m *hostile.Server, st transport.Stream) {
			offer := m.Offer
			offer.ValuesLen = 0
			offer.Checksum[0] ^= 1
			m.SendOffer(st, offer)
		}},
		{"indexing", func(m *hostile.Server, st transport.Stream) {
			hostile.Reply(st, wire.StatusIndexing, wire.Indexing{Done: 1, Total: 9}.Append(nil))
			m.Wait()
		}},
	} {
		t.Run(again.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(3*chunk, 1)
				m := w.malicious(data, 0, func(m *hostile.Server) {
					m.Data = file(3*chunk, 2)
					m.OnStat = func(st transport.Stream, n int) {
						if n == 0 {
							m.SendOffer(st, m.Offer)
						} else {
							again.stat(m, st)
						}
					}
				})
				o := w.get(getConfig{Targets: []source.Target{m.Target}})
				fails[*fetch.NoServerLeftError](o, fetch.KindChanged)
				if refused, _ := only[fetch.ChunkRefused](o); !refused.Changed || refused.Target != m.Target {
					t.Errorf("refused = %+v, want that the file changed", refused)
				}
				if r := o.report(m.Target); r.State != fetch.StateChanged {
					t.Errorf("report = %+v, want changed", r)
				}
				if got := m.Stats.Load(); got != 2 {
					t.Errorf("%d stats, want 2", got)
				}
			})
		})
	}
}

// A liar that keeps its only stream busy, so that it cannot be asked again, is
// out all the same.
func TestLiarThatCannotBeAsked(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		m := w.malicious(data, 0, func(m *hostile.Server) {
			m.Streams = 1
			m.OnStream = func(st transport.Stream) bool {
				if m.Stats.Load() == 0 {
					return false
				}
				// Without its last byte the request never ends
				// here.
				hostile.SendBytes(st, make([]byte, chunk))
				m.Wait()
				return true
			}
		})
		o := w.get(getConfig{Targets: []source.Target{m.Target}})
		fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
		only[fetch.ChunkRefused](o)
	})
}
