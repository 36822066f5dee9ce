package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// closeTime is when the vote closes here without a server that does not
// answer: a second behind the offers, which take two round trips.
const closeTime = time.Second + 4*defaultDelay

// deadThird starts a server that never answers.
func (w *world) deadThird(data []byte) *server {
	s := w.serve(newSource(data), 2, 1, serve.Config{})
	s.links[0].set(func(l *link) { l.hole = true })
	return s
}

// firstRead returns when servers read the first byte for a client, after begun,
// and how many bytes they have read in all.
func firstRead(begun time.Time, servers ...*server) (first time.Duration, sent int64) {
	first = time.Hour
	for _, s := range servers {
		for _, r := range s.src.log() {
			first = min(first, r.at.Sub(begun))
			sent += int64(r.n)
		}
	}
	return first, sent
}

// The first bytes are asked for as soon as nothing can change the vote, also
// while it is open. Each byte is asked for once, and the vote closes when it
// always does.
func TestFirstByte(t *testing.T) {
	withoutRace(t)
	const asked = 5 * defaultDelay // two round trips for the offers, and the way there
	big, small := file(64*chunk+5, 1), file(chunk, 1)
	quick := func(*link) {}
	dead := func(l *link) { l.hole = true }
	for _, test := range []struct {
		name  string
		data  []byte
		index time.Duration // that the third server's index takes, for each read
		third func(l *link)
		first time.Duration
		vote  time.Duration // when it closes
	}{
		{"all answer at once", big, 0, quick, asked, 4 * defaultDelay},
		{"one of three is dead", big, 0, dead, asked, closeTime},
		{"one of three is 700 ms late", big, 0, func(l *link) { l.delay = 175 * time.Millisecond }, asked, 700 * time.Millisecond},
		{"one of three is indexing", big, time.Second, quick, asked, closeTime},
		{"one chunk, one of three is dead", small, 0, dead, asked, closeTime},
		{"one chunk, one of three is indexing", small, time.Second, quick, asked, closeTime},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				servers := w.holders(test.data, test.data)
				src := newSource(test.data)
				if test.index > 0 {
					src.indexing = slowly(test.index)
				}
				third := w.serve(src, 2, 1, serve.Config{})
				slow(2<<20, append(servers, third)...)
				third.links[0].set(test.third)
				begun := time.Now()
				dir := t.TempDir()
				o := w.get(getConfig{Targets: targetsOf(append(servers, third)...), Dir: dir, Events: func(e fetch.Event) {
					if p, ok := e.(progress); ok && p.Phase == fetch.PhaseAsking && (p.Size != 0 || p.Good != 0 || len(p.Ranges) > 0 || p.Rate != 0) {
						t.Errorf("progress %+v before the vote has closed", p)
					}
					if _, ok := e.(fetch.Voted); ok {
						if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
							t.Errorf("%v, error %v: the directory is to be empty until the vote has closed", there, err)
						}
					}
				}})
				o.has("data.bin", test.data)
				const slack = 5 * time.Millisecond
				first, sent := firstRead(begun, append(servers, third)...)
				if first > test.first+slack || first < test.first-slack {
					t.Errorf("the first byte was read after %v, want %v", first, test.first)
				}
				_, voted := only[fetch.Voted](o)
				if at := voted.Sub(begun); at > test.vote+slack || at < test.vote-slack {
					t.Errorf("the vote closed after %v, want %v", at, test.vote)
				}
				if size := int64(len(test.data)); sent != size || o.Fetched != size || o.Duplicate+o.Refetched+o.Resumed > 0 {
					t.Errorf("%d bytes were read, result %+v, want each once", sent, o.Result)
				}
				t.Logf("first byte read after %v, the vote closed after %v, all there after %v", first, voted.Sub(begun), time.Since(begun))
			})
		})
	}
}

// Nothing is asked for while the vote can still turn out otherwise.
func TestNothingBeforeCertainty(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, other := file(8*chunk, 1), file(8*chunk, 2)
		servers := w.holders(data, data, other)
		servers = append(servers, w.deadThird(data))
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		_, voted := only[fetch.Voted](o)
		if first, _ := firstRead(voted, servers...); first < 0 {
			t.Errorf("a byte was read %v before the vote has closed", -first)
		}
	})
}

// Where something lies under the names of the output, nothing is fetched ahead:
// it may be there already.
func TestNothingAheadOfWhatIsThere(t *testing.T) {
	data := file(16*chunk, 1)
	for _, test := range []struct {
		name string
		lies string
		cfg  getConfig
		sent int64
	}{
		{"the right file", "data.bin", getConfig{Resume: true}, 0},
		{"the right file under a chosen name", "mine", getConfig{Name: "mine", Resume: true}, 0},
		{"a part of it", "data.bin.part", getConfig{Resume: true}, int64(len(data)) / 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				servers := w.holders(data, data)
				dir := t.TempDir()
				there := data[:int64(len(data))-test.sent]
				if test.sent > 0 {
					there = append(there[:len(there):len(there)], make([]byte, test.sent)...)
				}
				must(t, os.WriteFile(filepath.Join(dir, test.lies), there, 0o644))
				test.cfg.Dir, test.cfg.Targets = dir, targetsOf(append(servers, w.deadThird(data))...)
				begun := time.Now()
				o := w.get(test.cfg)
				must(t, o.err)
				// The last ranges may be asked of both servers.
				first, read := firstRead(begun, servers...)
				if o.Fetched != test.sent || read > 0 && (test.sent == 0 || first < closeTime) {
					t.Errorf("%d bytes were fetched, %d read, from %v on, want %d", o.Fetched, read, first, test.sent)
				}
			})
		})
	}
}

// A name that comes into the majority late is the name, and what lies there is
// kept.
func TestAheadUnderAnotherName(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		var servers []*server
		for i, name := range []string{"first.bin", "then.bin", "then.bin"} {
			servers = append(servers, w.serve(newSource(data), i, 1, serve.Config{Name: name}))
		}
		servers[2].links[0].set(func(l *link) { l.delay = 150 * time.Millisecond })
		dir := t.TempDir()
		part := append(data[:8*chunk:8*chunk], make([]byte, 8*chunk)...)
		must(t, os.WriteFile(filepath.Join(dir, "then.bin.part"), part, 0o644))
		begun := time.Now()
		o := w.get(getConfig{Dir: dir, Targets: targetsOf(servers...), Resume: true})
		o.has("then.bin", data)
		first, sent := firstRead(begun, servers...)
		if o.Resumed != 8*chunk || o.Fetched != 8*chunk || first > 10*defaultDelay {
			t.Errorf("resumed %d, fetched %d, from %v on, want half of each, and something ahead", o.Resumed, o.Fetched, first)
		}
		// What was on its way when it was given up is not known here.
		const onTheWay = chunk
		if told := o.Fetched + o.Duplicate; o.Duplicate == 0 || sent < told || sent > told+onTheWay {
			t.Errorf("%d bytes were read, %d were wasted: want the rest of them told", sent, o.Duplicate)
		}
	})
}

// A server that sends wrong bytes ahead is named once the vote has closed.
func TestWrongBytesAheadAreBlamedAfterTheVote(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(32*chunk, 1)
		servers := w.holders(data, data)
		servers[1].src.flips()
		slow(2<<20, servers...)
		begun := time.Now()
		o := w.get(getConfig{Targets: targetsOf(append(servers, w.deadThird(data))...)})
		o.has("data.bin", data)
		refused, when := only[fetch.ChunkRefused](o)
		if refused.Target != servers[1].targets[0] || when.Sub(begun) < closeTime {
			t.Errorf("told %+v after %v, want the liar behind the vote", refused, when.Sub(begun))
		}
		if r := o.report(servers[1].targets[0]); r.State != fetch.StateWrong || r.BadChunks != 1 || r.Bytes != 0 {
			t.Errorf("report = %+v, want one wrong chunk", r)
		}
	})
}

// A server that vanishes while it sends ahead costs time and nothing else.
func TestServerVanishesWhileFetchingAhead(t *testing.T) {
	withoutRace(t)
	for _, way := range []struct {
		name string
		lose func(s *server)
	}{
		{"reset", func(s *server) { s.kill() }},
		{"black hole", func(s *server) { s.links[0].set(func(l *link) { l.hole = true }) }},
	} {
		t.Run(way.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(32*chunk+7, 1)
				servers := w.holders(data, data)
				slow(2<<20, servers...)
				time.AfterFunc(500*time.Millisecond, func() { way.lose(servers[1]) })
				o := w.get(getConfig{Targets: targetsOf(append(servers, w.deadThird(data))...)})
				o.has("data.bin", data)
				none[fetch.ChunkRefused](o)
				if o.Fetched != int64(len(data)) {
					t.Errorf("fetched %d, want %d", o.Fetched, len(data))
				}
			})
		})
	}
}

// A run that ends while bytes are fetched ahead leaves nothing.
func TestRunEndsWhileFetchingAhead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(64*chunk, 1)
		servers := w.holders(data, data)
		slow(2<<20, servers...)
		ctx, cancel := context.WithCancelCause(context.Background())
		enough := errors.New("enough")
		time.AfterFunc(600*time.Millisecond, func() { cancel(enough) })
		o := w.getUnder(ctx, getConfig{Targets: targetsOf(append(servers, w.deadThird(data))...)})
		if o.err != enough {
			t.Errorf("error = %v, want the end", o.err)
		}
		o.lists()
		if o.Fetched != 0 || o.Duplicate == 0 || o.Path+o.Part != "" {
			t.Errorf("result = %+v, want wasted bytes only", o.Result)
		}
	})
}

// The values are asked for ahead too, and what a server fails in is told behind
// the vote.
func TestValuesAhead(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(16*chunk, 1)
			first := w.malicious(data, 0, func(m *hostile.Server) {
				withoutInline(m)
				if refuses {
					m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { st.CancelWrite(uint64(wire.StreamInternal)) }
				}
			})
			second := w.malicious(data, 1, withoutInline)
			dead := w.deadThird(data)
			begun := time.Now()
			o := w.get(getConfig{Targets: append([]source.Target{first.Target, second.Target}, dead.targets...)})
			o.has("data.bin", data)
			if n := first.Lists.Load() + second.Lists.Load(); !refuses && n != 1 {
				t.Errorf("the values were asked for %d times, want once", n)
			}
			if !refuses {
				none[fetch.ValuesRefused](o)
			} else if _, when := only[fetch.ValuesRefused](o); when.Sub(begun) < closeTime {
				t.Errorf("told after %v, want it behind the vote", when.Sub(begun))
			}
		})
	}
}

// A stream is fetched ahead and written behind the vote, whatever the window.
func TestStreamAhead(t *testing.T) {
	withoutRace(t)
	for _, window := range []int64{0, 1, 3 * chunk} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(40*chunk+3, 1)
			servers := w.holders(data, data)
			slow(2<<20, servers...)
			out := &sink{}
			begun := time.Now()
			o := w.stream(getConfig{Targets: targetsOf(append(servers, w.deadThird(data))...)}, out, window)
			streamed(t, o, out, data)
			first, sent := firstRead(begun, servers...)
			t.Logf("window %d: %d bytes read, %d wasted", window, sent, o.Duplicate)
			if first > 10*defaultDelay || window == 0 && sent != int64(len(data)) {
				t.Errorf("%d bytes were read, from %v on, want each once, and some ahead", sent, first)
			}
			if at := out.at[0].Sub(begun); at < closeTime-time.Millisecond {
				t.Errorf("written after %v, want it behind the vote", at)
			}
		})
	}
}

// What is fetched ahead is bounded.
func TestFetchingAheadIsBounded(t *testing.T) {
	withoutRace(t)
	const most = 16 << 20
	bubble(t, func(t *testing.T, w *world) {
		data := file(96*chunk, 1)
		servers := w.holders(data, data)
		slow(100<<20, servers...)
		var before int64
		o := w.get(getConfig{Targets: targetsOf(append(servers, w.deadThird(data))...), Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Voted); ok {
				_, before = firstRead(time.Now(), servers...)
			}
		}})
		o.has("data.bin", data)
		if before != most {
			t.Errorf("%d bytes were read before the vote closed, want %d", before, most)
		}
	})
}
